"""The paper's questions, one at a time: yours, published or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dash import html

from dashboards.app_blocks import Block, Figure, Table, Text
from dashboards.figures.accuracy_by_frames import accuracy_by_frames_data, draw_accuracy_by_frames
from dashboards.figures.contributions import (
    METRICS,
    contribution_pairs_data,
    contributions_data,
    draw_contributions,
    footnote,
    printed_contributions_data,
)
from dashboards.figures.relations import Source
from dashboards.figures.temporal_pooling_gain import draw_temporal_pooling_gain, temporal_pooling_gain_data
from dashboards.pages.parts import choice
from dashboards.pages.view import View

TITLE = "Findings"

_SOURCES: dict[str, Source] = {"both": "both", "own": "own", "published": "published"}
_SOURCE_NAMES = {"both": "both", "own": "yours", "published": "published"}


@dataclass(frozen=True)
class Question:
    """One of the paper's questions: the name of its link, and what answers it."""

    title: str
    blocks: Callable[[View, Source], list[Block]]


def blocks(view: View) -> list[Block]:
    """Return the choice of a question and its answer."""
    name = view.address.choice("show", list(QUESTIONS))
    source = _SOURCES[view.address.choice("source", list(_SOURCES))]
    questions = {key: question.title for key, question in QUESTIONS.items()}
    choices = [
        choice(view.address, "show", "Question", questions, name),
        choice(view.address, "source", "Results", _SOURCE_NAMES, source),
    ]
    return [
        Text("choices", html.Div(choices, className="choices")),
        *QUESTIONS[name].blocks(view, source),
    ]


def _by_frames(view: View, source: Source) -> list[Block]:
    table = accuracy_by_frames_data(view.catalog, view.filters, source)
    caption = (
        "Clip-level top-1 of the last epoch by clip length (Figure 4). Colour is the module, the symbol the "
        "backbone, dashes are temporal pooling, open stars are published results."
    )
    drawing = draw_accuracy_by_frames(table, view.theme)
    return [Figure("accuracy-by-frames", "Accuracy by frames", drawing, table, caption)]


def _gain(view: View, source: Source) -> list[Block]:
    table = temporal_pooling_gain_data(view.catalog, view.filters, source)
    caption = (
        "Top-1 with temporal pooling minus top-1 without it, in points (Figure 6); a bar below the line "
        "means that pooling costs accuracy."
    )
    drawing = draw_temporal_pooling_gain(table, view.theme)
    return [Figure("temporal-pooling-gain", "What temporal pooling changes", drawing, table, caption)]


def _contributions(view: View, source: Source) -> list[Block]:
    table = contributions_data(view.catalog, view.filters, source)
    pairs = contribution_pairs_data(view.catalog, view.filters, source)
    symbols = ", ".join(METRICS.values())
    caption = (
        f"{symbols} (Equation 1, Table 7): Φ̄ is how much of a module's accuracy TSN reaches without looking "
        "at motion, Ψ̄ how much of what TSN leaves open the module gains."
    )
    return [
        Figure(
            "contributions",
            "Spatial and temporal contributions",
            draw_contributions(table, view.theme),
            table,
            caption,
            note=html.P(footnote(printed_contributions_data(view.catalog)), className="soft"),
        ),
        Table(
            "contribution-pairs",
            "The cells behind every average",
            pairs,
            {
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
            },
            "No pair with TSN yet.",
            "An empty Φ or Ψ is missing: its cell or TSN's has no result yet.",
        ),
    ]


QUESTIONS = {
    "frames": Question("accuracy by frames", _by_frames),
    "pooling": Question("temporal pooling", _gain),
    "contributions": Question("contributions", _contributions),
}
