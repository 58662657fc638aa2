"""What a reader must know of a result stands beside it: precision, device, what chose it, and caveats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dash import html

from catalog import Catalog
from catalog.events import CellFinished, CellPlanned, DatasetBuilt, Event, StudySubmitted
from catalog.queries.caveats import MOST_NOTES, result_notes
from dashboards.pages import cell, compare, grid
from dashboards.pages.blocks import Block, Text
from dashboards.pages.request import Address, PageRequest
from dashboards.render.theme import LIGHT
from orchestrator.cli import main
from tests.support.grid_events import Grid, grid_events, write_quickly
from trainables.recipe.cell_spec import Recipe

GPU = {"device": "NVIDIA H100", "bf16": True, "workers": 1}
CPU = {"device": "CPU x86_64", "bf16": False, "workers": 1}
TF32 = {"device": "NVIDIA H100", "bf16": False, "switches": {"fp32": "tf32"}}
GRID = Grid(modules=("tam",), backbones=("resnet50",), poolings=(False,), datasets=("mini-ssv2",), epochs=1)
F8, F16, F32, F64 = (f"TAM-ResNet50-f{frames}@mini-ssv2" for frames in (8, 16, 32, 64))
# No published results stand beside these.
MINE = replace(GRID, datasets=("mine",))
M8, M16 = (cell.replace("mini-ssv2", "mine") for cell in (F8, F16))
PLAIN: dict[str, Any] = {"hardware": CPU, "inherit": "last"}


def catalog_of(
    folder: Path,
    recipe: dict[str, Any] | None = None,
    workers: int = 1,
    by_frames: dict[int, dict[str, Any]] | None = None,
    grid: Grid = GRID,
    study: dict[str, Any] | None = None,
    **finished: Any,
) -> Catalog:
    """A grid whose results have these fields; `recipe` changes its recipe, which has no flips of its own."""
    full = Recipe.model_validate({"flip": 0.0, **(recipe or {})}).model_dump(mode="json")
    config = {"recipe": full, "resources": {"workers": workers}}
    frames: dict[str, int] = {}

    def changed(event: Event) -> Event:
        if isinstance(event, CellPlanned):
            frames[event.key] = event.frames
            return replace(event, config=config)
        if isinstance(event, CellFinished):
            return replace(event, **(PLAIN | finished | (by_frames or {}).get(frames[event.key], {})))
        if isinstance(event, StudySubmitted) and study:
            return replace(event, config=study)
        return event

    write_quickly(folder, (changed(event) for event in grid_events(grid)))
    return Catalog.open(folder)


def caveats(catalog: Catalog, cell: str = F8) -> list[str]:
    sql = "SELECT kind FROM result_caveats WHERE cell = $cell ORDER BY kind"
    return [str(row) for row in catalog.query(sql, {"cell": cell}).column("kind").to_pylist()]


def result(catalog: Catalog, cell: str = F8) -> dict[str, Any]:
    row: dict[str, Any] = catalog.query("FROM results WHERE cell = $cell", {"cell": cell}).to_pylist()[0]
    return row


@pytest.mark.parametrize(
    ("hardware", "precision", "device"),
    [
        (GPU, "bf16", "NVIDIA H100"),
        (CPU, "fp32", "CPU x86_64"),
        (TF32, "tf32", "NVIDIA H100"),
        ({}, None, None),
    ],
)
def test_precision_and_device_stand_beside_the_number(
    hardware: dict[str, Any], precision: str | None, device: str | None, tmp_path: Path
) -> None:
    with catalog_of(tmp_path, hardware=hardware) as catalog:
        row = result(catalog)
        assert (row["precision"], row["device"]) == (precision, device)
        measured = catalog.query("SELECT DISTINCT precision, device FROM evaluations").to_pylist()
        assert measured == [{"precision": precision, "device": device}]


def test_a_comparison_that_mixes_precisions_or_devices_says_so(tmp_path: Path) -> None:
    with catalog_of(tmp_path, by_frames={32: {"hardware": GPU}}) as catalog:
        first = result_notes(catalog)[0]
        assert first.endswith("3 in fp32 on CPU x86_64, 1 in bf16 on NVIDIA H100")
        assert "mix precisions" in first
        keys = {cell: result(catalog, cell)["key"] for cell in (F8, F16, F32)}
        assert "mix" in result_notes(catalog, [keys[F8], keys[F32]])[0]
        assert not any("mix" in note for note in result_notes(catalog, [keys[F8], keys[F16]]))
        assert not any("mix" in note for note in result_notes(catalog, [keys[F32]]))


def test_two_kinds_of_gpu_in_one_precision_are_no_mixture(tmp_path: Path) -> None:
    with catalog_of(tmp_path, hardware=GPU, by_frames={8: {"hardware": GPU | {"device": "A100"}}}) as catalog:
        assert not any("mix" in note for note in result_notes(catalog))


def test_a_comparison_that_mixes_versions_of_what_computes_says_so(tmp_path: Path) -> None:
    """Of the package alone that differs; those that change no number, or that nobody knows, do not count."""
    here = {"torch": "2.15.0", "decord2": "1.0", "av": "17.0", "ray": "2.5", "numpy": "2.4"}
    others = {
        16: {"versions": here | {"torch": "2.11.0"}},
        32: {"versions": here | {"ray": "2.6", "numpy": "2.3", "av": "unknown"}},
        64: {"versions": {}},
    }
    with catalog_of(tmp_path, by_frames=others, versions=here) as catalog:
        told = (
            "these results mix versions of torch, and may differ by that alone: 2 with 2.15.0, 1 with 2.11.0"
        )
        assert [note for note in result_notes(catalog) if "mix" in note] == [told]
        keys = [result(catalog, cell)["key"] for cell in (F8, F32, F64)]
        assert not any("mix" in note for note in result_notes(catalog, keys))


@pytest.mark.parametrize(
    ("batch", "sync_bn", "workers", "kinds"),
    [
        # Published with 72 clips and without SyncBN at 8 frames, with 36 and SyncBN at 64.
        (
            72,
            False,
            1,
            {F8: [], F64: ["batch other than published", "batch statistics other than published"]},
        ),
        (36, True, 4, {F64: [], F8: ["batch other than published", "batch statistics other than published"]}),
        # One worker's statistics are those of the whole batch, as SyncBN's are.
        (36, False, 1, {F64: [], F8: ["batch other than published"]}),
        (36, False, 4, {F64: ["batch statistics other than published"]}),
        (72, True, 2, {F8: ["batch statistics other than published"]}),
    ],
)
def test_other_batches_and_batch_statistics_than_the_published_ones_are_told(
    batch: int, sync_bn: bool, workers: int, kinds: dict[str, list[str]], tmp_path: Path
) -> None:
    recipe = {"batch_size": batch, "sync_bn": sync_bn}
    with catalog_of(tmp_path, recipe, workers) as catalog:
        assert {cell: caveats(catalog, cell) for cell in kinds} == kinds


def test_a_dataset_is_known_by_what_it_is_and_both_places_say_the_same(tmp_path: Path) -> None:
    """Mini-SSV2 under a name of one's own has its published batch, another set of that name has none."""
    for name, declared, kinds in (
        ("mine", {"kind": "official", "name": "mini-ssv2"}, ["batch other than published"]),
        ("mini-ssv2", {"kind": "folder", "path": "videos"}, []),
    ):
        study = {"name": GRID.study, "datasets": {name: declared}}
        grid = replace(GRID, datasets=(name,))
        with catalog_of(tmp_path / name, {"batch_size": 35}, grid=grid, study=study) as catalog:
            cell_of = F8.replace("mini-ssv2", name)
            assert caveats(catalog, cell_of) == kinds
            assert ("published" in result(catalog, cell_of)["caveats"]) == bool(kinds)


def test_what_differs_is_said_with_both_figures(tmp_path: Path) -> None:
    with catalog_of(tmp_path, {"batch_size": 72}, 4) as catalog:
        text = result(catalog, F64)["caveats"]
    assert text == (
        "batches of 72 clips (published: 36); batch normalisation over 18 clips (published: SyncBN over 36)"
    )


def test_out_of_memory_is_told_with_the_clips_that_were_normalised_over(tmp_path: Path) -> None:
    with catalog_of(tmp_path, by_frames={8: {"accumulation": 4}}, grid=MINE) as catalog:
        assert caveats(catalog, M8) == ["out of memory"]
        assert caveats(catalog, M16) == []
        assert result(catalog, M8)["caveats"] == (
            "ran out of memory: gradients summed over 4 parts, "
            "batch normalisation over 18 clips instead of 72"
        )


def test_what_chose_a_checkpoint_is_told_where_it_is_what_is_reported(tmp_path: Path) -> None:
    with catalog_of(tmp_path / "val", inherit="best", grid=MINE) as catalog:
        assert caveats(catalog, M8) == [], "its last epoch was chosen by nothing"
        assert caveats(catalog, M16) == ["chosen on what is reported"]
        assert result(catalog, M16)["chosen_on"] == "validation videos"
    with catalog_of(
        tmp_path / "held out", inherit="best", choose_on=0.1, choose_videos=20, grid=MINE
    ) as catalog:
        assert caveats(catalog, M16) == []
        assert result(catalog, M16)["chosen_on"] == "10 % of the training videos"
    with catalog_of(tmp_path / "last", inherit="last", grid=MINE) as catalog:
        assert caveats(catalog, M16) == []
    best = {"name": GRID.study, "report": "best"}
    with catalog_of(tmp_path / "report", inherit="last", study=best, grid=MINE) as catalog:
        assert caveats(catalog, M8) == ["chosen on what is reported"]


def test_mirrored_clips_are_told_where_classes_tell_left_from_right(tmp_path: Path) -> None:
    with catalog_of(tmp_path / "ssv2", {"flip": 0.5}) as catalog:
        assert caveats(catalog) == ["mirrored"]
        assert "mirrored with probability 0.5" in result(catalog)["caveats"]
    with catalog_of(tmp_path / "without", {"flip": 0.0}) as catalog:
        assert caveats(catalog) == []
    for classes, kinds in (
        (["Swiping Left", "Stop"], ["mirrored"]),
        (["swipe_left", "Stop"], ["mirrored"]),
        (["leftovers", "bright"], []),
    ):
        folder = tmp_path / classes[0]
        built = DatasetBuilt("mine", "m", "t", "v", classes, {"train": 1, "val": 1}, 2, "jpeg", 0, time=1.0)
        write_quickly(folder, iter([built]), "data")
        with catalog_of(folder, {"flip": 0.5}, grid=MINE) as catalog:
            assert caveats(catalog, M8) == kinds
            assert ("mirrored" in result(catalog, M8)["caveats"]) is bool(kinds)


def test_a_cell_that_was_trained_partly_elsewhere_says_so(tmp_path: Path) -> None:
    mixed = GPU | {"epochs_in": {"bf16 on a GPU": 2, "fp32 on a CPU": 1}}
    with catalog_of(tmp_path, by_frames={8: {"hardware": mixed}}, hardware=GPU) as catalog:
        assert caveats(catalog) == ["epochs in several precisions"]
        text = result(catalog)["caveats"]
    assert text == "trained in parts: 2 epochs in bf16 on a GPU, 1 epochs in fp32 on a CPU"


def test_equal_notes_are_one_line_and_too_many_are_left_to_the_view(tmp_path: Path) -> None:
    with catalog_of(tmp_path, {"flip": 0.5}) as catalog:
        (many,) = (note for note in result_notes(catalog) if "mirrored" in note)
        assert many.startswith("4 results: clips mirrored with probability 0.5")
        found = catalog.query(many.partition("; which: ")[2]).column("cell").to_pylist()
        assert len(found) == 4 and F8 in found
        names = sorted(found)[:3]
        keys = [result(catalog, name)["key"] for name in names]
        (few,) = (note for note in result_notes(catalog, keys) if "mirrored" in note)
        assert few.startswith(f"{', '.join(names)}: clips mirrored")
        (own,) = (note for note in result_notes(catalog, [result(catalog)["key"]]) if "mirrored" in note)
        assert own.startswith(f"{F8}: ")
    many = Grid(modules=("tam",), frames=tuple(range(8, 8 * 20, 8)), datasets=("mini-ssv2",), epochs=1)
    parts = {frames: {"accumulation": frames} for frames in many.frames}
    with catalog_of(tmp_path / "many", by_frames=parts, grid=many) as catalog:
        notes = result_notes(catalog)
        assert len(notes) == MOST_NOTES + 1 and "result_caveats" in notes[-1]


@pytest.mark.parametrize(
    ("form", "mark"), [("table", "notes:"), ("markdown", "- "), ("latex", r"\footnotesize")]
)
def test_what_is_printed_for_people_has_the_notes_below(
    form: str, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog_of(tmp_path, {"flip": 0.5}, by_frames={8: {"hardware": GPU}}).close()
    printed = {}
    for one in (form, "csv"):
        monkeypatch.setattr(
            "sys.argv", ["actiongrid", "results", "--storage", str(tmp_path), "--format", one]
        )
        with pytest.raises(SystemExit):
            main()
        printed[one] = capsys.readouterr().out
    assert mark in printed[form]
    assert "mix precisions" in printed[form] and "clips mirrored" in printed[form]
    assert "mix precisions" not in printed["csv"], "data stay data"
    assert "clips mirrored" in printed["csv"], "each row has its own caveats"


def test_the_report_and_the_pages_show_them(tmp_path: Path) -> None:
    from dashboards.report.text import notes

    with catalog_of(tmp_path, {"flip": 0.5}, by_frames={8: {"hardware": GPU}}) as catalog:
        report = notes(catalog)
        assert "Notes on the results" in report and "mix precisions" in report and "mirrored" in report
        keys = [result(catalog, name)["key"] for name in (F8, F16)]
        on_cell = shown_notes(cell.blocks, catalog, "cell", key=keys[0])
        assert "mirrored" in on_cell and "mix" not in on_cell
        on_grid = shown_notes(grid.blocks, catalog, "grid")
        assert "mix precisions" in on_grid and "mirrored" not in on_grid
        assert "mix precisions" in shown_notes(compare.blocks, catalog, "compare", cells=",".join(keys))
    with catalog_of(tmp_path / "plain", grid=MINE) as catalog:
        assert notes(catalog) == shown_notes(grid.blocks, catalog, "grid") == ""
        assert shown_notes(cell.blocks, catalog, "cell", key=result(catalog, M8)["key"]) == ""


def shown_notes(
    blocks: Callable[[PageRequest], list[Block]], catalog: Catalog, page: str, **choices: str
) -> str:
    """The words of a page's block of notes, which is there, empty, also where nothing needs saying."""
    address = Address(page, choices=tuple(sorted(choices.items())))
    found = blocks(PageRequest(catalog, address, LIGHT, "storage"))
    contents = [one.content for one in found if isinstance(one, Text) and one.name == "notes"]
    return "".join(str(one) for one in contents if not isinstance(one, html.Section) or one.children)
