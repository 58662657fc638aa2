"""The paper's questions, one at a time: yours, published or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dash import html

from catalog.queries.relations import Source
from dashboards.pages import findings_costs, findings_models, findings_tables
from dashboards.pages.blocks import Block, Text
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


QUESTIONS = {
    "frames": Question("frames", findings_models.by_frames),
    "macs": Question("MACs", findings_costs.by_macs),
    "pooling": Question("temporal pooling", findings_models.pooling_gain),
    "contributions": Question("contributions", findings_models.contributions),
    "sampling": Question("sampling", findings_costs.sampling),
    "clips": Question("clips", findings_costs.by_clips),
    "i3d": Question("I3D step by step", findings_models.i3d_steps),
    "seeds": Question("seeds", findings_models.seeds),
    "published": Question("yours against published", findings_tables.against_published),
    "tables": Question("Tables 2–7", findings_tables.printed_tables),
}


def blocks(view: View) -> list[Block]:
    """Return the choice of a question and its answer."""
    name = view.address.choice("show", list(QUESTIONS))
    source = _SOURCES[view.address.choice("source", list(_SOURCES))]
    titles = {key: question.title for key, question in QUESTIONS.items()}
    choices = [
        choice(view.address, "show", "Question", titles, name),
        choice(view.address, "source", "Results", _SOURCE_NAMES, source),
    ]
    return [
        Text("choices", html.Div(choices, className="choices")),
        *QUESTIONS[name].blocks(view, source),
    ]
