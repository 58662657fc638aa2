"""What a page is made from: its address (page, filters, choices), the catalog, colours; links to others.

Also the field in which cells are chosen by name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from dash import dcc, html
from dash.development.base_component import Component

from catalog import Catalog, QueryError
from catalog.claims.load import shipped_claims
from catalog.claims.model import Claim
from catalog.queries.cells import cells_to_choose, cells_with_words
from catalog.queries.filters import ALL, FilterError, Filters, from_query_string, is_filter, to_query_string
from dashboards.figures.deciding_videos import VideoFiles
from dashboards.pages.blocks import Block, Column, Table, state
from dashboards.render.theme import Theme
from dashboards.render.uncertainty import Accuracy, with_intervals

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_PAGE = "overview"
CSV_ROUTE = "/csv"

LONGEST_SEARCH = 32 << 10
MOST_CHOICES = 50
MOST_OPTIONS = 100
"""So many names are offered at a time: those that hold what was typed."""


@dataclass(frozen=True)
class Address:
    """Where somebody looks. `choices` are the page's own parameters, in alphabetical order."""

    page: str = FIRST_PAGE
    filters: Filters = ALL
    choices: tuple[tuple[str, str], ...] = ()

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """Return a parameter that has few values: the first of `allowed` where it is none of them."""
        value = self.text(name)
        return value if value in allowed else allowed[0]

    def text(self, name: str) -> str:
        """Return a parameter as text; empty where it is absent."""
        return dict(self.choices).get(name, "")

    def several(self, name: str) -> tuple[str, ...]:
        """Return a parameter that lists values, each once."""
        return tuple(dict.fromkeys(value for value in self.text(name).split(",") if value))

    def on(self, page: str, **choices: str) -> Address:
        """Return the address of another page with the same filters."""
        return Address(page, self.filters, tuple(sorted((name, value) for name, value in choices.items())))

    def tagged(self, tag: str) -> Address:
        """Return the address of Explore with the same filters and the cells of one tag."""
        return Address("explore", replace(self.filters, tag=(tag,)))

    def choosing(self, **choices: str) -> Address:
        """Return the same page with some of its parameters changed; an empty value takes one away."""
        merged = {**dict(self.choices), **choices}
        kept = tuple(sorted((name, value) for name, value in merged.items() if value))
        return replace(self, choices=kept)

    @property
    def search(self) -> str:
        """The part of the address after the path, with its question mark; empty where nothing is chosen."""
        chosen = [f"{name}={quote(value, safe=',')}" for name, value in self.choices]
        query = "&".join([*filter(None, [to_query_string(self.filters)]), *chosen])
        return f"?{query}" if query else ""

    @property
    def href(self) -> str:
        """The path and the search."""
        return f"/{'' if self.page == FIRST_PAGE else self.page}{self.search}"

    def csv(self, block: str) -> str:
        """Return where the data of a block of the page can be had, with the filters of the address."""
        return f"{CSV_ROUTE}/{self.page}/{block}{self.search}"


def read_address(path: str | None, search: str | None) -> Address:
    """Return the address that a browser shows.

    Raises:
        FilterError: a filter has a value that means nothing, or there is more than any page has.
    """
    if len(search or "") > LONGEST_SEARCH:
        raise FilterError(f"longer than {LONGEST_SEARCH:,} characters", "address", "choose fewer filters")
    page = (path or "/").strip("/") or FIRST_PAGE
    choices: dict[str, str] = {}
    for part in (search or "").removeprefix("?").split("&"):
        name, _, value = part.partition("=")
        if name and value and not is_filter(name):
            choices[name] = unquote_plus(value)
    if len(choices) > MOST_CHOICES:
        raise FilterError(f"more than {MOST_CHOICES} parameters", "address", "leave some out")
    return Address(page, from_query_string(search or ""), tuple(sorted(choices.items())))


def address_or_none(path: str | None, search: str | None) -> Address | None:
    """Return `read_address`; None where a filter means nothing."""
    try:
        return read_address(path, search)
    except FilterError:
        return None


def refused(statement: str) -> pa.Table:
    """Refuse a statement: where there is no process for it, none is run.

    Raises:
        QueryError: always.
    """
    raise QueryError("statements are not run here", statement[:80], "use actiongrid dashboard")


def made_at_once(_: Hashable, __: Hashable, make: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return what is made: who makes a page once waits for all of it."""
    return make()


@dataclass(frozen=True)
class PageRequest:
    """A page that somebody opens. `storage` is shown in commands that people may copy.

    `claims` reads the claims that are judged there; `ask` runs a statement of somebody's own. `summary`
    gives what takes seconds, by name and by the version of what it depends on; None until it is there. With
    `acts` commands can be given to the drivers. `videos` has the pictures of videos, where there are any.
    """

    catalog: Catalog
    address: Address
    theme: Theme
    storage: str
    claims: Callable[[], Sequence[Claim]] = shipped_claims
    ask: Callable[[str], pa.Table] = refused
    summary: Callable[[Hashable, Hashable, Callable[[], Any]], Any] = made_at_once
    acts: bool = False
    videos: VideoFiles | None = None

    @property
    def filters(self) -> Filters:
        """The filters of the address."""
        return self.address.filters


def in_parallel(*questions: Callable[[], pa.Table]) -> list[pa.Table]:
    """Ask several questions at the same time and return the answers in their order.

    Most of a small answer is planning it, on one core.

    Raises:
        Exception: what the first question that fails raises, after all have ended.
    """
    with ThreadPoolExecutor(len(questions)) as pool:
        return [answer.result() for answer in [pool.submit(question) for question in questions]]


def link(text: str, address: Address, *, current: bool = False) -> Component:
    """Return a link to another view of the app; it opens without loading the page anew."""
    here: dict[str, Any] = {"aria-current": "page"} if current else {}
    return html.A(text, href=address.href, className="go", **here)


def cell_link(address: Address, key: str, text: str) -> Component:
    """Return a link to a cell's page."""
    return link(text, address.on("cell", key=key))


def cell_chooser(request: PageRequest, name: str, keys: Sequence[str], *, several: bool = False) -> Component:
    """Return a field in which names of cells can be typed; `keys` are those chosen already."""
    title = "Cells" if several else "Cell"
    field = dcc.Dropdown(
        id={"kind": "cells", "name": name},
        options=cell_options(request.catalog, request.filters, "", keys),
        value=list(keys) if several else (keys[0] if keys else None),
        multi=several,
        placeholder="type a part of a cell's name",
        optionHeight="auto",
    )
    return html.Div([html.Label(title, htmlFor=name), field], className="chooser")


def cell_options(catalog: Catalog, filters: Filters, typed: str, keys: Sequence[str]) -> list[dict[str, str]]:
    """Return the cells whose name holds every word that was typed, and those chosen already."""
    rows = cells_with_words(catalog, filters, typed.split(), keys, MOST_OPTIONS).to_pylist()
    known = {row["key"] for row in rows}
    # The field takes away what it does not offer, and the address would change with it.
    rows += [{"cell": f"unknown cell {key}", "key": key} for key in keys if key not in known]
    return [
        {"label": row["cell"], "value": row["key"], "search": f"{row['cell']} {row['key']}"} for row in rows
    ]


def cells_block(request: PageRequest) -> Block:
    """Return the list of the cells that pass the filters."""
    table = with_intervals(cells_to_choose(request.catalog, request.filters), Accuracy())
    columns: dict[str, Column | str] = {
        "cell": Column("cell", make=lambda row: cell_link(request.address, row["key"], row["cell"])),
        "state": Column("state", state),
        "top1": "top-1",
        "top1_low": "from",
        "top1_high": "to",
        "eval_videos": "videos",
        "study": "study",
    }
    return Table(
        "cells", "Cells", table, columns, "No cell has been planned yet, or none passes the filters."
    )


def choice_links(
    address: Address, name: str, title: str, options: Mapping[str, str], chosen: str
) -> Component:
    """Return a row of links that set one parameter of the page; the first option is the usual one."""
    usual = next(iter(options))
    links = []
    for value, text in options.items():
        href = address.choosing(**{name: "" if value == usual else value}).href
        current: dict[str, Any] = {"aria-current": "true"} if value == chosen else {}
        links.append(html.A(text, href=href, className="go option", **current))
    return html.Div([html.Span(title, className="soft"), *links], className="choice", role="group")
