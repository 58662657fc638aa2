"""Findings about models: lengths, pooling, contributions, I3D's steps, seeds."""

from __future__ import annotations

from dash import html

from catalog.queries.relations import Source
from dashboards.figures.accuracy_by_frames import accuracy_by_frames_data, draw_accuracy_by_frames
from dashboards.figures.contributions import (
    METRICS,
    contribution_pairs_data,
    contributions_data,
    draw_contributions,
    footnote,
    printed_contributions_data,
)
from dashboards.figures.i3d_steps import draw_i3d_steps, i3d_steps_data
from dashboards.figures.seeds import draw_seeds, seeds_data
from dashboards.figures.temporal_pooling_gain import draw_temporal_pooling_gain, temporal_pooling_gain_data
from dashboards.pages.at_once import at_once
from dashboards.pages.blocks import Block, Column, Figure, Table
from dashboards.pages.parts import WITH_NAMES
from dashboards.pages.view import View

_PAIRS: dict[str, Column | str] = {
    "source": "source",
    "study": "study",
    "dataset": "dataset",
    "module": "module",
    "backbone": "backbone",
    "temporal_pooling": "pooling",
    "frames": "frames",
    "top1": "top-1",
    "tsn_top1": "TSN's top-1",
    "phi": "Φ",
    "psi": "Ψ",
}


def by_frames(view: View, source: Source) -> list[Block]:
    """Return Figure 4."""
    table = accuracy_by_frames_data(view.catalog, view.filters, source)
    caption = (
        "Clip-level top-1 of the last epoch by clip length (Figure 4). Colour is the module, the symbol the "
        "backbone, dashes are temporal pooling, open stars are published results."
    )
    drawing = draw_accuracy_by_frames(table, view.theme)
    return [Figure("accuracy-by-frames", "Accuracy by frames", drawing, table, caption)]


def pooling_gain(view: View, source: Source) -> list[Block]:
    """Return Figure 6."""
    table = temporal_pooling_gain_data(view.catalog, view.filters, source)
    caption = (
        "Top-1 with temporal pooling minus top-1 without it, in points (Figure 6); a bar below the line "
        "means that pooling costs accuracy."
    )
    drawing = draw_temporal_pooling_gain(table, view.theme)
    return [Figure("temporal-pooling-gain", "What temporal pooling changes", drawing, table, caption)]


def contributions(view: View, source: Source) -> list[Block]:
    """Return Φ̄ and Ψ̄ (Table 7) and the cells behind them."""
    table, pairs, printed = at_once(
        lambda: contributions_data(view.catalog, view.filters, source),
        lambda: contribution_pairs_data(view.catalog, view.filters, source),
        lambda: printed_contributions_data(view.catalog),
    )
    symbols = ", ".join(METRICS.values())
    caption = (
        f"{symbols} (Equation 1, Table 7): Φ̄ is how much of a module's accuracy TSN reaches without looking "
        "at motion, Ψ̄ how much of what TSN leaves open the module gains."
    )
    note = html.P(footnote(printed), className="soft")
    drawing = draw_contributions(table, view.theme)
    title = "Spatial and temporal contributions"
    missing = sum((row["missing"] or 0) + (row["missing_ta_tp"] or 0) for row in table.to_pylist())
    behind = f"An empty Φ or Ψ is missing: its cell or TSN's has no result yet ({missing} of them)."
    return [
        Figure("contributions", title, drawing, table, caption, note=note),
        Table("contribution-pairs", "The cells behind every average", pairs, _PAIRS, "No pair yet.", behind),
    ]


def i3d_steps(view: View, source: Source) -> list[Block]:
    """Return Figure 7."""
    table = i3d_steps_data(view.catalog, view.filters, source)
    caption = "From I3D as it was published to the better ones, a step at a time (Figure 7)."
    return [Figure("i3d-steps", "I3D step by step", draw_i3d_steps(table, view.theme), table, caption)]


def seeds(view: View, source: Source) -> list[Block]:
    """Return the models that were trained with several seeds."""
    table = seeds_data(view.catalog, view.filters, source)
    caption = (
        "Small points are trainings with different seeds, the large one is their mean with Student's 95 % "
        "interval, open stars are published results."
    )
    return [
        Figure("seeds", "Seeds averaged", draw_seeds(table, view.theme), table, caption, narrowest=WITH_NAMES)
    ]
