"""docs/notebook.ipynb runs from its first cell to its last, on a small storage as `make demo` leaves one."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.paths import ROOT
from tests.support.run_here import run_here

FILE = ROOT / "docs" / "notebook.ipynb"
STUDY = """
name: demo
axes: {module: [tsn, tam], backbone: [tiny], frames: [8], dataset: [synthetic-motion]}
datasets: {synthetic-motion: {kind: synthetic-motion, train_per_class: 2, val_per_class: 1}}
recipe: {base: {init: random, batch_size: 8, lr: 0.05, crop_size: 32, epochs: 1}}
evaluation: {crop_size: 32, short_side: 36, batch_size: 8}
"""


def test_it_is_kept_without_what_a_run_left() -> None:
    cells = [cell for cell in nbformat.read(FILE, 4).cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_here(tmp_path / "demo-storage", STUDY) == []
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(FILE, 4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.source.splitlines()[0]: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    (table,) = shown["catalog = Catalog.open(STORAGE)"]
    assert "TAM-Tiny-f8@synthetic-motion" in table.data["text/plain"]
    (figure,) = shown['figure = draw_figure(catalog, "fig4", source="own", filters="module=tsn,tam")']
    assert figure.data["application/vnd.plotly.v1+json"]["data"]
    (best,) = shown["video = cell.validation_videos(1)[0]"]
    assert best.data["text/plain"].count("walk") >= 1
    (shapes,) = shown["clips = cell.clips(video, clips=2)"]
    assert shapes.data["text/plain"] == "(torch.Size([2, 3, 8, 32, 32]), torch.Size([2, 4]))"
