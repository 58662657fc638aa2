"""Which cells and whose results a question is about: the filters of an address, as SQL to build on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote_plus

from catalog.field_errors import choices
from catalog.names import is_other_axis
from catalog.storage.errors import BAD_INPUT, ActionGridError

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

STATES = ("planned", "running", "done", "failed", "blocked")
AXES = ("module", "backbone", "temporal_pooling", "frames", "dataset")
"""The filters that literature results have too."""

_FLAGS = {"yes": True, "no": False}
Source = Literal["own", "published", "both"]
"""Whose results a figure shows. `both` are one's own and the published ones of the same datasets and modules;
all published ones, where one has none of one's own."""

MOST_VALUES = 500
"""Values of one filter."""

OTHER_AXES = "other_axes"
TAG = "tag"
OWN_FILTERS = (*AXES, "study", "seed", OTHER_AXES, TAG)
"""The filters of one's own results, which have a `key`."""
_CELL_FILTERS = (*OWN_FILTERS, "state")
# Of each axis that is named one of its values: whatever the others say.
_OTHER = f"""len(list_filter(${OTHER_AXES}, lambda one: NOT list_contains(
    ${OTHER_AXES}, split_part(one, '=', 1) || '=' || coalesce({OTHER_AXES}[split_part(one, '=', 1)], '')
))) = 0"""
# Of the tags that were given to the cell or to a study that it is in, one.
_TAGGED = f"key IN (SELECT key FROM cell_tags WHERE list_contains(${TAG}, tag))"
_WRITTEN = {OTHER_AXES: _OTHER, TAG: _TAGGED}


class FilterError(ActionGridError):
    """An address with a filter that means nothing."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Where:
    """An SQL condition and the values of its named parameters."""

    sql: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Filters:
    """The values that are let through, by name; no value lets everything through.

    `other_axes` are values of axes that are no columns, with the axis: `recipe.lr=0.01` (docs/axes.md).
    `tag` lets cells through that have one of these, themselves or through a study.
    """

    module: tuple[str, ...] = ()
    backbone: tuple[str, ...] = ()
    temporal_pooling: tuple[bool, ...] = ()
    frames: tuple[int, ...] = ()
    dataset: tuple[str, ...] = ()
    study: tuple[str, ...] = ()
    seed: tuple[int, ...] = ()
    state: tuple[str, ...] = ()
    other_axes: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()

    def where(self, columns: Collection[str]) -> Where:
        """Return the condition on those of `columns` that are filtered; TRUE where none is.

        A filter by tags is a condition on the column `key`.
        """
        chosen = {name: list(getattr(self, name)) for name in columns if getattr(self, name)}
        sql = " AND ".join(f"({_WRITTEN.get(name, f'list_contains(${name}, {name})')})" for name in chosen)
        return Where(sql or "TRUE", chosen)

    def without(self, *names: str) -> Filters:
        """Return the filters without those named."""
        kept = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in names}
        return Filters(**kept)


ALL = Filters()
_NAMES = frozenset(field.name for field in fields(Filters))


def to_query_string(filters: Filters) -> str:
    """Return the query of an address, `module=tam,i3d&frames=8`; empty without filters."""
    parts: dict[str, list[str]] = {}
    for field in fields(filters):
        for value in getattr(filters, field.name):
            axis, is_other, text = str(value).partition("=")
            if field.name == OTHER_AXES and is_other:
                parts.setdefault(axis, []).append(quote(text, safe=""))
            else:
                parts.setdefault(field.name, []).append(quote(_text(value), safe=""))
    return "&".join(f"{name}={','.join(values)}" for name, values in parts.items())


def is_filter(name: str) -> bool:
    """Return whether a parameter of an address filters: others are a page's own."""
    return name in _NAMES or is_other_axis(name)


def from_query_string(text: str) -> Filters:
    """Return the filters of an address; other parameters of a page are left alone.

    Raises:
        FilterError: a value that its filter cannot have, or more than `MOST_VALUES`.
    """
    found: dict[str, dict[Any, None]] = {}
    for part in text.removeprefix("?").split("&"):
        name, _, values = part.partition("=")
        if is_filter(name) and values:
            raw = [unquote_plus(value) for value in values.split(",") if value]
            if name not in _NAMES:
                name, raw = OTHER_AXES, [f"{name}={value}" for value in raw]
            found.setdefault(name, {}).update((_value(name, value), None) for value in raw)
            if len(found[name]) > MOST_VALUES:
                raise FilterError(f"more than {MOST_VALUES} values", f"filter {name}", "choose fewer")
    return Filters(**{name: tuple(values) for name, values in found.items()})


def written_filters(text: str) -> Filters:
    """Return the filters that somebody wrote by hand, as in an address.

    Raises:
        FilterError: as `from_query_string`, or what is written is no filter.
    """
    for part in filter(None, text.removeprefix("?").split("&")):
        name, _, values = part.partition("=")
        if not is_filter(name):
            raise FilterError("no such filter", repr(name), choices(name, sorted(_NAMES - {OTHER_AXES})))
        if not values:
            raise FilterError("no value", f"filter {name}", f"say {name}=…")
    return from_query_string(text)


def _text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _value(name: str, text: str) -> str | int | bool:
    if name == "temporal_pooling":
        if text not in _FLAGS:
            raise FilterError(f"{text!r} is no answer", f"filter {name}", "use yes or no")
        return _FLAGS[text]
    if name in ("frames", "seed"):
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise FilterError(f"{text!r} is no number", f"filter {name}", "use digits, for example 8")
        return int(text)
    if name == OTHER_AXES and not all(text.partition("=")):
        raise FilterError(f"{text!r} is no value of an axis", f"filter {name}", "say recipe.lr=0.01")
    if name == "state" and text not in STATES:
        raise FilterError(f"{text!r} is no state", f"filter {name}", f"use one of {', '.join(STATES)}")
    return text


def mean_accuracies(filters: Filters, source: Source) -> Where:
    """Return CTEs that end in `accuracy`: rows with the columns of the view `accuracies`.

    Seeds, studies and tags filter one's own results only; of the states, `done` means cells with a result.
    """
    axes = filters.where(AXES)
    own = filters.where(OWN_FILTERS)
    finished = {"own": "TRUE", "published": "FALSE", "both": "TRUE"}[source]
    if filters.state:
        finished += " AND done" if "done" in filters.state else " AND NOT done"
    literature = {
        "own": "FALSE",
        "published": "TRUE",
        "both": "NOT EXISTS (FROM own) OR (beside_own AND (dataset, module) IN "
        "(SELECT (dataset, module) FROM own))",
    }[source]
    sql = f"""
        own_cells AS MATERIALIZED (
            FROM cell_accuracies WHERE source = 'own' AND {own.sql} AND {finished}
        ),
        own AS MATERIALIZED (FROM mean_accuracies_of('own_cells')),
        own_names AS MATERIALIZED (
            SELECT DISTINCT dataset, identity FROM own_cells JOIN own_datasets USING (study, dataset)
            WHERE identity IS NOT NULL
        ),
        named AS (
            SELECT
                published.* REPLACE (coalesce(own_names.dataset, published.dataset) AS dataset),
                own_names.dataset IS NOT NULL AS beside_own
            FROM (FROM cell_accuracies WHERE source = 'published') AS published
            JOIN dataset_identities AS official ON official.name = published.dataset
            LEFT JOIN own_names USING (identity)
        ),
        literature_cells AS MATERIALIZED (
            SELECT * EXCLUDE (beside_own) FROM named WHERE {axes.sql} AND ({literature})
        ),
        literature AS (FROM mean_accuracies_of('literature_cells')),
        accuracy AS MATERIALIZED (FROM own UNION ALL FROM literature)
    """
    return Where(sql, own.params)


def measured_accuracies(filters: Filters, source: Source) -> Where:
    """Return CTEs that end in `measured` and `compared`: accuracies by protocol, the paper's Tables 2, 3 too.

    `compared` holds what may stand side by side: numbers of the checkpoint that each study reports, each
    protocol once. `measured` has those of the other checkpoint too.
    """
    accuracies = mean_accuracies(filters, source)
    printed = {
        "own": "FALSE",
        "published": "TRUE",
        "both": "NOT EXISTS (FROM own) OR beside_own",
    }[source]
    sql = f"""
        {accuracies.sql},
        cells_to_measure AS MATERIALIZED (FROM own_cells UNION ALL FROM literature_cells),
        printed AS (
            SELECT
                printed.* REPLACE (coalesce(own_names.dataset, printed.dataset) AS dataset),
                own_names.dataset IS NOT NULL AS beside_own
            FROM printed_accuracies AS printed
            JOIN dataset_identities AS official ON official.name = printed.dataset
            LEFT JOIN own_names USING (identity)
        ),
        measured AS MATERIALIZED (
            FROM measured_accuracies_of('cells_to_measure')
            UNION ALL BY NAME
            SELECT * EXCLUDE (beside_own) FROM printed WHERE {filters.where(AXES).sql} AND ({printed})
        ),
        compared AS MATERIALIZED (
            FROM measured WHERE reported QUALIFY row_number() OVER (
                PARTITION BY source, study, dataset, module, backbone, temporal_pooling, frames, experiment
                ORDER BY measured_by = 'training' DESC
            ) = 1
        )
    """
    return Where(sql, accuracies.params)


def chosen_cells(filters: Filters, view: str) -> Where:
    """Return a CTE `chosen`: the rows of a view with one row a study and cell, each cell once.

    A cell can stand in several studies: it counts in the first of those that are looked at.
    """
    where = filters.where(_CELL_FILTERS)
    once = {
        0: "AND first_study",
        1: "",
    }.get(len(filters.study), "QUALIFY row_number() OVER (PARTITION BY key ORDER BY study) = 1")
    return Where(f"chosen AS (FROM {view} WHERE {where.sql} {once})", where.params)


def ask(catalog: Catalog, ctes: Where, select: str, **params: object) -> pa.Table:
    """Return the rows of `select`, which may name the CTEs, and `params` as $name."""
    return catalog.query(f"WITH {ctes.sql} {select}", {**ctes.params, **params} or None)


def rows_of(catalog: Catalog, view: str, filters: Filters = ALL, *, order_by: Sequence[str] = ()) -> pa.Table:
    """Return the rows of a view that pass the filters; filters on columns that it does not have let all pass.

    Raises:
        ValueError: the view or a column is not one plain name.
    """
    wrong = [name for name in (view, *order_by) if not name.isidentifier()]
    if wrong:
        raise ValueError(f"not the name of a view or column; {wrong[0]}; see `SHOW TABLES`")
    columns = catalog.query(f"FROM {view} LIMIT 0").column_names
    names = [one.name for one in fields(Filters) if (one.name if one.name != TAG else "key") in columns]
    where = filters.where(names)
    order = f"ORDER BY {', '.join(order_by)}" if order_by else ""
    return catalog.query(f"FROM {view} WHERE {where.sql} {order}", where.params or None)
