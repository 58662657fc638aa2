from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from catalog.export import all_even
from catalog.pivot import (
    PivotError,
    parse_pivot,
    pivot,
    pivot_columns,
    pivot_latex,
    pivot_legend,
    pivot_table,
)


def result(module: str, frames: int, top1: float | None, dataset: str = "d", **others: Any) -> dict[str, Any]:
    plain = {"backbone": "resnet50", "temporal_pooling": False, "seed": 0}
    return {"module": module, "frames": frames, "dataset": dataset, "top1": top1, **plain, **others}


ROWS = [
    result("tam", 8, 65.44),
    result("tam", 16, 68.63),
    result("i3d", 8, 62.63),
    result("i3d", 16, None),
    result("tsn", 8, 33.94),
    result("tsn", 16, 70.001),
]


@pytest.mark.parametrize("text", ["module×frames", "module x frames", "module*frames", " module ×frames"])
def test_axes_are_read_in_several_spellings(text: str) -> None:
    assert parse_pivot(text) == (("module",), ("frames",))


def test_several_axes_on_a_side() -> None:
    assert parse_pivot("module,backbone×dataset,frames") == (("module", "backbone"), ("dataset", "frames"))


@pytest.mark.parametrize(
    "text", ["module", "", "module×", "module×speed", "module×frames×seed", "module×module"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(PivotError, match="write rows×columns with axes from dataset"):
        parse_pivot(text)


def test_lengths_go_across_in_their_order() -> None:
    table = pivot([*ROWS, result("tam", 64, 1.0), result("tsn", 64, 0.5)], "module×frames")
    assert table.columns == (("f8",), ("f16",), ("f64",))
    assert table.rows == (("i3d",), ("tam",), ("tsn",))
    assert [[field and field.mean for field in line] for line in table.fields] == [
        [62.63, None, None],
        [65.44, 68.63, 1.0],
        [33.94, 70.001, 0.5],
    ]
    # Which is best takes statistics: dashboards/render/tables.py.
    assert table.best == frozenset()


def test_models_and_data_sets_have_the_names_that_papers_print() -> None:
    rows = [result(module, 8, 60.0, "mini-ssv2", backbone="inception_v1") for module in ("tam", "tsn")]
    lines = pivot_latex(pivot(rows, "module,backbone×dataset,frames")).decode().splitlines()
    assert lines[3] == r"module & backbone & Mini-SSV2 8 frames \\"
    assert [line.split(" & ")[:2] for line in lines[5:7]] == [["TAM", "InceptionV1"], ["TSN", "InceptionV1"]]


def test_different_data_sets_are_never_averaged() -> None:
    other = [result(row["module"], row["frames"], 10.0 + place, "e") for place, row in enumerate(ROWS)]
    table = pivot([*ROWS, *other], "module×frames")
    assert table.row_axes == ("dataset", "module") and len(table.rows) == 6
    assert table.blocks == (0, 0, 0, 1, 1, 1)
    assert pivot_latex(table).decode().count(r"\midrule") == 2


def test_seeds_are_averaged_with_their_sample_deviation() -> None:
    rows = [result("tam", 8, top1, seed=seed) for seed, top1 in enumerate((60.0, 62.0, 64.0))]
    ((field,),) = pivot(rows, "module×frames").fields
    # Of the population of these three it would be 1.63.
    assert field is not None and (field.mean, field.std, field.count) == (62.0, 2.0, 3)
    assert field.values == (60.0, 62.0, 64.0) and field.videos is None
    by_seed = pivot(rows, "module×seed")
    assert by_seed.columns == (("0",), ("1",), ("2",)) and by_seed.fields[0][2].mean == 64.0  # type: ignore[union-attr]


def test_fields_know_their_keys_and_the_fewest_videos() -> None:
    rows = [
        result("tam", 8, 60.0, seed=seed, key=f"k{seed}", eval_videos=videos)
        for seed, videos in enumerate((96, 90))
    ]
    ((field,),) = pivot(rows, "module×frames").fields
    assert field is not None and (field.keys, field.videos) == (("k0", "k1"), 90)


def sure() -> Any:
    table = pivot(ROWS, "module×frames")
    sure = tuple(
        tuple(
            field and replace(field, videos=96, low=field.mean - 9, high=field.mean + 8.5) for field in line
        )
        for line in table.fields
    )
    return replace(table, fields=sure, best=frozenset({(1, 0)}))


def test_latex_as_it_is_printed() -> None:
    lines = pivot_latex(sure()).decode().splitlines()
    assert lines[:9] == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"module & 8 frames & 16 frames \\",
        r"\midrule",
        r"I3D & 62.63 {\scriptsize $\pm$9.00} & -- \\",
        r"TAM & \textbf{65.44} {\scriptsize $\pm$9.00} & 68.63 {\scriptsize $\pm$9.00} \\",
        r"TSN & 33.94 {\scriptsize $\pm$9.00} & 70.00 {\scriptsize $\pm$9.00} \\",
        r"\bottomrule",
    ]
    # What ± and bold mean goes wherever the table goes.
    assert lines[9] == (
        r"\multicolumn{3}{l}{\scriptsize $\pm$: the farther end of the 95 \% interval from videos; "
        r"$n$ = 1 seed $\times$ 96 videos.} \\"
    )
    assert "Bold: better than all others" in lines[10] and lines[11:] == [r"\end{tabular}"]


def test_a_lopsided_interval_is_printed_with_its_ends_and_bold_only_explained_where_it_is() -> None:
    table = sure()
    ends = ((62.63, 2.6, 98.93), (65.44, 56.44, 73.44 + 0.5), (100.0, 96.2, 100.0))
    fields = tuple(
        (replace(line[0], mean=mean, low=low, high=high), *line[1:])
        for line, (mean, low, high) in zip(table.fields, ends, strict=True)
    )
    table = replace(table, fields=fields, best=frozenset())
    text = [row["f8"] for row in pivot_table(table).to_pylist()]
    assert text == [
        "62.63 [2.60, 98.93]",
        "65.44 [56.44, 73.94]",
        "100.00 [96.20, 100.00]",
    ]
    latex = pivot_latex(table).decode()
    assert r"62.63 {\scriptsize [2.60, 98.93]}" in latex
    assert "[low, high]: the 95" in latex and "Bold" not in latex
    assert all_even([(50.0, 45.0, 54.9), (-3.0, -5.0, -1.0), (1.0, None, None)])
    assert not all_even([(48.39, 1.4, 97.37)]), "± would reach below 0"
    assert pivot_legend(pivot(ROWS, "module×frames")) == ("n = 1 seed.",)


def test_n_stands_in_every_field_where_fields_differ_in_it() -> None:
    table = sure()
    first, *others = table.fields
    three = replace(first[0], count=3)  # type: ignore[type-var]
    mixed = replace(table, fields=((three, *first[1:]), *others))
    text = pivot_table(mixed).to_pylist()
    assert text[0]["f8"] == "62.63 ± 9.00 (n=3×96)" and text[1]["f16"] == "68.63 ± 9.00 (n=1×96)"
    assert r"62.63 {\scriptsize $\pm$9.00 ($n$=3$\times$96)}" in pivot_latex(mixed).decode()
    assert pivot_legend(mixed)[0].endswith(
        "from videos and seeds, of one seed from videos alone; n: seeds × videos."
    )
    every = tuple(tuple(field and replace(field, count=3) for field in line) for line in table.fields)
    assert pivot_legend(replace(table, fields=every))[0].endswith(
        "from videos and seeds; n = 3 seeds × 96 videos."
    )


def test_people_and_programs_get_the_intervals_too() -> None:
    text = pivot_table(sure(), strong="**{}**").to_pylist()
    assert text[1] == {"module": "tam", "f8": "**65.44** ± 9.00", "f16": "68.63 ± 9.00"}
    assert text[0]["f16"] is None
    numbers = pivot_columns(sure()).to_pylist()[1]
    assert list(numbers) == [
        "module",
        *(f"f{n}{end}" for n in (8, 16) for end in ("", "_low", "_high", "_seeds")),
    ]
    assert (numbers["f8"], numbers["f8_low"], numbers["f8_high"], numbers["f8_seeds"]) == (
        65.44,
        56.44,
        73.94,
        1,
    )


def test_names_cannot_break_latex() -> None:
    text = pivot_latex(pivot([result("a_b&c", 8, 1.0), result("much%", 8, 2.0)], "module×frames")).decode()
    assert r"a\_b\&c" in text and r"much\%" in text


def test_nothing_gives_an_empty_table() -> None:
    table = pivot([], "module×frames")
    assert table.fields == () and table.best == frozenset()
    assert pivot_latex(table).decode().count(r"\midrule") == 1
    assert pivot([result("tam", 8, float("nan"))], "module×frames").fields == ()
