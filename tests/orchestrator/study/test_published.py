"""Recipes as published: each cell's own batch, SyncBN, epochs and schedule."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.planning.cost import not_counted
from orchestrator.planning.plan import make_plan
from orchestrator.study.cells import expand
from orchestrator.study.errors import StudyError
from orchestrator.study.load import load_study, parse_study

TABLE = Path(__file__).parents[3] / "catalog" / "published" / "mini_results.csv"
STUDY = """
name: own
axes: {module: [tam], backbone: [resnet18], frames: [32], dataset: [DATASET]}
recipe: {published: [batch_size, epochs], base: {lr: 0.1}, starter: {epochs: 9}}
"""


def test_every_cell_has_the_recipe_of_its_published_row() -> None:
    cells = {
        (one.dataset, one.module, one.backbone, str(one.temporal_pooling), str(one.frames)): one.recipe
        for one in expand(load_study("deep-analysis-as-published"))
    }
    rows = [*csv.DictReader(TABLE.read_text().splitlines())]
    assert len(cells) == len(rows) == 288
    for row in rows:
        place = (row["dataset"], row["module"], row["backbone"], row["temporal_pooling"], row["frames"])
        recipe = cells[place]
        said = (str(recipe.epochs), str(recipe.batch_size), str(recipe.sync_bn), recipe.schedule)
        schedule = row["lr_schedule"].removesuffix("s")
        assert said == (row["epochs"], row["batch_size"], row["sync_bn"], schedule)
    at_64 = Counter(recipe.epochs for place, recipe in cells.items() if place[4] == "64")
    assert at_64 == {35: 48, 45: 22, 41: 1, 43: 1}


def test_what_both_studies_have_is_trained_once() -> None:
    keys = [
        {one.cell.name: one.key for one in make_plan(load_study(name), size_of=not_counted).cells}
        for name in ("deep-analysis", "deep-analysis-as-published")
    ]
    assert keys[0].keys() == keys[1].keys()
    alike = [name for name in keys[0] if keys[0][name] == keys[1][name]]
    # The five runs of 60 clips at 8 frames move their whole chains.
    assert sum("-f8@" in name for name in alike) == 67
    assert 67 < len(alike) < 288


def test_only_the_named_fields_are_taken() -> None:
    (cell,) = expand(parse_study(STUDY.replace("DATASET", "mini-ssv2"), "s.yaml"))
    assert (cell.recipe.lr, cell.recipe.schedule, cell.recipe.epochs) == (0.1, "cosine", 35)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STUDY.replace("DATASET", "ssv2"), "recipe.published: no cell of the study has a published result"),
        (
            STUDY.replace("DATASET", "mini-ssv2") + "datasets: {mini-ssv2: {kind: synthetic-motion}}\n",
            "recipe.published: no cell of the study has a published result",
        ),
        (
            STUDY.replace("DATASET]", "mini-ssv2], recipe.batch_size: [8, 16]"),
            "recipe.published: recipe.batch_size is an axis, too",
        ),
        (STUDY.replace("DATASET", "mini-ssv2").replace("batch_size,", "lr,"), "'lr' is not one of them"),
    ],
)
def test_what_is_not_published_is_refused(text: str, said: str) -> None:
    with pytest.raises(StudyError) as error:
        parse_study(text, "s.yaml")
    assert said in str(error.value)
