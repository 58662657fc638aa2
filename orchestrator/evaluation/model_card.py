"""The model card of an exported cell: what it takes, how well it does, and what it was made from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dashboards.statistics import accuracy_in_words, accuracy_interval
from trainables.inference.export import TOLERANCE, Checked, Form
from trainables.training.result import library_versions

if TYPE_CHECKING:
    from orchestrator.evaluation.load_cell import LoadedCell, Origin

_FRONT = """---
library_name: actiongrid
pipeline_tag: video-classification
tags: [video-classification, action-recognition]
---
"""
_USE: Mapping[Form, str] = {
    "state-dict": """from orchestrator import load_exported

network = load_exported("{name}")
network.predict("video.mp4").top(5)""",
    "torchscript": """import torch

logits = torch.jit.load("{name}")(clip)""",
    "onnx": """import onnxruntime

logits = onnxruntime.InferenceSession("{name}").run(["logits"], {{"clip": clip}})[0]""",
}


def model_card(cell: LoadedCell, form: Form, name: str, checked: Checked) -> str:
    """The card of a cell that was exported under this file name, in Markdown."""
    assert cell.origin is not None
    parts = [
        _FRONT + f"# {cell.name}",
        *_section("Use", _use(form, name)),
        *_section("Input and output", _input(cell, checked)),
        *_section("Accuracy", _accuracies(cell.origin)),
        *_section("Classes", _bullets(f"{place}: {label}" for place, label in enumerate(cell.classes))),
        *_section("Origin", _origin(cell, cell.origin)),
        *_section("Recipe", _json(cell.spec.recipe.model_dump(mode="json"))),
        *_section("Check", [_check_text(checked)]),
    ]
    return "\n".join(parts) + "\n"


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _bullets(lines: Iterator[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _json(value: object) -> list[str]:
    return ["```json", json.dumps(value, indent=2), "```"]


def _use(form: Form, name: str) -> list[str]:
    code = _USE.get(form, _USE["state-dict"])
    return ["```python", code.format(name=name), "```"]


def _input(cell: LoadedCell, checked: Checked) -> list[str]:
    protocol, norm, frames = cell.protocol, cell.normalisation, cell.spec.frames
    batch = "N" if checked.any_batch else "1"
    shape = f"({batch}, 3, {frames}, {protocol.crop_size}, {protocol.crop_size})"
    rate = f", every {protocol.sampling_rate}. frame" if protocol.sampling == "dense" else ""
    lines = (
        f"`clip`: float32 {shape}, in the order batch, RGB, time, height, width",
        f"values in [0, 1], minus the mean {list(norm.mean)}, divided by the standard deviation "
        f"{list(norm.std)}, for R, G and B",
        f"frames: {frames} by {protocol.sampling} sampling{rate}; shorter side {protocol.short_side} pixels, "
        f"crop {protocol.crop_size} pixels; {protocol.clips} x {protocol.crops} views (clips x crops)",
        f"`logits`: float32 ({batch}, {len(cell.classes)}), before a softmax; of several views their mean",
    )
    return _bullets(iter(lines))


def _accuracies(origin: Origin) -> list[str]:
    """A table of what was measured of this checkpoint; intervals are of 95 %, over the videos."""
    head = ["| top-1 | top-5 | videos | protocol |", "|---|---|---|---|"]
    rows = [
        f"| {_accuracy(row, 'top1')} | {_accuracy(row, 'top5')} | {row['videos']} of {row['split']} "
        f"| {_protocol(row)} |"
        for row in origin.evaluations
    ]
    return [
        *head,
        *rows,
        "",
        "In brackets: 95 % intervals of the accuracy over all such videos.",
    ]


def _accuracy(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None or not math.isfinite(row[name]):
        return "not a number"
    interval = accuracy_interval(row[name], row["videos"])
    return accuracy_in_words(row[name], (interval.low, interval.high))


def _protocol(row: Mapping[str, Any]) -> str:
    views = f"{row['clips']} x {row['crops']} views of {row['crop_size']}/{row['short_side']} px"
    return f"{row['sampling']}, {views}, mean of {row['average']}"


def _origin(cell: LoadedCell, origin: Origin) -> list[str]:
    spec = cell.spec
    superseded = ", superseded" if origin.superseded else ""
    lines = (
        f"cell {cell.name} of study {origin.study}{superseded}; key `{cell.key}`",
        f"network: module {spec.module}, backbone {spec.backbone}, temporal pooling "
        f"{'on' if spec.temporal_pooling else 'off'}, {spec.frames} frames; seed {spec.seed}",
        f"weights: {origin.which} checkpoint, epoch {origin.epoch}, sha256 `{origin.sha256}`",
        f"dataset {spec.dataset}: {origin.train_videos} training videos (manifest `{origin.train_hash}`), "
        f"{origin.val_videos} validation videos (manifest `{origin.val_hash}`)",
        f"trained with {_versions(origin.versions)}",
        f"exported with {_versions(library_versions())}",
    )
    return _bullets(iter(lines))


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _check_text(checked: Checked) -> str:
    return (
        f"On {checked.clips} clips the logits of these files differed from the cell's by "
        f"{checked.difference:.1e} at most; {TOLERANCE:g} is allowed."
    )
