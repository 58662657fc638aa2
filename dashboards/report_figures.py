"""The figures of the report: each with a caption and its table, one panel a dataset."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from dashboards.figures.accuracy_by_frames import accuracy_by_frames_data, draw_accuracy_by_frames
from dashboards.figures.contributions import (
    METRICS,
    contributions_data,
    draw_contributions,
    footnote,
    printed_contributions_data,
)
from dashboards.figures.filters import ALL, Filters
from dashboards.figures.temporal_pooling_gain import draw_temporal_pooling_gain, temporal_pooling_gain_data
from dashboards.markup import Column, details, paragraph, signed, table, three_decimals
from dashboards.theme import label

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
CROWDED = 24
"""With more bars than this in a panel, panels are made wider."""

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
}


def study_figures(catalog: Catalog, study: str, *, several: bool) -> str:
    """Return the figures of one study, each with its table."""
    heading = f"<h2>Results of {escape(study)}</h2>" if several and study else "<h2>Results</h2>"
    filters = Filters(study=(study,)) if study else ALL
    accuracies = accuracy_by_frames_data(catalog, filters)
    gains = temporal_pooling_gain_data(catalog, filters)
    contributions = contributions_data(catalog, filters)
    parts = [
        _figure("Accuracy by frames", "accuracy", _finished(accuracies), draw_accuracy_by_frames, _ACCURACY),
        _figure("Gain of temporal pooling", "gain", gains, draw_temporal_pooling_gain, _GAIN),
        _figure(
            "Spatial and temporal contributions",
            "contributions",
            contributions,
            draw_contributions,
            _CONTRIBUTIONS,
            show_table=True,
        ),
        paragraph(footnote(printed_contributions_data(catalog)), "soft"),
        details(
            "All published contributions, computed from the published accuracies",
            table(contributions_data(catalog, source="published").to_pylist(), _CONTRIBUTIONS),
        ),
    ]
    return heading + "".join(parts)


def _finished(accuracies: pa.Table) -> pa.Table:
    return accuracies.filter(accuracies.column("top1").is_valid())


def _figure(
    title: str,
    caption: str,
    data: pa.Table,
    draw: Callable[[pa.Table], go.Figure],
    columns: tuple[Column, ...],
    *,
    show_table: bool = False,
) -> str:
    heading = f"<h3>{title}</h3>"
    datasets = sorted(set(data.column("dataset").to_pylist()))
    if not datasets:
        note = draw(data).layout.annotations[0].text
        return heading + paragraph(note, "none")
    panels = "".join(_panel(draw(_only(data, dataset))) for dataset in datasets)
    wide = caption == "gain" and data.num_rows > CROWDED * len(datasets)
    return (
        f"{heading}<figure><figcaption>{escape(_CAPTIONS[caption])}</figcaption>"
        f'<div class="panels{" wide" if wide else ""}">{panels}</div>'
        + details("The figures as a table", table(data.to_pylist(), columns), open_=show_table)
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
