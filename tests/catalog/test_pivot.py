from __future__ import annotations

from typing import Any

import pytest

from catalog.export import to_latex
from catalog.pivot import PivotError, best_rows, parse_pivot, pivot, pivot_latex


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


def test_lengths_go_across_in_their_order_and_the_best_is_marked() -> None:
    table = pivot([*ROWS, result("tam", 64, 1.0), result("tsn", 64, 0.5)], "module×frames")
    assert table.columns == (("f8",), ("f16",), ("f64",))
    assert table.rows == (("i3d",), ("tam",), ("tsn",))
    assert [[field and field.mean for field in line] for line in table.fields] == [
        [62.63, None, None],
        [65.44, 68.63, 1.0],
        [33.94, 70.001, 0.5],
    ]
    assert table.best == {(1, 0), (2, 1), (1, 2)}


def test_models_and_data_sets_have_the_names_that_papers_print() -> None:
    rows = [result(module, 8, 60.0, "mini-ssv2", backbone="inception_v1") for module in ("tam", "tsn")]
    lines = pivot_latex(pivot(rows, "module,backbone×dataset,frames")).decode().splitlines()
    assert lines[2] == r"module & backbone & Mini-SSV2 f8 \\"
    assert [line.split(" & ")[:2] for line in lines[4:6]] == [["TAM", "InceptionV1"], ["TSN", "InceptionV1"]]


def test_different_data_sets_are_never_averaged() -> None:
    other = [result(row["module"], row["frames"], 10.0 + place, "e") for place, row in enumerate(ROWS)]
    table = pivot([*ROWS, *other], "module×frames")
    assert table.row_axes == ("dataset", "module") and len(table.rows) == 6
    assert table.blocks == (0, 0, 0, 1, 1, 1)
    # The best of each data set, though the second one is worse everywhere.
    assert table.best == {(1, 0), (2, 1), (5, 0), (5, 1)}
    assert pivot_latex(table).decode().count(r"\midrule") == 2


def test_seeds_are_averaged_with_their_spread() -> None:
    rows = [result("tam", 8, top1, seed=seed) for seed, top1 in enumerate((60.0, 62.0, 64.0))]
    ((field,),) = pivot(rows, "module×frames").fields
    assert field is not None and (field.mean, field.std, field.count) == (62.0, 2.0, 3)
    assert b"62.00 {\\scriptsize$\\pm$2.00}" in pivot_latex(pivot(rows, "module×frames"))
    by_seed = pivot(rows, "module×seed")
    assert by_seed.columns == (("0",), ("1",), ("2",)) and by_seed.fields[0][2].mean == 64.0  # type: ignore[union-attr]


def test_latex_as_it_is_printed() -> None:
    lines = pivot_latex(pivot(ROWS, "module×frames")).decode().splitlines()
    assert lines == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"module & f8 & f16 \\",
        r"\midrule",
        r"I3D & 62.63 & -- \\",
        r"TAM & \textbf{65.44} & 68.63 \\",
        r"TSN & 33.94 & \textbf{70.00} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_names_cannot_break_latex() -> None:
    text = pivot_latex(pivot([result("a_b&c", 8, 1.0), result("much%", 8, 2.0)], "module×frames")).decode()
    assert r"a\_b\&c" in text and r"much\%" in text


def test_results_that_print_alike_share_the_bold() -> None:
    table = pivot(
        [result("tam", 8, 65.441), result("i3d", 8, 65.444), result("tsn", 8, 1.0)], "module×frames"
    )
    assert table.best == {(0, 0), (1, 0)}


def test_nothing_gives_an_empty_table() -> None:
    table = pivot([], "module×frames")
    assert table.fields == () and table.best == frozenset()
    assert pivot_latex(table).decode().count(r"\midrule") == 1
    assert pivot([result("tam", 8, float("nan"))], "module×frames").fields == ()


def test_the_best_of_a_plain_table_stand_in_bold() -> None:
    import pyarrow as pa

    rows = [{"cell": row["module"], "dataset": row["dataset"], "top1": row["top1"]} for row in ROWS]
    rows.append({"cell": "alone", "dataset": "e", "top1": 12.0})
    best = best_rows(rows, ("top1",))
    assert best == {(5, "top1"), (6, "top1")}
    text = to_latex(pa.Table.from_pylist(rows), best).decode()
    assert text.count(r"\textbf{") == 2 and r"tsn & d & \textbf{70.00} \\" in text
    assert r"\textbf" not in to_latex(pa.Table.from_pylist(rows)).decode()
