"""Film strips and clips of the videos that decide: on pages, over HTTP, in the report; what is not served."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from catalog import Catalog
from catalog.queries.predictions import VideoPlace, confident_videos
from catalog.storage.folder_storage import FolderStorage
from dashboards.app.access import Access
from dashboards.app.app import build_app
from dashboards.app.live import LiveCatalog, page_blocks
from dashboards.figures.deciding_videos import report_section
from dashboards.pages.request import Address
from orchestrator.evaluation import shown_videos
from orchestrator.evaluation.jobs import dataset_built_event
from orchestrator.evaluation.shown_videos import NotShownError, ShownVideos
from tests.support.finished_cell import KEY, append, finished, planned, train_cell
from trainables.data.frames.manifest import read_manifest
from trainables.training.predictions import read_predictions, write_predictions
from trainables.training.result import read_result

OTHER = "s" * 32
TOKEN = "t" * 20


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished cells: the second one is right where the first one is wrong, and wrong elsewhere."""
    root = tmp_path_factory.mktemp("trained") / "storage"
    spec = train_cell(root)
    path = Path(spec.manifest)
    manifest = read_manifest(path)
    result = read_result(Path(spec.run_dir), KEY)
    assert result is not None
    run_dir = root / "runs" / f"other-{OTHER[:12]}"
    shutil.copytree(spec.run_dir, run_dir)
    changes = {"cell": "TAM-Tiny-f8@toy#1", "key": OTHER, "seed": 1, "run_dir": str(run_dir)}
    other = spec.model_copy(update=changes)
    for file in run_dir.glob("epoch-*.parquet"):
        own = read_predictions(file, KEY)
        top = own.top.copy()
        right = top[:, 0] == own.label
        top[:, 0] = own.label
        top[right, 0] = (own.label[right] + 1) % 4
        changed = dataclasses.replace(own, top=top)
        write_predictions(changed, file, [video.path for video in manifest.split("val")], OTHER)
    append(
        root,
        dataset_built_event("toy", path, manifest, FolderStorage(root)),
        planned(other, manifest.hash("train")),
        finished(other, dataclasses.replace(result, key=OTHER), "e"),
    )
    return root


@pytest.fixture
def storage(trained: Path, tmp_path: Path) -> Path:
    """A copy, to be changed at will."""
    shutil.copytree(trained, tmp_path / "storage")
    return tmp_path / "storage"


@pytest.fixture(scope="module")
def live(trained: Path) -> LiveCatalog:
    """Its pages are made once."""
    return live_of(trained)


def live_of(storage: Path) -> LiveCatalog:
    place = FolderStorage(storage)
    live = LiveCatalog(place, videos=ShownVideos(place))
    live.refresh()
    return live


def client_of(live: LiveCatalog, token: str | None = None) -> FlaskClient:
    app = build_app(live, Access("127.0.0.1", token), 1.0)
    return app.server.test_client()  # type: ignore[no-any-return]


def shown(live: LiveCatalog, page: str, name: str, **choices: str) -> str:
    blocks = page_blocks(live, Address(page, choices=tuple(sorted(choices.items()))), "light")
    (block,) = [one for one in blocks if one.name == name]
    return json.dumps([part.value for part in block.parts], default=lambda one: one.to_plotly_json())


def mistakes(live: LiveCatalog) -> list[dict[str, Any]]:
    return list(confident_videos(live.catalog, KEY).to_pylist())


def test_a_cells_mistakes_are_shown_as_strips_and_clips(live: LiveCatalog) -> None:
    rows = mistakes(live)
    assert rows
    text = shown(live, "cell", "mistakes", key=KEY, evaluation="training:last")
    client = client_of(live)
    for row in rows:
        address = f"{KEY}/{row['evaluation']}/{row['index']}"
        assert f"/strip/{address}" in text and f"/clip/{address}" in text
        assert f"{row['class']} taken for {row['predicted_class']}" in text
        strip = client.get(f"/strip/{address}")
        assert (strip.status_code, strip.mimetype) == (200, "image/jpeg")
        width, height = Image.open(io.BytesIO(strip.data)).size
        assert height == 72 and width % 8 == 0, "eight frames side by side"
        clip = client.get(f"/clip/{address}")
        assert (clip.status_code, clip.mimetype) == (200, "video/mp4")
        assert clip.data == Path(str(row["video"])).read_bytes()
    part = client.get(f"/clip/{address}", headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.data)) == (206, 10)


def test_one_class_is_chosen_by_the_address(live: LiveCatalog) -> None:
    rows = mistakes(live)
    label = str(rows[0]["class"])
    text = shown(live, "cell", "mistakes", key=KEY, **{"class": label})
    assert text.count("/strip/") == sum(row["class"] == label for row in rows)
    assert "None." in shown(live, "cell", "mistakes", key=KEY, **{"class": "unknown"})


def test_what_one_of_two_cells_gets_right(live: LiveCatalog) -> None:
    text = shown(live, "compare", "decided", cells=f"{KEY},{OTHER}")
    videos = 12
    assert text.count("/strip/") == videos, "they disagree about every video"
    assert "TAM-Tiny-f8@toy right, TAM-Tiny-f8@toy#1 wrong" in text
    wrong = text.index("TAM-Tiny-f8@toy#1 right")
    assert text[wrong:].count("/strip/") == len(mistakes(live))


def test_nothing_but_what_a_manifest_names_is_served(storage: Path) -> None:
    copy = live_of(storage)
    client = client_of(copy)
    (row, *_) = mistakes(copy)
    address = f"{KEY}/{row['evaluation']}/{row['index']}"
    wrong = (
        f"{KEY}/{row['evaluation']}/999",
        f"{KEY}/{row['evaluation']}/{10**30}",
        f"{KEY}/none/{row['index']}",
        f"none/{row['evaluation']}/0",
        f"{KEY}/..%2f..%2fetc/0",
        f"{KEY}/{row['evaluation']}/..%2f..%2fetc%2fpasswd",
        f"{KEY}/{row['evaluation']}/-1",
    )
    for kind in ("strip", "clip"):
        assert {client.get(f"/{kind}/{one}").status_code for one in wrong} == {404}
    (manifest,) = storage.glob("datasets/*/manifest.parquet")
    Path(read_manifest(manifest).split("val")[int(row["index"])].path).write_bytes(b"other content")
    assert client.get(f"/clip/{address}").status_code == 404, "not the file that the dataset was built from"
    assert b"changed" in client.get(f"/clip/{address}").data


def test_a_video_that_no_browser_plays_says_why(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The page asks by the file's ending.
    monkeypatch.delitem(shown_videos.PLAYED, ".mp4")
    text = shown(live_of(trained), "cell", "mistakes", key=KEY)
    assert "/strip/" in text and "/clip/" not in text
    assert "cannot be played: browsers do not play .mp4; they play .m4v, .webm, .ogv" in text


def test_a_token_is_asked_for(live: LiveCatalog) -> None:
    (row, *_) = mistakes(live)
    address = f"{KEY}/{row['evaluation']}/{row['index']}"
    client = client_of(live, TOKEN)
    for kind in ("strip", "clip"):
        assert client.get(f"/{kind}/{address}").status_code == 401
        allowed = client.get(f"/{kind}/{address}", headers={"Authorization": f"Bearer {TOKEN}"})
        assert allowed.status_code == 200
    foreign = {"Authorization": f"Bearer {TOKEN}", "Sec-Fetch-Site": "cross-site"}
    assert client.get(f"/strip/{address}", headers=foreign).status_code == 403


def test_frames_elsewhere_are_said_to_be(storage: Path) -> None:
    shutil.rmtree(next(storage.glob("datasets/*/shards")))
    text = shown(live_of(storage), "cell", "mistakes", key=KEY)
    assert "Frames are not on this machine" in text and "/strip/" not in text
    assert "taken for" in text, "the mistakes are named all the same"


def test_a_manifest_of_another_name_or_video_is_not_taken(trained: Path) -> None:
    videos = ShownVideos(FolderStorage(trained))
    (manifest,) = trained.glob("datasets/*/manifest.parquet")
    split = read_manifest(manifest).split("val")
    place = VideoPlace((str(manifest),), "val", 0, Path(split[0].path).name, 8, "uniform", 1, 1)
    assert videos.strip(place)
    for wrong in ({"name": "other.mp4"}, {"index": 99}, {"manifests": ("/etc/passwd",)}):
        with pytest.raises(NotShownError):
            videos.strip(dataclasses.replace(place, **wrong))  # type: ignore[arg-type]


def test_the_report_has_the_pictures_inside(trained: Path) -> None:
    with Catalog.open(trained) as catalog:
        part = report_section(catalog, "toy", ShownVideos(FolderStorage(trained)))
        assert report_section(catalog, "no such study", ShownVideos(FolderStorage(trained))) == ""
    assert part.count("data:image/jpeg;base64,") >= 4
    assert "The videos that decide" in part and "taken for" in part and "the best cell on toy" in part
    assert "TAM-Tiny-f8@toy#1 right, TAM-Tiny-f8@toy wrong" in part
