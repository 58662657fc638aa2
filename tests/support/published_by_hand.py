"""The published study computed again from the CSV files alone; it shares no code with the product.

`python -m tests.support.published_by_hand` prints it.
"""

from __future__ import annotations

import csv
import itertools
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "catalog" / "published"
MODULES = ("tsn", "tam", "s3d", "i3d")
TEMPORAL = MODULES[1:]
BACKBONES = ("inception_v1", "resnet18", "resnet50")
DATASETS = ("mini-ssv2", "mini-kinetics", "mini-mit")
LENGTHS = (8, 16, 32, 64)
STEPS = ((16, 8), (32, 16), (64, 32))

Model = tuple[str, str, str, bool, int]
"""Dataset, module, backbone, temporal pooling, frames."""


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


CELLS: dict[Model, float] = {
    (r["dataset"], r["module"], r["backbone"], r["temporal_pooling"] == "True", int(r["frames"])): float(
        r["top1"]
    )
    for r in _rows("mini_results")
}
"""Top-1 of the 288 cells, percent."""

PRINTED = {
    (r["source_table"], r["source_row"], r["source_column"]): float(r["value"])
    for number in (2, 3, 4, 5, 6)
    for r in _rows(f"table{number}")
}
FLOPS = {(r["source_row"], r["source_column"]): float(r["flops_g"]) for r in _rows("table2") if r["flops_g"]}
PRINTED_TABLE_7 = {(r["dataset"], r["metric"], r["module"]): float(r["value"]) for r in _rows("table7")}


def gain(dataset: str, module: str, backbone: str, frames: int) -> float:
    """Figure 6: points that temporal pooling adds."""
    pooled = CELLS[dataset, module, backbone, True, frames]
    return pooled - CELLS[dataset, module, backbone, False, frames]


def gains() -> dict[tuple[str, str, str, int], float]:
    """All bars of Figure 6."""
    return {one: gain(*one) for one in itertools.product(DATASETS, MODULES, BACKBONES, LENGTHS)}


def contribution(dataset: str, metric: str, module: str) -> float:
    """Table 7 by Equation 1, over 3 backbones and 4 lengths."""
    values = []
    for backbone, frames in itertools.product(BACKBONES, LENGTHS):
        mine = CELLS[dataset, module, backbone, metric == "psi_ta_tp", frames]
        tsn = CELLS[dataset, "tsn", backbone, False, frames]
        values.append(tsn / max(mine, tsn) if metric == "phi" else (mine - tsn) / (100 - tsn))
    return statistics.fmean(values)


def table_7() -> dict[tuple[str, str, str], float]:
    """The 27 figures of Table 7, not rounded."""
    metrics = ("phi", "psi_ta", "psi_ta_tp")
    return {one: contribution(*one) for one in itertools.product(DATASETS, metrics, TEMPORAL)}


def table_7_agreeing() -> tuple[int, int]:
    """How many of the 27 printed figures agree to two decimals: as printed; with I3D and S3D exchanged."""
    other = {"i3d": "s3d", "s3d": "i3d", "tam": "tam"}
    plain = exchanged = 0
    for (dataset, metric, module), value in table_7().items():
        plain += round(value, 2) == PRINTED_TABLE_7[dataset, metric, module]
        place = module if metric == "psi_ta_tp" else other[module]
        exchanged += round(value, 2) == PRINTED_TABLE_7[dataset, metric, place]
    return plain, exchanged


def _top1(dataset: str, module: str, backbone: str, frames: int) -> float:
    return CELLS[dataset, module, backbone, False, frames]


def _mean(one: Callable[[str, int], float]) -> float:
    return statistics.fmean(one(b, f) for b, f in itertools.product(BACKBONES, LENGTHS))


def _grid(one: Callable[[str, str, str, int], float], **only: Iterable[object]) -> list[float]:
    axes = {"d": DATASETS, "m": MODULES, "b": BACKBONES, "f": LENGTHS}
    return [one(*place) for place in itertools.product(*(only.get(name, axes[name]) for name in axes))]  # type: ignore[arg-type]


def _table(name: str, columns: Iterable[str], pairs: Iterable[tuple[str, str]]) -> list[float]:
    return [
        PRINTED[name, first, column] - PRINTED[name, second, column]
        for column in columns
        for first, second in pairs
    ]


I3D, TAM, SLOWFAST = "1: I3D-ResNet50", "3: TAM-ResNet50", "4: SlowFast-ResNet50-8×8"
_TRANSFER = ("1: I3D-ResNet50", "2: TAM-ResNet50", "3: SlowFast-ResNet50-8×8")
_PLACES = ("8 All", "4 Top-half", "4 Bottom-half", "4 Uniform-half")
_ROWS_5 = [f"{d} f={f}" for d in ("Mini-SSV2", "Mini-Kinetics") for f in (8, 16)]


def _table_5(backbone: str, pairs: Iterable[tuple[str, str]]) -> list[float]:
    return [
        PRINTED["Table 5", row, f"{backbone} {first}"] - PRINTED["Table 5", row, f"{backbone} {second}"]
        for row in _ROWS_5
        for first, second in pairs
        if ("Table 5", row, f"{backbone} {first}") in PRINTED
    ]


def claim_values() -> dict[str, list[float]]:
    """What each statement of the paper is about: the numbers of its cases, where they are published."""
    temporal = {"m": TEMPORAL}
    pairs = (("i3d", "s3d"), ("i3d", "tam"), ("s3d", "tam"))
    return {
        "resnet50-over-inceptionv1": _grid(
            lambda d, m, _, f: _top1(d, m, "resnet50", f) - _top1(d, m, "inception_v1", f), b=("any",)
        ),
        "inceptionv1-over-resnet18": _grid(
            lambda d, m, _, f: _top1(d, m, "inception_v1", f) - _top1(d, m, "resnet18", f), b=("any",)
        ),
        "backbone-tendency": [
            statistics.fmean(_top1(d, m, first, f) - _top1(d, m, second, f) for f in LENGTHS)
            for d, m in itertools.product(DATASETS, MODULES)
            for first, second in (("resnet50", "inception_v1"), ("inception_v1", "resnet18"))
        ],
        "longer-is-better": [
            _top1(d, m, b, long) - _top1(d, m, b, short)
            for d, m, b in itertools.product(DATASETS, MODULES, BACKBONES)
            for long, short in STEPS
        ],
        "little-gain-after-32-frames": [
            statistics.fmean(
                _top1(d, m, b, 64) - _top1(d, m, b, 32) for m, b in itertools.product(MODULES, BACKBONES)
            )
            for d in DATASETS
        ],
        "pooling-hurts-all-but-tsn": _grid(gain, **temporal),
        "pooling-hurts-all-but-tsn-on-average": [
            _mean(lambda b, f, d=d, m=m: gain(d, m, b, f))  # type: ignore[misc]
            for d, m in itertools.product(DATASETS, TEMPORAL)
        ],
        "tsn-pooling-mini-ssv2": _grid(gain, d=("mini-ssv2",), m=("tsn",)),
        "tsn-pooling-mini-mit": _grid(gain, d=("mini-mit",), m=("tsn",)),
        "tsn-pooling-grows-with-frames": [
            gain(d, "tsn", b, long) - gain(d, "tsn", b, short)
            for d, b in itertools.product(DATASETS, BACKBONES)
            for long, short in STEPS
        ],
        "tsn-pooling-64-against-8-frames": [
            gain(d, "tsn", b, 64) - gain(d, "tsn", b, 8) for d, b in itertools.product(DATASETS, BACKBONES)
        ],
        "tsn-pooling-mini-kinetics-short": _grid(gain, d=("mini-kinetics",), m=("tsn",), f=(8, 16, 32)),
        "tsn-pooling-mini-kinetics-long": _grid(gain, d=("mini-kinetics",), m=("tsn",), f=(64,)),
        "tsn-suffers-least-on-mini-kinetics": _grid(
            lambda d, m, b, f: gain(d, "tsn", b, f) - gain(d, m, b, f), d=("mini-kinetics",), **temporal
        ),
        "i3d-on-par": _table("Table 2", ("Kinetics", "SSV2", "MiT"), ((I3D, TAM), (I3D, SLOWFAST))),
        "recent-models-are-cheaper": [
            100 * (FLOPS[row, "Kinetics"] / FLOPS[I3D, "Kinetics"] - 1) for row in (SLOWFAST, "15: X3D-L")
        ],
        "recent-models-are-not-more-accurate": _table(
            "Table 2",
            ("Kinetics",),
            (
                (TAM, I3D),
                (SLOWFAST, I3D),
                ("6: TAM-ResNet101", "5: I3D-ResNet101"),
                ("10: SlowFast-ResNet101-8×8", "5: I3D-ResNet101"),
            ),
        ),
        "slowfast-under-i3d-and-tam-on-ssv2": _table(
            "Table 2", ("SSV2",), ((I3D, SLOWFAST), (TAM, SLOWFAST))
        ),
        "i3d-and-tam-take-either-sampling": [
            PRINTED["Table 3", row, "U-Sampling"] - PRINTED["Table 3", row, "D-Sampling"]
            for row in _TRANSFER[:2]
        ],
        "slowfast-needs-dense-sampling": [
            PRINTED["Table 3", _TRANSFER[2], "U-Sampling"] - PRINTED["Table 3", _TRANSFER[2], "D-Sampling"]
        ],
        "transfer-alike": _table(
            "Table 4",
            ("UCF101", "HMDB51", "Jester", "Mini-SSV2"),
            [*itertools.combinations(_TRANSFER, 2)],
        ),
        "i3d-best-on-ucf101": _table(
            "Table 4", ("UCF101",), [(_TRANSFER[0], _TRANSFER[1]), (_TRANSFER[0], _TRANSFER[2])]
        ),
        "temporal-modelling-is-needed": _grid(
            lambda d, m, b, f: _top1(d, m, b, f) - _top1(d, "tsn", b, f), **temporal
        ),
        "temporal-modelling-is-needed-on-average": [
            _mean(lambda b, f, d=d, m=m: _top1(d, m, b, f) - _top1(d, "tsn", b, f))  # type: ignore[misc]
            for d, m in itertools.product(DATASETS, TEMPORAL)
        ],
        "depthwise-over-others-resnet50": _table_5(
            "ResNet50", [*itertools.product(("TAM", "TSM"), ("I3D", "Conv.", "NLN"))]
        ),
        "depthwise-over-others-inceptionv1": _table_5("InceptionV1", [("TAM", "I3D"), ("TAM", "Conv.")]),
        "tam-over-i3d": _grid(lambda d, _, b, f: _top1(d, "tam", b, f) - _top1(d, "i3d", b, f), m=("any",)),
        "tam-over-i3d-uniform-kinetics": _table("Table 3", ("U-Sampling",), [(_TRANSFER[1], _TRANSFER[0])]),
        "top-half-is-best-on-mini-ssv2": _table(
            "Table 6", ("Mini-SSV2",), [("4 Top-half", one) for one in _PLACES if one != "4 Top-half"]
        ),
        "place-does-not-matter-on-mini-kinetics": _table(
            "Table 6", ("Mini-Kinetics",), [*itertools.combinations(_PLACES, 2)]
        ),
        "modules-have-alike-spatial-contributions": [
            contribution(d, "phi", first) - contribution(d, "phi", second)
            for d in DATASETS
            for first, second in pairs
        ],
        "modules-have-alike-temporal-contributions": [
            contribution(d, "psi_ta", first) - contribution(d, "psi_ta", second)
            for d in DATASETS
            for first, second in pairs
        ],
        "2d-and-3d-accuracies-alike": [
            _mean(lambda b, f, d=d, m=m: _top1(d, "tam", b, f) - _top1(d, m, b, f))  # type: ignore[misc]
            for d, m in itertools.product(DATASETS, ("i3d", "s3d"))
        ],
        "spatial-slightly-over-temporal-mini-ssv2": _phi_less_psi("mini-ssv2"),
        "spatial-much-over-temporal-mini-mit": _phi_less_psi("mini-mit"),
        "spatial-dominates-mini-kinetics": [
            contribution(first, "phi", m) - contribution(second, "phi", m)
            for m in TEMPORAL
            for first, second in (("mini-kinetics", "mini-mit"), ("mini-mit", "mini-ssv2"))
        ],
        "tsn-fails-on-mini-ssv2": _grid(
            lambda d, m, b, f: _top1(d, m, b, f) - _top1(d, "tsn", b, f), d=("mini-ssv2",), **temporal
        ),
        "temporal-modelling-mini-kinetics-over-mini-mit": [
            contribution("mini-kinetics", "psi_ta", m) - contribution("mini-mit", "psi_ta", m)
            for m in TEMPORAL
        ],
        "pooling-lowers-temporal-contribution": [
            contribution(d, "psi_ta_tp", m) - contribution(d, "psi_ta", m)
            for d, m in itertools.product(DATASETS, TEMPORAL)
        ],
        "pooling-makes-contribution-negative-mini-kinetics": [
            contribution("mini-kinetics", "psi_ta_tp", m) for m in TEMPORAL
        ],
    }


def _phi_less_psi(dataset: str) -> list[float]:
    return [contribution(dataset, "phi", m) - contribution(dataset, "psi_ta", m) for m in TEMPORAL]


VERDICTS = {
    "resnet50-over-inceptionv1": ("holds", 0),
    "inceptionv1-over-resnet18": ("fails", 11),
    "backbone-tendency": ("fails", 2),
    "longer-is-better": ("holds", 12),
    "little-gain-after-32-frames": ("fails", 1),
    "uniform-over-dense": ("cannot be told", 0),
    "ten-dense-clips-mini-kinetics": ("cannot be told", 0),
    "ten-dense-clips-mini-ssv2": ("cannot be told", 0),
    "pooling-hurts-all-but-tsn": ("fails", 8),
    "pooling-hurts-all-but-tsn-on-average": ("holds", 0),
    "tsn-pooling-mini-ssv2": ("fails", 2),
    "tsn-pooling-mini-mit": ("fails", 8),
    "tsn-pooling-grows-with-frames": ("fails", 1),
    "tsn-pooling-64-against-8-frames": ("holds", 0),
    "tsn-pooling-mini-kinetics-short": ("fails", 1),
    "tsn-pooling-mini-kinetics-long": ("holds", 0),
    "tsn-suffers-least-on-mini-kinetics": ("fails", 2),
    "i3d-on-par": ("holds", 0),
    "recent-models-are-cheaper": ("holds", 0),
    "recent-models-are-not-more-accurate": ("holds", 0),
    "slowfast-under-i3d-and-tam-on-ssv2": ("fails", 1),
    "i3d-and-tam-take-either-sampling": ("holds", 0),
    "slowfast-needs-dense-sampling": ("holds", 0),
    "dense-sampling-saturates": ("cannot be told", 0),
    "transfer-alike": ("fails", 4),
    "i3d-best-on-ucf101": ("holds", 0),
    "temporal-modelling-is-needed": ("fails", 9),
    "temporal-modelling-is-needed-on-average": ("holds", 0),
    "depthwise-over-others-resnet50": ("holds", 0),
    "depthwise-over-others-inceptionv1": ("cannot be told", 0),
    "tam-over-i3d": ("fails", 7),
    "tam-over-i3d-uniform-kinetics": ("holds", 0),
    "top-half-is-best-on-mini-ssv2": ("holds", 0),
    "place-does-not-matter-on-mini-kinetics": ("holds", 0),
    "modules-have-alike-spatial-contributions": ("holds", 0),
    "modules-have-alike-temporal-contributions": ("holds", 0),
    "2d-and-3d-accuracies-alike": ("holds", 0),
    "spatial-slightly-over-temporal-mini-ssv2": ("holds", 0),
    "spatial-much-over-temporal-mini-mit": ("holds", 0),
    "spatial-dominates-mini-kinetics": ("holds", 0),
    "tsn-fails-on-mini-ssv2": ("holds", 0),
    "temporal-modelling-mini-kinetics-over-mini-mit": ("holds", 0),
    "pooling-lowers-temporal-contribution": ("holds", 0),
    "pooling-makes-contribution-negative-mini-kinetics": ("holds", 0),
}
"""The verdict on the published numbers, and in how many cases a statement is not so."""


if __name__ == "__main__":
    print(f"{len(CELLS)} cells; Table 7 agrees in {table_7_agreeing()} of 27")
    for name, values in claim_values().items():
        verdict, wrong = VERDICTS[name]
        print(f"{verdict:14} {name}: {min(values):.2f} to {max(values):.2f}, not so in {wrong}")
