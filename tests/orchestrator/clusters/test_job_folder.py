from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.clusters.job_folder import ROOMS, SubmitError, job_folder, run_command
from orchestrator.study.load import load_study
from tests.support.cluster_studies import write_study

FOLDER = """
name: own
axes: {module: [tsn], backbone: [tiny], frames: [8], dataset: [clips]}
datasets: {clips: {kind: folder, path: PATH}}
recipe: {base: {init: random}}
"""


def test_the_folder_holds_the_code_and_the_study_and_runs_alone(tmp_path: Path) -> None:
    study = write_study(tmp_path, "travels")
    with job_folder(str(study)) as packed:
        names = sorted(path.name for path in packed.folder.iterdir())
        assert names == sorted([*ROOMS, "submitted"])
        assert (packed.folder / packed.study_file).read_text() == study.read_text()
        assert not list(packed.folder.rglob("__pycache__"))
        planned = subprocess.run(
            [
                sys.executable,
                "-P",
                "-m",
                "orchestrator.cli",
                "plan",
                packed.study_file,
                "--storage",
                tmp_path,
            ],
            cwd=packed.folder,
            env={"PYTHONPATH": str(packed.folder), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        folder = packed.folder
    assert planned.returncode == 0, planned.stderr
    assert "TSN-Tiny-f8" in planned.stdout
    assert not folder.exists()


def test_a_shipped_study_needs_no_file() -> None:
    with job_folder("demo") as packed:
        assert (packed.study, packed.study_file) == ("demo", "demo")


def test_folders_of_videos_must_be_absolute(tmp_path: Path) -> None:
    study = tmp_path / "own.yaml"
    study.write_text(FOLDER.replace("PATH", "videos"))
    with (
        pytest.raises(SubmitError, match=r"videos is relative .* datasets\.clips\.path"),
        job_folder(str(study)),
    ):
        pass
    study.write_text(FOLDER.replace("PATH", "/data/videos"))
    with job_folder(str(study)) as packed:
        assert packed.study == "own"


def test_the_command_carries_absolute_paths_only() -> None:
    words = run_command("submitted/a b.yaml", "/mnt/grid", None)
    assert words == ("python -m orchestrator.cli run 'submitted/a b.yaml' --address auto --storage /mnt/grid")
    with pytest.raises(SubmitError, match="--weights-dir weights"):
        run_command("demo", None, "weights")


def test_a_file_of_claims_travels_in_the_study(tmp_path: Path) -> None:
    study = tmp_path / "own.yaml"
    study.write_text(FOLDER.replace("PATH", "/data/videos") + "claims: mine.yaml\n")
    (tmp_path / "mine.yaml").write_text("claims: [{name: one, statement: It is so., expect: {above: 50}}]")
    here = load_study(study)
    with job_folder(str(study)) as packed:
        there = load_study(packed.folder / packed.study_file)
    assert there == here and [one.name for one in there.claims] == ["one"]


def test_the_study_of_parents_travels_beside_the_study(tmp_path: Path) -> None:
    study, source = tmp_path / "own.yaml", tmp_path / "before" / "source.yaml"
    source.parent.mkdir()
    source.write_text(FOLDER.replace("PATH", "/data/videos").replace("name: own", "name: source"))
    named = "parents: {study: before/source.yaml}\n"
    study.write_text(FOLDER.replace("PATH", "/data/videos") + named)
    with job_folder(str(study)) as packed:
        there = load_study(packed.folder / packed.study_file)
    here = load_study(study)
    assert there.parent_study == here.parent_study is not None
    source.rename(source.parent / "own.yaml")
    study.write_text(study.read_text().replace("source.yaml", "own.yaml"))
    with pytest.raises(SubmitError, match="cannot travel together"), job_folder(str(study)):
        pass
