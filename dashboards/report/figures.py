"""The figures of the report: each with a caption and its table, one panel a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import label
from catalog.queries.filters import ALL, Filters
from dashboards.figures.accuracy_by_frames import accuracy_by_frames_data, draw_accuracy_by_frames
from dashboards.figures.accuracy_by_macs import accuracy_by_macs_data, draw_accuracy_by_macs
from dashboards.figures.against_published import (
    against_published_data,
    draw_against_published,
)
from dashboards.figures.against_published import summary as against_summary
from dashboards.figures.contributions import (
    METRICS,
    contributions_data,
    draw_contributions,
    footnote,
    printed_contributions_data,
)
from dashboards.figures.i3d_steps import draw_i3d_steps, i3d_steps_data
from dashboards.figures.printed_tables import TABLES, printed_table_data
from dashboards.figures.sampling import draw_sampling, sampling_data
from dashboards.figures.temporal_pooling_gain import draw_temporal_pooling_gain, temporal_pooling_gain_data
from dashboards.render.markup import Column, details, paragraph, quantity, signed, table, three_decimals

if TYPE_CHECKING:
    import pyarrow as pa

_AXES = (
    Column("source", "source"),
    Column("dataset", "dataset", label),
    Column("module", "module", label),
    Column("backbone", "backbone", label),
)
_ACCURACY = (
    *_AXES,
    Column("temporal_pooling", "pooling"),
    Column("frames", "frames", number=True),
    Column("top1", "top-1", number=True),
    Column("top1_std", "± std", number=True),
    Column("seeds", "seeds", number=True),
    Column("published_top1", "published", number=True),
    Column("cell", "cell"),
)
_GAIN = (
    *_AXES,
    Column("frames", "frames", number=True),
    Column("top1_without", "without", number=True),
    Column("top1_with", "with", number=True),
    Column("gain", "gain", signed, number=True),
    Column("published_gain", "published gain", signed, number=True),
)
_CONTRIBUTIONS = (
    Column("dataset", "dataset", label),
    Column("module", "module", label),
    Column("source", "source"),
    *(Column(name, symbol, three_decimals, number=True) for name, symbol in METRICS.items()),
    Column("n", "n (Φ̄, Ψ̄ᵗᵃ)", number=True),
    Column("missing", "missing", number=True),
    Column("n_ta_tp", "n (Ψ̄ᵗᵃ⁺ᵗᵖ)", number=True),
    Column("missing_ta_tp", "missing", number=True),
)
_COST = (
    *_AXES,
    Column("temporal_pooling", "pooling"),
    Column("frames", "frames", number=True),
    Column("sampling", "sampling"),
    Column("views", "views", number=True),
    Column("top1", "top-1", number=True),
    Column("macs", "MACs a clip", quantity, number=True),
    Column("total_macs", "MACs a video", quantity, number=True),
    Column("params", "parameters", quantity, number=True),
    Column("cell", "model"),
)
_SAMPLING = (
    *_AXES,
    Column("temporal_pooling", "pooling"),
    Column("frames", "frames", number=True),
    Column("sampling", "sampling"),
    Column("clip_top1", "fewest views", number=True),
    Column("video_top1", "most views", number=True),
    Column("gain", "gain", signed, number=True),
    Column("cell", "model"),
)
_STEPS = (
    Column("source", "source"),
    Column("dataset", "dataset", label),
    Column("step", "model"),
    Column("frames", "frames", number=True),
    Column("top1", "top-1", number=True),
    Column("change", "change", signed, number=True),
    Column("place", "from", wrap=True),
)
_AGAINST = (
    Column("cell", "cell"),
    Column("top1", "own", number=True),
    Column("published_top1", "published", number=True),
    Column("difference", "difference", signed, number=True),
    Column("low", "from", signed, number=True),
    Column("high", "to", signed, number=True),
    Column("outside", "outside"),
    Column("eval_videos", "videos", number=True),
    Column("seeds", "seeds", number=True),
)
_PRINTED = (
    Column("source_row", "row"),
    Column("source_column", "column"),
    Column("published", "published", number=True),
    Column("own", "own", number=True),
    Column("difference", "difference", signed, number=True),
    Column("note", "note", wrap=True),
)
CROWDED = 24
"""With more bars than this in a panel, panels are made wider."""


@dataclass(frozen=True)
class Section:
    """A figure of the report: its data, how it is drawn, and the columns of the table behind it.

    A figure that is `optional` is left out where there is nothing to see; `wide` asks for wider panels.
    """

    title: str
    caption: str
    data: pa.Table
    draw: Callable[[pa.Table], go.Figure]
    columns: tuple[Column, ...]
    open_table: bool = False
    optional: bool = False
    wide: bool = False


_CAPTIONS = {
    "accuracy": (
        "Clip-level top-1 accuracy of the last epoch on the validation videos, by clip length. Colour is "
        "the temporal module, symbol the backbone, dashes are temporal pooling, open stars are published "
        "results. Seeds are averaged."
    ),
    "gain": (
        "Top-1 with temporal pooling minus top-1 without it, in points: above the line pooling helps. "
        "Open stars are published results."
    ),
    "contributions": (
        "Φ̄ is the share of a module's accuracy that TSN, which models no time, reaches with the same "
        "backbone and length. Ψ̄ is what the module adds, as a share of what TSN leaves open: with temporal "
        "aggregation (ta), and with temporal aggregation and pooling (ta+tp). Averages over backbones and "
        "lengths (Equation 1 of Chen et al. 2021)."
    ),
    "cost": (
        "Top-1 accuracy by the multiply-accumulates of all views of a video. The area of a symbol is that "
        "of one clip. Filled symbols are own results, open ones published."
    ),
    "sampling": (
        "Uniform against dense sampling: solid bars are the accuracy with the fewest views, what more views "
        "add is transparent. U is uniform, D dense sampling."
    ),
    "steps": (
        "I3D with a stronger backbone, then without temporal pooling, then with squeeze-excitation: top-1 "
        "and its change in points. Bars marked * follow from changes that the paper prints in words."
    ),
    "against": (
        "Own minus published top-1, in points, with the 95 % interval that the number of videos (and the "
        "spread of several seeds) allows. Filled symbols lie outside."
    ),
}


def study_figures(catalog: Catalog, study: str, *, several: bool) -> str:
    """Return the figures of one study, each with its table."""
    heading = f"<h2>Results of {escape(study)}</h2>" if several and study else "<h2>Results</h2>"
    filters = Filters(study=(study,)) if study else ALL
    accuracies = accuracy_by_frames_data(catalog, filters)
    gains = temporal_pooling_gain_data(catalog, filters)
    contributions = contributions_data(catalog, filters)
    sections = [
        Section("Accuracy by frames", "accuracy", _finished(accuracies), draw_accuracy_by_frames, _ACCURACY),
        Section(
            "Gain of temporal pooling",
            "gain",
            gains,
            draw_temporal_pooling_gain,
            _GAIN,
            wide=gains.num_rows > CROWDED * len(set(gains.column("dataset").to_pylist())),
        ),
        Section(
            "Spatial and temporal contributions",
            "contributions",
            contributions,
            draw_contributions,
            _CONTRIBUTIONS,
            open_table=True,
        ),
    ]
    parts = [
        *map(_section, sections),
        paragraph(footnote(printed_contributions_data(catalog)), "soft"),
        details(
            "All published contributions, computed from the published accuracies",
            table(contributions_data(catalog, source="published").to_pylist(), _CONTRIBUTIONS),
        ),
        *map(_section, _further(catalog, filters)),
        _printed_tables(catalog, filters),
    ]
    return heading + "".join(parts)


def _further(catalog: Catalog, filters: Filters) -> list[Section]:
    costs = accuracy_by_macs_data(catalog, filters)
    against = against_published_data(catalog, filters)
    sampled = sampling_data(catalog, filters)
    steps = i3d_steps_data(catalog, filters)
    return [
        Section("Accuracy by cost", "cost", costs, draw_accuracy_by_macs, _COST, optional=True),
        Section("Sampling and views", "sampling", sampled, draw_sampling, _SAMPLING, optional=True),
        Section("I3D step by step", "steps", steps, draw_i3d_steps, _STEPS, optional=True),
        Section(
            "Own against published results",
            "against",
            against,
            draw_against_published,
            _AGAINST,
            optional=True,
        ),
    ]


def _printed_tables(catalog: Catalog, filters: Filters) -> str:
    parts = []
    for name, title in TABLES.items():
        rows = printed_table_data(catalog, name, filters).to_pylist()
        parts.append(details(f"{name} of Chen et al. 2021: {title}", table(rows, _PRINTED)))
    return "<h3>The paper's tables</h3>" + "".join(parts)


def _finished(accuracies: pa.Table) -> pa.Table:
    return accuracies.filter(accuracies.column("top1").is_valid())


def _section(section: Section) -> str:
    heading = f"<h3>{section.title}</h3>"
    datasets = sorted(set(section.data.column("dataset").to_pylist()))
    if not datasets:
        note = section.draw(section.data).layout.annotations[0].text
        return "" if section.optional else heading + paragraph(note, "none")
    panels = "".join(_panel(section.draw(_only(section.data, dataset))) for dataset in datasets)
    caption = _CAPTIONS[section.caption]
    if section.caption == "against":
        caption += " " + against_summary(section.data)
    behind = table(section.data.to_pylist(), section.columns)
    return (
        f"{heading}<figure><figcaption>{escape(caption)}</figcaption>"
        f'<div class="panels{" wide" if section.wide else ""}">{panels}</div>'
        + details("The figures as a table", behind, open_=section.open_table)
        + "</figure>"
    )


def _only(data: pa.Table, dataset: str) -> pa.Table:
    import pyarrow.compute as pc

    return data.filter(pc.equal(data.column("dataset"), dataset))


def _panel(figure: go.Figure) -> str:
    from plotly.io.json import to_json_plotly

    # Plotly escapes <, > and / in its JSON, so that no value can end the script element.
    content = to_json_plotly(figure.to_plotly_json())
    height = figure.layout.height
    return (
        f'<div class="panel"><div class="plot" style="height:{height}px"></div>'
        f'<script type="application/json">{content}</script></div>'
    )
