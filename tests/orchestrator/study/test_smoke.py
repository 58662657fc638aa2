"""Smoke forms: derived from the studies, valid, small, and without anything that a study has left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.study.cells import expand
from orchestrator.study.load import load_study, parse_study
from orchestrator.study.model import Study
from orchestrator.study.smoke import in_order, named_studies, smoke_form, written_forms
from trainables.models.registry import backbones_of, module_info


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Study, Study]]:
    """Every study of the paper, with its smoke form as it is read from its file, in the order of a run."""
    paths = written_forms(None, tmp_path_factory.mktemp("forms"))
    return [(load_study(path.stem.removeprefix("smoke-")), load_study(path)) for path in paths]


def test_each_study_has_a_smoke_form_and_runs_behind_those_that_it_needs(
    pairs: list[tuple[Study, Study]],
) -> None:
    names = [study.name for study, _ in pairs]
    assert {"deep-analysis", "sota", "clips", "spatial-temporal"} <= set(names) and "demo" not in names
    for place, (_, small) in enumerate(pairs):
        run_before = {one.name for _, one in pairs[:place]}
        assert {Path(name).stem for name in named_studies(small)} <= run_before


def test_every_module_pooling_and_other_axis_stays(pairs: list[tuple[Study, Study]]) -> None:
    for study, small in pairs:
        for axis in {"module", "temporal_pooling", *study.axes.other} - {"recipe.init"}:
            assert len(small.axes.values(axis) or ()) == len(study.axes.values(axis) or ()), study.name
        assert small.trains == study.trains and len(small.evaluates) == len(study.evaluates)


def test_cells_are_tiny_and_on_generated_videos(pairs: list[tuple[Study, Study]]) -> None:
    for _, small in pairs:
        for cell in expand(small):
            tiny = "tiny" in backbones_of(module_info(cell.module))
            assert cell.backbone == "tiny" if tiny else cell.module == "i3d_2017"
            assert cell.recipe.epochs <= 2 and cell.recipe.crop_size == cell.evaluation.crop_size == 32
            assert small.datasets[cell.dataset].kind in ("synthetic-motion", "synthetic-appearance")
            assert (cell.resources.workers, cell.resources.gpus_per_worker) == (1, 0)


def test_a_field_that_no_smoke_form_knows_stays_as_it_is() -> None:
    text = """\
name: x
axes: {module: [tam], backbone: [resnet18], frames: [8], dataset: [mini-ssv2], recipe.lr: [0.1, 0.2]}
recipe:
  base: {label_smoothing: 0.1, epochs: 90, warmup_epochs: 5, batch_size: 64}
  overrides: [{where: {dataset: mini-ssv2}, set: {clip_norm: 20.0, epochs: 75}}]
"""
    fields = smoke_form(parse_study(text, "x.yaml"))
    assert fields["axes"]["recipe.lr"] == [0.1, 0.2]
    recipe = fields["recipe"]["base"]
    assert (recipe["label_smoothing"], recipe["warmup_epochs"], recipe["epochs"]) == (0.1, 1, 2)
    (override,) = fields["recipe"]["overrides"]
    assert override == {"where": {"dataset": ["smoke-mini-ssv2"]}, "set": {"clip_norm": 20.0, "epochs": 2}}


def test_studies_that_name_each_other_still_have_an_order() -> None:
    one = parse_study("name: a\nevaluates: [{study: b}]\n", "a.yaml")
    other = parse_study("name: b\nevaluates: [{study: a}]\n", "b.yaml")
    assert len(in_order([one, other])) == 2
