"""What a whole storage holds: results, grid, all cells, studies, settings, failures, values of filters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from catalog.queries.filters import (
    ALL,
    AXES,
    OTHER_AXES,
    OWN_FILTERS,
    TAG,
    Filters,
    Source,
    Where,
    ask,
    chosen_cells,
    rows_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

_STUDIES = "SELECT study FROM recorded.studies UNION SELECT study FROM recorded.cells ORDER BY study"
_STATES = "SELECT state, count(*) AS n FROM cells WHERE current GROUP BY state"
_AXES = """
    SELECT list(DISTINCT seed ORDER BY seed) AS seeds, list(DISTINCT dataset ORDER BY dataset) AS datasets
    FROM cells WHERE current
"""
_SO_FAR = """
    SELECT
        (SELECT count(*) FROM recorded.finished) AS results,
        (SELECT max(time) FROM recorded.finished) AS finished,
        (SELECT count(*) FROM recorded.evaluations) AS evaluations,
        (SELECT max(time) FROM recorded.studies) AS submitted
"""
_CONFIGS = """
    SELECT DISTINCT config::VARCHAR AS value FROM cells WHERE current ORDER BY 1
"""
_RECORDED = "SELECT DISTINCT {column}::VARCHAR AS value FROM results WHERE {column} IS NOT NULL ORDER BY 1"
_FAILURES = """
    SELECT failures.* FROM failures JOIN cells USING (key) WHERE cells.current ORDER BY state DESC, cell
"""
_GRID = """
    , places AS MATERIALIZED (FROM grid_of('chosen') WHERE {own}),
    training AS (SELECT running_key AS key FROM places),
    own AS (
        SELECT places.*, progress.epoch, progress.epochs, progress.eta_seconds
        FROM places LEFT JOIN progress_of('training') AS progress ON progress.key = running_key
    )
    SELECT
        module, backbone, temporal_pooling, dataset, frames,
        coalesce(axes_words(other_axes), '') AS other_axes, coalesce(cells, 0) AS cells, done, running,
        failed, blocked, planned, own.top1, top1_std, results, own.eval_videos, checkpoint,
        experiments,
        blocked_by, reason, key, cell, epoch, epochs, eta_seconds,
        coalesce(own.published_top1, literature.top1) AS published_top1,
        coalesce(own.published_videos, literature.eval_videos) AS published_videos, difference, differs
    FROM own FULL JOIN (
        SELECT module, backbone, temporal_pooling, dataset, frames, top1, eval_videos
        FROM published_for('chosen')
        WHERE (beside_own OR dataset NOT IN (SELECT dataset FROM chosen)) AND {literature}
    ) AS literature USING (module, backbone, temporal_pooling, dataset, frames)
    ORDER BY dataset, module, backbone, temporal_pooling, frames, other_axes
"""
_ALL_CELLS = """
    SELECT
        coalesce(cells.cell, results.cell) AS cell, coalesce(cells.state, 'done') AS state,
        results.top1, results.checkpoint, results.published_top1, results.published_videos,
        results.difference, results.differs, results.top5,
        results.loss,
        results.best_top1, results.best_epoch, results.epochs,
        coalesce(results.params, cells.params) AS params, coalesce(results.macs, cells.macs) AS macs,
        results.eval_videos, results.train_seconds, results.train_clips_per_second, cells.num_classes,
        coalesce(cells.key, results.key) AS key
    FROM (SELECT * FROM cells WHERE {where}) AS cells {join} JOIN results USING (key)
    WHERE (len($studies) = 0 OR coalesce(cells.key, results.key) IN (
        SELECT key FROM study_cells WHERE current AND list_contains($studies, study)
    )) AND (results.key IS NOT NULL OR cells.current)
    ORDER BY cells.dataset, cells.module, cells.backbone, cells.temporal_pooling, cells.frames,
        cells.seed, key
"""
_ALL_CELLS_FILTERS = (*AXES, "seed", "state", OTHER_AXES, TAG)
_DATASETS = """
    SELECT DISTINCT dataset FROM recorded.cells WHERE len($studies) = 0 OR list_contains($studies, study)
"""
_NUM_CLASSES = "(SELECT key, any_value(num_classes) AS num_classes FROM recorded.cells GROUP BY key)"
_WIDE = f"""
    SELECT * EXCLUDE (versions, hardware, config) REPLACE (other_axes_text(other_axes) AS other_axes)
    FROM (FROM {{view}} WHERE {{where}}) AS chosen LEFT JOIN {_NUM_CLASSES} USING (key)
    ORDER BY dataset, module, backbone, cell, key
"""
_SHORT = f"""
    SELECT
        {{dataset}} cell, top1, eval_videos, top5, loss AS val_loss, checkpoint, best_top1, epochs, params,
        macs, published_top1, published_videos, difference, differs, precision, device, key,
        num_classes {{marks}}
    FROM (FROM {{view}} WHERE {{where}}) AS chosen LEFT JOIN {_NUM_CLASSES} USING (key)
    ORDER BY dataset, module, backbone, temporal_pooling, frames, seed, finished, key
"""
_PIVOT = """
    SELECT
        results.dataset, results.module, results.backbone, results.temporal_pooling, results.frames,
        results.seed, results.other_axes,
        results.{value}, results.key, results.eval_videos, coalesce(variant, '') AS experiment
    FROM (FROM results WHERE {where}) AS results
    LEFT JOIN cell_accuracies USING (study, key)
    LEFT JOIN materialised.variants
        ON variants.dataset = results.dataset AND variants.module = results.module
        AND variants.backbone = results.backbone AND variants.temporal_pooling = results.temporal_pooling
        AND variants.frames = results.frames AND variants.experiment = cell_accuracies.experiment
"""
PIVOT_VALUES = (
    "top1",
    "top5",
    "loss",
    "top1_last",
    "top1_best",
    "best_top1",
    "best_top5",
    "difference",
    "train_seconds",
)
"""The columns of `results` that a pivot can show."""
# What the page Explore looks at: cells with a result, each once, and the experiments that they are seeds of.
_EXPLORED_CELLS = """
    SELECT
        once.study, once.dataset, once.module, once.backbone, once.temporal_pooling, once.frames, once.seed,
        once.other_axes, once.top1, once.eval_videos, once.macs, once.params, hours, tags, once.cell, key
    FROM once
    LEFT JOIN (SELECT key, max(seconds) / 3600 AS hours FROM cell_costs GROUP BY key) AS costs USING (key)
    LEFT JOIN (
        SELECT key, string_agg(tag, ', ' ORDER BY tag) AS tags FROM cell_tags GROUP BY key
    ) AS tagged USING (key)
    WHERE once.top1 IS NOT NULL
    ORDER BY once.dataset, once.module, once.backbone, once.temporal_pooling, once.frames, once.seed, key
"""
_EXPLORED_EXPERIMENTS = """
    , apart AS (
        SELECT * REPLACE (CASE WHEN $by_seed THEN hash(experiment, seed) ELSE experiment END AS experiment)
        FROM once
    )
    SELECT
        mean.study, mean.dataset, mean.module, mean.backbone, mean.temporal_pooling, mean.frames,
        CASE WHEN $by_seed THEN once.seed END AS seed, mean.other_axes, mean.measure, mean.protocol,
        mean.checkpoint, mean.eval_videos, mean.top1, mean.top1_std, mean.seeds,
        mean.planned_seeds AS planned, mean.experiment
    FROM seed_means_of('apart') AS mean JOIN once USING (key)
"""
_FILTER_VALUES = """
    WITH planned AS (
        SELECT module, backbone, frames, dataset, study, seed, other_axes_of(config) AS other_axes
        FROM recorded.cells GROUP BY ALL
        UNION ALL BY NAME
        SELECT module, backbone, frames, dataset FROM published
    )
    SELECT
        list(DISTINCT module) AS module, list(DISTINCT backbone) AS backbone, list(DISTINCT frames) AS frames,
        list(DISTINCT dataset) AS dataset, list(DISTINCT study) AS study, list(DISTINCT seed) AS seed,
        list_distinct(flatten(list(list_transform(
            map_entries(other_axes), lambda one: one.key || '=' || one.value
        )))) AS other_axes,
        coalesce((SELECT list(DISTINCT tag) FROM tags), []) AS tag
    FROM planned
"""
_NAMES = """
    SELECT table_name AS name, string_agg(column_name, ', ' ORDER BY ordinal_position) AS columns
    FROM information_schema.columns WHERE table_schema = 'main' GROUP BY table_name ORDER BY table_name
"""
EXAMPLE = """SELECT module, frames, count(*) AS cells, avg(top1) AS top1, stddev_samp(top1) AS std
FROM results GROUP BY ALL ORDER BY module, frames"""
"""A statement for people to begin with."""


def studies_of(catalog: Catalog) -> list[str]:
    """Return the studies with cells or submissions, by name."""
    return [str(name) for name in catalog.query(_STUDIES).column("study").to_pylist()]


def counts_by_state(catalog: Catalog) -> Mapping[str, int]:
    """Return how many of the cells that are planned today are in which state."""
    return {row["state"]: row["n"] for row in catalog.query(_STATES).to_pylist()}


def has_results(catalog: Catalog) -> bool:
    """Return whether any cell has finished that is planned today, or whose plan is not known here."""
    return len(catalog.query("FROM results LIMIT 1")) > 0


def results_so_far(catalog: Catalog) -> pa.Table:
    """Return one row that changes whenever the results do: how many there are, and when the newest came."""
    return catalog.query(_SO_FAR)


def seeds_and_datasets(catalog: Catalog) -> tuple[list[int], list[str]]:
    """Return the seeds and the data sets of the cells that are planned today, each once, in order."""
    (row,) = catalog.query(_AXES).to_pylist()
    return row["seeds"] or [], row["datasets"] or []


def distinct_configurations(catalog: Catalog) -> list[dict[str, Any]]:
    """Return the configurations of the cells that are planned today, each once."""
    return _values(catalog.query(_CONFIGS))


def distinct_records(catalog: Catalog, column: Literal["versions", "hardware"]) -> list[dict[str, Any]]:
    """Return what results say of their library versions or hardware, each once."""
    return _values(catalog.query(_RECORDED.format(column=column)))


def failed_and_blocked(catalog: Catalog) -> pa.Table:
    """Return the failed and blocked cells of today's plans with their reasons."""
    return catalog.query(_FAILURES)


def quarantined_videos(catalog: Catalog) -> pa.Table:
    """Return the videos that could not be used, with the reasons."""
    return rows_of(catalog, "quarantined", order_by=("dataset", "path"))


def grid_positions(catalog: Catalog, filters: Filters = ALL, source: Source = "own") -> pa.Table:
    """Return one row a position: counts of cells by state, mean top-1 (percent), published top-1, difference.

    A position is a model, length and dataset, and values of other axes in words (docs/axes.md).
    `key` and `cell` are those of the cell that asks for attention most, `epoch`, `epochs` and `eta_seconds`
    those of a running one. Positions with published results only have no cells.
    """
    literature = "FALSE" if source == "own" else filters.where(AXES).sql
    own = "FALSE" if source == "published" else "TRUE"
    select = _GRID.format(literature=literature, own=own)
    return ask(catalog, chosen_cells(filters, "grid_cells"), select)


def cells_with_results(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a cell of today's plans, finished or not; accuracies in percent, MACs of one clip.

    Results whose plan no journal holds have no axes, so that any filter but the study's leaves them out.
    """
    where = filters.where(_ALL_CELLS_FILTERS)
    sql = _ALL_CELLS.format(where=where.sql, join="LEFT" if where.params else "FULL")
    return catalog.query(sql, {**where.params, "studies": list(filters.study)})


def planned_datasets(catalog: Catalog, filters: Filters = ALL) -> frozenset[str]:
    """Return the data sets of the cells that were ever planned in the studies looked at."""
    table = catalog.query(_DATASETS, {"studies": list(filters.study)})
    return frozenset(table.column("dataset").to_pylist())


def _values(table: pa.Table) -> list[dict[str, Any]]:
    return [json.loads(value) for value in table.column("value").to_pylist()]


def wide_results(
    catalog: Catalog,
    timeout_seconds: float | None,
    max_rows: int,
    *,
    superseded: bool = False,
    filters: Filters = ALL,
) -> pa.Table:
    """Return finished cells of today's plans with all their plain columns, at most `max_rows` of them.

    With `superseded` also those of plans before the studies were changed, marked by a column of this name.

    Raises:
        QueryError: it takes longer than `timeout_seconds` (None: any time).
    """
    where = _finished(filters, superseded=superseded)
    sql = _WIDE.format(view="results_all" if superseded else "results", where=where.sql)
    return catalog.query(sql, where.params, timeout_seconds=timeout_seconds, max_rows=max_rows)


def short_results(
    catalog: Catalog,
    timeout_seconds: float | None,
    max_rows: int,
    *,
    with_dataset: bool,
    superseded: bool = False,
    filters: Filters = ALL,
) -> pa.Table:
    """As `wide_results`, with those columns only that fit a terminal or a page."""
    view, marks = ("results_all", ", superseded, superseded_by") if superseded else ("results", "")
    where = _finished(filters, superseded=superseded)
    dataset = "dataset," if with_dataset else ""
    sql = _SHORT.format(dataset=dataset, view=view, marks=marks, where=where.sql)
    return catalog.query(sql, where.params, timeout_seconds=timeout_seconds, max_rows=max_rows)


def pivot_rows(catalog: Catalog, value: str, filters: Filters = ALL) -> pa.Table:
    """Return the axes, one of `PIVOT_VALUES`, key and videos of every finished cell of the current plans."""
    if value not in PIVOT_VALUES:
        raise ValueError(f"no column to show: {value}")
    where = _finished(filters)
    return catalog.query(_PIVOT.format(value=value, where=where.sql), where.params)


def _finished(filters: Filters, *, superseded: bool = False) -> Where:
    """The condition on one's own results: their state is `done`, and each counts in all studies it is in."""
    where = filters.without("study").where(OWN_FILTERS)
    done = "TRUE" if not filters.state or "done" in filters.state else "FALSE"
    if not filters.study:
        return Where(f"{where.sql} AND {done}", where.params)
    today = "TRUE" if superseded else "current"
    named = f"key IN (SELECT key FROM study_cells WHERE {today} AND list_contains($study, study))"
    return Where(f"{where.sql} AND {done} AND {named}", {**where.params, "study": list(filters.study)})


def explored_cells(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a cell of today's plans with a result: axes, top-1 (percent), MACs, `hours`, its tags.

    `hours` are those of all its attempts by the clock.
    """
    return ask(catalog, _explored(filters), _EXPLORED_CELLS)


def explored_experiments(catalog: Catalog, filters: Filters = ALL, *, by_seed: bool = False) -> pa.Table:
    """Return one row an experiment of `explored_cells`: mean `top1`, `top1_std`, `seeds` with a result.

    `planned` counts the cells that pass. With `by_seed` each seed is a row of its own, else `seed` is empty.
    """
    return ask(catalog, _explored(filters), _EXPLORED_EXPERIMENTS, by_seed=by_seed)


def _explored(filters: Filters) -> Where:
    """The CTE `once`: the rows of `cell_accuracies` that pass, each key once."""
    where = filters.where(OWN_FILTERS)
    done = "TRUE" if not filters.state else "done" if "done" in filters.state else "FALSE"
    sql = f"""
        own AS MATERIALIZED (FROM cell_accuracies WHERE source = 'own' AND {done} AND {where.sql}),
        once AS MATERIALIZED (FROM across_studies_of('own'))
    """
    return Where(sql, where.params)


def filter_values(catalog: Catalog) -> pa.Table:
    """Return one row: a list of values for each filter that has many, one's own and the literature's."""
    return catalog.query(_FILTER_VALUES)


def tables_and_columns(catalog: Catalog) -> pa.Table:
    """Return `name` and `columns` of every table and view that a statement can use."""
    return catalog.query(_NAMES)
