"""The first page: how far the studies are, what is best, which axis matters, what it cost, what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from glob import escape
from typing import TYPE_CHECKING, Any

from dash import html
from dash.development.base_component import Component

from catalog.names import count_text, label, seeds_text, to_go_text
from catalog.queries.cells import best_cells, latest_study_file, progress_of_studies, seconds_to_go
from catalog.queries.filters import Filters
from catalog.queries.overview import failed_and_blocked, results_so_far
from catalog.queries.training import costs_by_axis
from catalog.storage.layout import command_on
from dashboards.figures.cost_by_axis import costs_of_all, unit_of
from dashboards.figures.figure import Answer, Figure, Scope
from dashboards.figures.grid_effects import grid_effects_data, why_no_model
from dashboards.figures.registry import findings
from dashboards.pages.blocks import (
    RETRY,
    STEER,
    Block,
    Column,
    Content,
    Table,
    Text,
    action_buttons,
    labelled,
    message,
    state,
)
from dashboards.pages.request import PageRequest, cell_link, in_parallel, link
from dashboards.render.theme import LIGHT
from dashboards.render.uncertainty import Accuracy, with_intervals

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]

TITLE = "Overview"

MOST_RESULTS = 1000
"""With more finished cells than these a model of the grid takes longer than a reader waits for a page."""
_MOST_EFFECTS = 6
_MOST_FAILED = 20
_SIGNIFICANT = 0.05


def blocks(request: PageRequest) -> list[Block]:
    """Return what is running and until when, the best cells, effects of axes, costs, failures, questions."""
    catalog = request.catalog
    studies, best, costs, failed, counted = in_parallel(
        lambda: progress_of_studies(catalog),
        lambda: best_cells(catalog, None),
        lambda: costs_by_axis(catalog, _only_studies(request)),
        lambda: failed_and_blocked(catalog),
        lambda: results_so_far(catalog),
    )
    if studies.num_rows == 0:
        text = "No cell has been planned in this storage yet. Start with: actiongrid run demo"
        return [Text("empty", message(text))]
    (results,) = counted.to_pylist()
    return [
        _studies(request, _of_studies(request, studies)),
        _best(request, _of_studies(request, best)),
        Text("effects", html.Section([html.H2("Which axis matters"), *_effects(request, results)])),
        Text("costs", html.Section([html.H2("What it cost"), totals(costs_of_all(costs)), _costs(request)])),
        Text("failures", _failures(request, _of_studies(request, failed))),
        Text("questions", html.Section([html.H2("The paper's questions"), *_questions(request, results)])),
    ]


def _only_studies(request: PageRequest) -> Filters:
    return Filters(study=request.filters.study)


def _of_studies(request: PageRequest, table: pa.Table) -> pa.Table:
    """The rows of the studies that are looked at: of the filters, only these apply to a summary."""
    chosen = request.filters.study
    if not chosen:
        return table
    wanted = [place for place, name in enumerate(table.column("study").to_pylist()) if name in chosen]
    return table.take(wanted)


def _studies(request: PageRequest, table: pa.Table) -> Block:
    columns: dict[str, Column | str] = {
        "study": Column("study", make=lambda row: _study_link(request, row["study"])),
        "done": Column("done", make=_bar),
        "running": "running",
        "planned": "planned",
        "blocked": "blocked",
        "failed": "failed",
        "seconds": Column("until", make=lambda row: _until(request, row)),
    }
    if request.acts:
        columns["cells"] = Column("tell its drivers", make=_buttons)
    caption = "Of the filters, only studies apply to this page."
    return Table("studies", "What is running", table, columns, "No study passes the filters.", caption)


def _study_link(request: PageRequest, study: str) -> Component:
    address = request.address.on("grid")
    return link(study, type(address)(address.page, Filters(study=(study,))))


def _bar(row: Row) -> Content:
    done, cells = row["done"], row["cells"]
    bar = html.Progress(value=str(done), max=str(cells), **labelled(f"{done} of {cells} cells are done"))
    return [bar, f" {done:,} of {cells:,}"]


def _buttons(row: Row) -> Content:
    if row["done"] == row["cells"]:
        return ""
    failed = action_buttons(row["study"], "*", f"all failed cells of {row['study']}", RETRY)
    steer = action_buttons(row["study"], "*", f"all cells of {row['study']}", STEER)
    return html.Span([*steer, *(failed if row["failed"] else [])], className="tools")


def _until(request: PageRequest, row: Row) -> Content:
    """When a study is done, as its driver has reckoned last (`seconds_to_go`)."""
    if row["done"] == row["cells"]:
        return "done"
    if not row["running"]:
        waits = "not running" if row["planned"] else "waits for failed cells to be mended"
        return [f"{waits}; go on with: ", html.Code(_run_again(request, row["study"]))]
    span = seconds_to_go(row, row["running"])
    if span is None:
        return "cannot be told before a cell like each has finished"
    first, last = (f"{datetime.now(UTC) + timedelta(seconds=one):%a %d %b %H:%M}" for one in span)
    until = first if first == last else f"{first} to {last[-5:] if first[:-5] == last[:-5] else last}"
    return f"{to_go_text(span)}, until {until} UTC"


def _run_again(request: PageRequest, study: str) -> str:
    (file,) = latest_study_file(request.catalog, [study]).column("file").to_pylist()
    return command_on(request.storage, "run", file or study)


def _best(request: PageRequest, table: pa.Table) -> Block:
    columns: dict[str, Column | str] = {
        "dataset": Column("dataset", label),
        "cell": Column("best so far", make=lambda row: _best_cell(request, row)),
        "top1": "top-1",
        "top1_low": "from",
        "top1_high": "to",
        "eval_videos": "videos",
        "study": "study",
    }
    caption = (
        "The finished cell with the highest top-1 of each dataset, with its 95 % interval. The best of many "
        "was also the luckiest: other cells within the interval may be as good. Of several seeds the "
        "top-1 of each stands beside it."
    )
    return Table(
        "best", "Best by dataset", with_intervals(table, Accuracy()), columns, "No cell is done yet.", caption
    )


def _best_cell(request: PageRequest, row: Row) -> Content:
    more = f" and {row['ties']} more with the same" if row["ties"] else ""
    return [cell_link(request.address, row["key"], row["cell"]), more, seeds_text(row["of_seeds"])]


def _effects(request: PageRequest, results: Row) -> list[Component]:
    """The largest effects of a model over all cells, in words; those that are significant are marked."""
    whole = link("all effects, with intervals", request.address.on("findings", show="effects"))
    if results["results"] > MOST_RESULTS:
        return [message("There are too many cells to model them in passing."), html.P(whole)]
    filters = _only_studies(request)
    table: pa.Table | None = request.summary(
        ("effects", filters),
        tuple(results.values()),
        lambda: grid_effects_data(request.catalog, filters, "own"),
    )
    if table is None:
        return [message("The model of the grid is being fitted …"), html.P(whole)]
    rows = [row for row in table.to_pylist() if not row["scope"] or row["scope"].startswith("all modules")]
    if not rows:
        missing = why_no_model(request.catalog, filters)
        return [message(f"Too few models are done for a model of the grid: {missing}.")]
    rows.sort(key=lambda row: (row["holm"] >= _SIGNIFICANT, -abs(row["difference"])))
    studies = len({row["study"] for row in rows})
    items = [html.Li(_effect(row, several=studies > 1)) for row in rows[:_MOST_EFFECTS]]
    about = "Points of top-1 with 95 % intervals. Bold: significant at 5 % after Holm's correction."
    return [message(about, "caption"), html.Ul(items), html.P(whole)]


def _effect(row: Row, *, several: bool) -> Component:
    text = row["text"] + (f" ({row['study']})" if several else "")
    return html.B(text) if row["holm"] < _SIGNIFICANT else html.Span(text)


def _costs(request: PageRequest) -> Component:
    return html.P(link("hours by axis, utilisation, failures by kind", request.address.on("cost")))


def _failures(request: PageRequest, table: pa.Table) -> Component:
    rows = table.to_pylist()
    failed = [row for row in rows if row["state"] == "failed"]
    heading = html.H2("What failed")
    if not rows:
        return html.Section([heading, message("Nothing has failed.")])
    blocked = len(rows) - len(failed)
    lines = [html.Li(_failure(request, row)) for row in failed[:_MOST_FAILED]]
    if len(failed) > _MOST_FAILED:
        lines.append(html.Li(f"and {len(failed) - _MOST_FAILED:,} more"))
    waiting = [message(f"{blocked:,} more cells wait for them, or for what they need.")] if blocked else []
    again = [_run_again(request, study) for study in dict.fromkeys(row["study"] for row in failed)]
    mend = [html.P(["Mend the cause, then: ", html.Code(command)]) for command in again]
    return html.Section([heading, html.Ul(lines), *waiting, *mend])


def _failure(request: PageRequest, row: Row) -> list[Component | str]:
    cell = cell_link(request.address, row["key"], row["cell"])
    log: list[Component | str] = [" Log: ", html.Code(row["log"])] if row["log"] else []
    retry: list[Component | str] = []
    if request.acts:
        retry = [" ", *action_buttons(row["study"], escape(row["cell"]), row["cell"], RETRY)]
    said = f" after {count_text(row['attempts'], 'attempt')}: {row['reason']}"
    return [state("failed"), " ", cell, said, *log, html.Span(retry, className="tools")]


def _questions(request: PageRequest, results: Row) -> list[Component]:
    """Links to the questions that have an answer; what would answer the others is folded away."""
    figures = findings()
    filters = _only_studies(request)
    words: dict[str, str] = {}
    if results["results"] <= MOST_RESULTS:
        asked = [(name, figure) for name, (figure, _) in figures.items()]
        words = (
            request.summary(
                ("questions", filters),
                tuple(results.values()),
                lambda: _without_answer(request, filters, asked),
            )
            or {}
        )
    answered = [
        html.Li(link(finding.title or figure.title, request.address.on("findings", show=name)))
        for name, (figure, finding) in figures.items()
        if name not in words
    ]
    tables = html.Li(link("The paper's tables beside yours", request.address.on("findings", show="tables")))
    claims = html.Li(link("The paper's claims, judged", request.address.on("findings", show="claims")))
    parts: list[Component] = [html.Ul([*answered, tables, claims])]
    if words:
        folded = [
            html.Li([html.B(figures[name][1].title or figures[name][0].title), f": {text}"])
            for name, text in words.items()
        ]
        title = f"{len(words)} questions without results of yours, and what would answer them"
        parts.append(html.Details([html.Summary(title), html.Ul(folded)]))
    return parts


def _without_answer(
    request: PageRequest, filters: Filters, figures: Sequence[tuple[str, Figure]]
) -> dict[str, str]:
    """By question what a figure without data says, which is what would fill it."""
    found = {}
    for name, figure in figures:
        answer = Answer(figure.data(request.catalog, Scope(filters, "own")))
        if answer.rows.num_rows == 0:
            drawing = figure.drawn(answer, LIGHT)
            found[name] = " ".join(str(one.text) for one in drawing.layout.annotations)
    return found


def totals(row: dict[str, Any] | None) -> Component:
    """Return what `costs_of_all` says in words: cells done, hours spent and left."""
    if row is None:
        return message("No cell has been planned in this storage yet, or none passes the filters.")
    kind, name = unit_of([row])
    facts = [
        f"{row['done']:,} of {row['cells']:,} cells are done",
        f"{row[f'{kind}_hours_spent'] or 0:,.2f} {name} spent",
    ]
    if row["done"] < row["cells"]:
        facts.append(_left(row, kind, name))
    return html.Ul([html.Li(fact) for fact in facts], className="counts")


def _left(row: Row, kind: str, name: str) -> str:
    hours = row[f"{kind}_hours_left"]
    if hours is None:
        return "what is left cannot be told before the first cell has finished"
    text = f"about {hours:,.2f} {name} left"
    if row["unknown"]:
        text += f" (without {count_text(row['unknown'], 'cell')} of unknown cost)"
    return text
