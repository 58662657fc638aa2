"""The paper's questions, one at a time: yours, published or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dash import html

from catalog.claims.load import ClaimsError
from catalog.export import display
from catalog.queries.filters import Filters, Source
from catalog.queries.published import TABLES, printed_contributions, printed_table
from dashboards.claims.judge import Judgement
from dashboards.claims.sets import judgements
from dashboards.claims.words import UNCERTAINTY, as_table, case_rows, claim_rows, whose
from dashboards.figures.contributions import METRICS, footnote
from dashboards.figures.figure import Answer, Behind, Choice, Figure, Finding, Scope
from dashboards.figures.registry import findings
from dashboards.pages import blocks as parts_of_pages
from dashboards.pages.blocks import Block, Content, Table, Text, message
from dashboards.pages.request import PageRequest, choice_links, in_parallel, link
from dashboards.render.markup import Column, three_decimals
from dashboards.render.tables import printed_with_uncertainty
from dashboards.render.uncertainty import MEAN, about_intervals

TITLE = "Findings"

_SOURCES: dict[str, Source] = {"both": "both", "own": "own", "published": "published"}
_SOURCE_NAMES = {"both": "both", "own": "yours", "published": "published"}
_TABLES = "tables"
_CLAIMS = "claims"
_LAST = "Table 7"
_PRINTED = (
    Column("source_row", "row"),
    Column("source_column", "column"),
    Column("dataset", "dataset"),
    Column("published", "published"),
    Column("published_low", "from"),
    Column("published_high", "to"),
    Column("own", "yours"),
    Column("own_low", "from"),
    Column("own_high", "to"),
    Column("difference", "difference"),
    Column("difference_low", "from"),
    Column("difference_high", "to"),
    Column("differs", "differs in"),
    Column("unit", "unit"),
    Column("cell", "cell"),
    Column("seeds", "seeds"),
    Column("variant", "experiment"),
    Column("tolerated", "within tolerances"),
    Column("not_stated", "not stated in print"),
    Column("note", "note"),
)
_VERDICTS = {"holds": "done", "fails": "failed", "cannot be told": "planned"}
"""A verdict has the dot of a cell's state; its word always stands beside."""
_MOST_CASES = 500
_CONTRIBUTIONS = (
    Column("dataset", "dataset"),
    Column("metric", "metric", METRICS.__getitem__),
    Column("module", "module"),
    Column("printed", "printed"),
    Column("computed", "computed"),
    Column("agrees", "agrees"),
    Column("agrees_exchanged", "agrees with I3D and S3D exchanged"),
)


def blocks(request: PageRequest) -> list[Block]:
    """Return the choice of a question and its answer."""
    figures = findings()
    titles = {**{name: finding.link for name, (_, finding) in figures.items()}, _TABLES: "Tables 2–7"}
    titles[_CLAIMS] = "claims"
    name = request.address.choice("show", list(titles))
    source = _SOURCES[request.address.choice("source", list(_SOURCES))]
    choices = [
        choice_links(request.address, "show", "Question", titles, name),
        choice_links(request.address, "source", "Results", _SOURCE_NAMES, source),
    ]
    words = {_TABLES: _printed_tables, _CLAIMS: _claims}
    answer = words[name](request, source) if name in words else _finding(request, source, *figures[name])
    return [Text("choices", html.Div(choices, className="choices")), *answer]


def _finding(request: PageRequest, source: Source, figure: Figure, finding: Finding) -> list[Block]:
    """Return what the figure's registration asks for: a choice, the figure, the rows behind its averages."""
    answer = _answer(request, Scope(request.filters, source), figure, finding.behind)
    chosen = _chosen(request, figure.choice)
    options = {figure.choice.option: chosen} if figure.choice else {}
    notes = (
        finding.note(answer) if finding.note else "",
        figure.not_drawn(request.catalog, Scope(request.filters, source), answer.rows),
    )
    said = " ".join(filter(None, notes))
    drawing = parts_of_pages.Figure(
        figure.name,
        finding.title or figure.title,
        figure.drawn(answer, request.theme, **options),
        answer.rows,
        finding.caption.format(choice=figure.choice.values[chosen]) if figure.choice else finding.caption,
        html.P(said, className="soft") if said else "",
        _columns(finding.columns) if finding.columns else None,
        finding.narrowest,
    )
    blocks_ = [*_choices(request, figure.choice, chosen), drawing, *_behind(finding.behind, answer)]
    has_intervals = any(f"_{name}".endswith("_low") for name in answer.rows.column_names)
    about = html.P(about_intervals(answer.rows, MEAN), className="soft")
    return [*blocks_, Text("intervals", about)] if has_intervals else blocks_


def _answer(request: PageRequest, scope: Scope, figure: Figure, behind: Behind | None) -> Answer:
    data = {"rows": figure.data, "printed": figure.printed, "behind": behind.data if behind else None}
    asked = {name: partial(one, request.catalog, scope) for name, one in data.items() if one}
    return Answer(**dict(zip(asked, in_parallel(*asked.values()), strict=True)))


def _chosen(request: PageRequest, options: Choice | None) -> str:
    return request.address.choice(options.option, list(options.values)) if options else ""


def _choices(request: PageRequest, options: Choice | None, chosen: str) -> list[Block]:
    if options is None:
        return []
    links = choice_links(request.address, options.option, options.title, options.values, chosen)
    return [Text(f"{options.option}s", html.Div(links))]


def _behind(behind: Behind | None, answer: Answer) -> list[Block]:
    if behind is None:
        return []
    columns, caption = _columns(behind.columns), behind.caption(answer)
    return [Table(behind.name, behind.title, answer.behind, columns, behind.empty, caption)]


def _columns(columns: Sequence[Column]) -> dict[str, parts_of_pages.Column | str]:
    return {
        one.name: one.title if one.show is display else parts_of_pages.Column(one.title, one.show)
        for one in columns
    }


def _printed_tables(request: PageRequest, source: Source) -> list[Block]:
    """Return one of the paper's tables beside one's own results."""
    names = {**{name: name for name in TABLES}, _LAST: _LAST}
    name = request.address.choice("table", list(names))
    choices = Text("tables", html.Div(choice_links(request.address, "table", "Table", names, name)))
    return [choices, _table_7(request) if name == _LAST else _printed_table(request, name, source)]


def _table_7(request: PageRequest) -> Block:
    table = printed_contributions(request.catalog)
    title = "Table 7: contributions, printed and computed from the published accuracies"
    return Table("table-7", title, table, _columns(_CONTRIBUTIONS), caption=footnote(table))


def _printed_table(request: PageRequest, name: str, source: Source) -> Block:
    return Table(
        name.lower().replace(" ", "-"),
        f"{name}: {TABLES[name]}",
        printed_with_uncertainty(printed_table(request.catalog, name, request.filters, source)),
        _columns(_PRINTED),
        "No result of yours compares with this table yet.",
        "Yours stands beside a number of the same dataset, model and length, as your study measured and "
        "reports it. A difference is given only where nothing differs but what the tolerances allow (see the "
        "table comparison_tolerances). From … to: 95 % intervals, of published numbers by the size of the "
        "dataset's official validation set.",
        most=300,
    )


def _claims(request: PageRequest, source: Source) -> list[Block]:
    """Return the verdicts on all claims, and the cases of one that is chosen."""
    try:
        only = Filters(study=request.filters.study)
        judged = judgements(request.catalog, request.claims(), only, source)
    except ClaimsError as error:
        return [Text("claims", message(str(error), "problem"))]
    chosen = request.address.text("claim")
    return [_verdicts(request, judged), *_cases([one for one in judged if one.claim.name == chosen])]


def _verdicts(request: PageRequest, judged: Sequence[Judgement]) -> Block:
    def named(row: Mapping[str, Any]) -> Content:
        return link(row["claim"], request.address.choosing(claim=row["claim"]))

    columns: dict[str, parts_of_pages.Column | str] = {
        "verdict": parts_of_pages.Column("verdict", _verdict),
        "statement": "statement",
        "study": parts_of_pages.Column("results", make=lambda row: whose(row["results"], row["study"])),
        "says": "what the results say",
        "claim": parts_of_pages.Column("claim: its cases", make=named),
        "beyond_uncertainty": "beyond uncertainty",
        "source": "where in the paper",
    }
    caption = f"Of the filters, only studies apply: a claim looks at all of a study. {UNCERTAINTY}"
    rows = as_table(claim_rows(judged))
    return Table(
        "claims",
        "The paper's statements, and your own claims",
        rows,
        columns,
        caption=caption,
        most=_MOST_CASES,
    )


def _cases(judged: Sequence[Judgement]) -> list[Block]:
    if not judged:
        return []
    columns: dict[str, parts_of_pages.Column | str] = {
        "study": parts_of_pages.Column("results", make=lambda row: whose(row["results"], row["study"])),
        "case": "case",
        **{
            name: parts_of_pages.Column(name, three_decimals, number=True)
            for name in ("value", "low", "high")
        },
        "unit": "unit",
        "expected": "expected",
        "as_measured": parts_of_pages.Column("as measured", _verdict),
        "beyond_uncertainty": parts_of_pages.Column("beyond uncertainty", _verdict),
        "paired": parts_of_pages.Column("paired by video", lambda value: "yes" if value else "no"),
        "missing": "missing",
    }
    title = f"The cases of {judged[0].claim.name}"
    rows = as_table(case_rows(judged))
    return [Table("claim-cases", title, rows, columns, caption=judged[0].claim.note, most=_MOST_CASES)]


def _verdict(value: str) -> Content:
    return html.Span(value, className=f"state {_VERDICTS.get(value, '')}")
