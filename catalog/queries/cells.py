"""What commands and pages ask of single cells: names, states, lines of parents, attempts, evaluations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from catalog.queries.filters import ALL, AXES, TAG, Filters, Where, chosen_cells

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

# Of every study and cell of today; `counted_only`: finished, in a study of more than $most cells.
_PLANNED_TODAY = """
    WITH planned AS MATERIALIZED (
        SELECT
            study_cells.study, key, cells.cell, state, reason, log,
            (cells.config ->> '$.recipe.epochs')::BIGINT AS epochs,
            -- A cell in training is measured on the videos of the finished ones of its dataset.
            coalesce(eval_videos, max(eval_videos) OVER (PARTITION BY study_cells.study, cells.dataset))
                AS eval_videos,
            state = 'done' AND count(*) OVER (PARTITION BY study_cells.study) > $most AS counted_only
        FROM study_cells JOIN cells USING (key)
        LEFT JOIN (SELECT key, eval_videos FROM recorded.finished) AS finished USING (key)
        WHERE study_cells.current AND ($study IS NULL OR study_cells.study = $study)
    )
"""
_PROGRESS = f"""
    {_PLANNED_TODAY}
    SELECT planned.* EXCLUDE (counted_only), epochs.epoch, train_loss, top1, clips_per_second
    FROM planned
    -- A study's cells are journalled in its own order.
    LEFT JOIN (
        SELECT study, key, arg_max(position, time) AS place FROM recorded.cells GROUP BY study, key
    ) AS placed ON placed.study = planned.study AND placed.key = planned.key
    LEFT JOIN (SELECT key, max(last_epoch) AS epoch FROM materialised.attempt_epochs GROUP BY key) AS newest
        ON newest.key = planned.key
    LEFT JOIN recorded.epochs AS epochs ON epochs.key = newest.key AND epochs.epoch = newest.epoch
    WHERE NOT coalesce(counted_only, false) ORDER BY planned.study, place, cell
"""
_COUNTED_ONLY = f"""
    {_PLANNED_TODAY}
    SELECT study, count(*) AS cells, sum(coalesce(epochs, 1))::BIGINT AS epochs
    FROM planned WHERE counted_only GROUP BY study
"""
# The finished cell with the highest reported top-1 of each study and dataset; how many others have the same.
_BEST = """
    WITH done AS MATERIALIZED (
        SELECT
            planned.study, planned.dataset, planned.cell, key, eval_videos, planned.seed,
            of_checkpoint(keys.report, finished.top1, best_top1) AS reported_top1,
            coalesce(training, hash(key)) AS training
        FROM study_cells AS planned
        JOIN recorded.finished AS finished USING (key)
        JOIN materialised.planned_keys AS keys USING (key)
        LEFT JOIN (SELECT study, key, training FROM experiments) AS trained
            ON trained.study = planned.study AND trained.key = finished.key
        WHERE planned.current AND isfinite(reported_top1) AND ($study IS NULL OR planned.study = $study)
    ),
    best AS (
        SELECT
            * RENAME (reported_top1 AS top1),
            count(*) OVER (PARTITION BY study, dataset, reported_top1) - 1 AS ties
        FROM done
        QUALIFY 1 = row_number() OVER (PARTITION BY study, dataset ORDER BY reported_top1 DESC, cell)
    )
    SELECT best.* EXCLUDE (seed, training), of_seeds
    FROM best JOIN (
        SELECT study, training, list(reported_top1 ORDER BY seed) AS of_seeds FROM done
        GROUP BY study, training
    ) USING (study, training)
    ORDER BY study, dataset
"""
_BY_STUDY = """
    WITH states AS (
        SELECT study_cells.study, cells.state FROM study_cells JOIN cells USING (key)
        WHERE study_cells.current
    ),
    counted AS (
        SELECT
            study, count(*) AS cells, count(*) FILTER (state = 'done') AS done,
            count(*) FILTER (state = 'running') AS running, count(*) FILTER (state = 'planned') AS planned,
            count(*) FILTER (state = 'blocked') AS blocked, count(*) FILTER (state = 'failed') AS failed
        FROM states GROUP BY study
    )
    SELECT counted.*, time_left.* EXCLUDE (study, running)
    FROM counted LEFT JOIN ({time_left}) AS time_left USING (study)
    ORDER BY counted.running = 0, done = cells, study
"""
# Failed cells and those that wait for them are left out: they cost nothing before somebody mends the cause.
_TIME_LEFT = """
    SELECT
        study, count(*) FILTER (state = 'running') AS running,
        sum(greatest(expected_seconds - cell_costs.seconds, 0)) AS seconds,
        max(greatest(expected_seconds - cell_costs.seconds, 0)) AS longest,
        count(*) FILTER (expected_seconds IS NULL) AS unknown,
        any_value(told.seconds) AS told, any_value(low) AS low, any_value(high) AS high,
        any_value(told.time) AS told_at
    FROM cell_costs LEFT JOIN recorded.times_to_go AS told USING (study)
    WHERE state IN ('planned', 'running') AND ($study IS NULL OR study = $study) GROUP BY study
"""
_TOLD_FOR = 180.0  # seconds; drivers tell the time to go more often, while they live
_WITH_MEASURES = """
    WITH submitted AS (SELECT study, arg_max(config, time) AS config FROM recorded.studies GROUP BY study)
    SELECT
        cells.*, finished.key IS NOT NULL AS done, finished.evaluation AS trained_evaluation,
        submitted.config ->> '$.frames_on_local_disk' AS frames_on_local_disk, removed
    FROM cells
    LEFT JOIN (SELECT key, list(epoch) AS removed FROM recorded.checkpoints_removed GROUP BY key) USING (key)
    LEFT JOIN recorded.finished AS finished USING (key)
    LEFT JOIN submitted USING (study)
    WHERE $study IS NULL OR list_contains(studies, $study)
    ORDER BY cells.cell, current DESC, cells.key
"""
_NAMED = "SELECT * FROM cells WHERE cell = $cell OR starts_with(key, $cell) ORDER BY current DESC, study, key"
_ATTEMPTS = """
    SELECT
        attempt, state, driver, error, log, host, seconds, first_epoch, last_epoch,
        started::VARCHAR AS started, ended::VARCHAR AS ended
    FROM attempts LEFT JOIN materialised.attempt_epochs AS epochs USING (key, attempt)
    WHERE key = $key ORDER BY attempt
"""
_CHECKPOINT = "SELECT checkpoint, epoch, checkpoint_file AS file FROM results_all WHERE key = $key LIMIT 1"
_LINEAGE = """
    WITH RECURSIVE line AS (
        SELECT key, parent_key, cell, 0 AS depth FROM cells WHERE key = $key
        UNION
        SELECT cells.key, cells.parent_key, cells.cell, line.depth + 1
        FROM line JOIN cells ON cells.key = line.parent_key
    )
    SELECT DISTINCT line.cell, line.key, line.depth, results_all.top1, results_all.eval_videos
    FROM line LEFT JOIN results_all USING (key) ORDER BY line.depth
"""
_EVALUATIONS = """
    SELECT
        * EXCLUDE (versions, hardware, study, current, superseded) REPLACE (measured::VARCHAR AS measured),
        (SELECT any_value(num_classes) FROM recorded.cells WHERE key = $key) AS num_classes
    FROM evaluations_all WHERE key = $key ORDER BY level, measured_by DESC, checkpoint, measured
"""
_SIZES = """
    SELECT epochs, macs, train_videos, eval_videos, choose_videos, top1 FROM results_all WHERE key = $key
    LIMIT 1
"""
_VIDEOS = "SELECT videos FROM recorded.datasets_built WHERE train_hash = $train ORDER BY time DESC LIMIT 1"
_SUCCESSOR = """
    SELECT key, of_checkpoint(report, top1, best_top1) AS top1, eval_videos, key_parts
    FROM cells LEFT JOIN recorded.finished USING (key)
    WHERE cell = $cell AND list_has_any(studies, $studies) AND current AND key <> $key LIMIT 1
"""
_CELL = "SELECT * EXCLUDE (log), list_sort(studies) AS studies FROM cells WHERE key = $key"
_KEY = "SELECT key FROM cells WHERE cell = $name ORDER BY current DESC, study LIMIT 1"
_MEASUREMENTS = """
    SELECT evaluation, level, measured_by, checkpoint, epoch, sampling, clips, crops, average, split, top1,
        top5, loss, videos, predictions, measured, precision, device,
        measured_by = 'training' AND checkpoint = coalesce(
            (SELECT report FROM materialised.planned_keys WHERE key = $key), 'last'
        ) AS reported
    FROM evaluations_all WHERE key = $key ORDER BY measured, evaluation
"""
_STUDY_FILE = """
    SELECT arg_max(file, time) AS file FROM recorded.studies WHERE list_contains($studies, study)
"""
_SIDE_BY_SIDE = """
    SELECT
        key, cell, dataset, module, backbone, temporal_pooling, frames,
        CASE WHEN finished.key IS NOT NULL THEN 'done' ELSE coalesce(state, 'planned') END AS state,
        of_checkpoint(report, finished.top1, best_top1) AS reported_top1,
        CASE WHEN isfinite(reported_top1) THEN reported_top1 END AS top1, report AS checkpoint, best_top1,
        eval_videos, epochs, precision_of(hardware) AS precision, device_of(hardware) AS device,
        NOT current AS superseded
    FROM computed.planned_cells
    LEFT JOIN recorded.finished AS finished USING (key)
    LEFT JOIN open_cells USING (key)
    WHERE list_contains($keys, key) AND (current OR finished.key IS NOT NULL)
    ORDER BY list_position($keys, key)
"""
_CURRENT = """
    SELECT study_cells.study, study_cells.cell, key, cells.state
    FROM study_cells JOIN cells USING (key) WHERE study_cells.current ORDER BY study_cells.cell
"""
_LIST = """
    SELECT cell, key, state, top1, eval_videos, study FROM chosen
    ORDER BY dataset, module, backbone, temporal_pooling, frames, seed LIMIT 2000
"""


def progress_of_cells(catalog: Catalog, study: str | None, most: int | None = None) -> pa.Table:
    """Return the cells of the current plans in the studies' order: state, newest epoch, failure, key.

    Finished cells of studies of more than `most` cells are left out: `counted_cells` counts them.
    """
    return catalog.query(_PROGRESS, {"study": study, "most": most})


def counted_cells(catalog: Catalog, study: str | None, most: int) -> pa.Table:
    """Return by study the number of `cells` that `progress_of_cells` leaves out, and their `epochs`."""
    return catalog.query(_COUNTED_ONLY, {"study": study, "most": most})


def best_cells(catalog: Catalog, study: str | None) -> pa.Table:
    """Return the best finished cell of each study and dataset: `cell`, `key`, `top1` (percent), its videos.

    `ties` counts the other cells with the same top-1; `of_seeds` are those of all seeds of its experiment, in
    their order: the best of them alone was lucky.
    """
    return catalog.query(_BEST, {"study": study})


def time_left(catalog: Catalog, study: str | None) -> pa.Table:
    """Return by study the `seconds` of all open cells one after another, and what the `longest` one takes.

    `unknown` counts open cells of which nobody can tell yet; studies with nothing to do are left out. `told`,
    `low`, `high` and `told_at` are the newest that a driver of the study reckoned (`TimeToGoReckoned`).
    """
    return catalog.query(_TIME_LEFT, {"study": study})


def seconds_to_go(
    row: Mapping[str, Any], running: int, now: float | None = None
) -> tuple[float, float] | None:
    """Return between how many seconds a study takes from `now` on, None where nobody can tell yet.

    It is what its driver has reckoned last, less what has passed since; where none has told it lately, the
    pace of what has finished, with as many cells at once as run.

    Args:
        row: of `time_left` or `progress_of_studies`.
        running: cells that run, 1 or more.
        now: seconds since 1970.
    """
    told, passed = row.get("told"), (time.time() if now is None else now) - (row.get("told_at") or 0.0)
    if told is not None and passed < _TOLD_FOR:
        low, high = (max(told * row[end] - max(passed, 0.0), 0.0) for end in ("low", "high"))
        return low, high
    if row["seconds"] is None or row["unknown"]:
        return None
    left = max(row["seconds"] / running, row["longest"])
    return left, left


def progress_of_studies(catalog: Catalog) -> pa.Table:
    """Return one row a study: `cells` of its current plan by state, and what `time_left` says of it.

    Those that run come first, those that are done last.
    """
    return catalog.query(_BY_STUDY.format(time_left=_TIME_LEFT), {"study": None})


def current_cells(catalog: Catalog) -> pa.Table:
    """Return `study`, `cell`, `key` and `state` of the current plans, in the order of the names."""
    return catalog.query(_CURRENT)


def cell_names(catalog: Catalog) -> list[str]:
    """Return the name of every cell that was ever planned, each once."""
    return list(catalog.query("SELECT DISTINCT cell FROM cells").column("cell").to_pylist())


def cells_named(catalog: Catalog, cell: str) -> pa.Table:
    """Return the rows of the view `cells` with this name or beginning of a key, current plans first."""
    return catalog.query(_NAMED, {"cell": cell})


def cells_to_evaluate(catalog: Catalog, study: str | None) -> pa.Table:
    """Return the rows of the view `cells` (of one study or all) with what an evaluation needs beside them.

    Further columns: `done`, `trained_evaluation` (the identity of the training's own measure) and
    `frames_on_local_disk` (of the study as submitted last).
    """
    return catalog.query(_WITH_MEASURES, {"study": study})


def attempts_of_cell(catalog: Catalog, key: str) -> pa.Table:
    """Return a cell's attempts, the first one first: state, driver, error, log, host, epochs, dates (UTC)."""
    return catalog.query(_ATTEMPTS, {"key": key})


def checkpoint_of_cell(catalog: Catalog, key: str) -> pa.Table:
    """Return one row: the reported `checkpoint` (`last`, `best`), its epoch and file; none if unfinished."""
    return catalog.query(_CHECKPOINT, {"key": key})


def lineage_of_cell(catalog: Catalog, key: str) -> pa.Table:
    """Return name, key, `depth`, `top1` and videos of a cell (depth 0) and its parents, youngest first."""
    return catalog.query(_LINEAGE, {"key": key})


def key_parts_of(catalog: Catalog, key: str) -> str:
    """Return what a planned cell's key is made of, as JSON."""
    rows = catalog.query("SELECT key_parts FROM recorded.cells WHERE key = $key LIMIT 1", {"key": key})
    return str(rows.column("key_parts")[0].as_py())


def evaluations_of_cell(catalog: Catalog, key: str) -> pa.Table:
    """Return all measurements of one cell, those of its training first."""
    return catalog.query(_EVALUATIONS, {"key": key})


def known_evaluations(catalog: Catalog) -> frozenset[tuple[str, str]]:
    """Return the (key, identity) of every evaluation that was journalled."""
    rows = catalog.query("SELECT key, evaluation FROM recorded.evaluations").to_pylist()
    return frozenset((row["key"], row["evaluation"]) for row in rows)


def sizes_of_cell(catalog: Catalog, key: str) -> pa.Table:
    """Return one row with `epochs`, `macs`, counts of videos and `top1`; none if unfinished."""
    return catalog.query(_SIZES, {"key": key})


def videos_of_dataset(catalog: Catalog, train_hash: str | None) -> pa.Table:
    """Return one row with the JSON `videos` by split of the dataset whose training videos have this hash."""
    return catalog.query(_VIDEOS, {"train": train_hash})


def successor_of_cell(catalog: Catalog, cell: str, studies: Sequence[str], key: str) -> pa.Table:
    """Return key, `top1` and `key_parts` of the cell in whose place it stands in today's plans, if any."""
    return catalog.query(_SUCCESSOR, {"cell": cell, "studies": list(studies), "key": key})


def cell_with_key(catalog: Catalog, key: str) -> pa.Table:
    """Return the row of the view `cells` with this key, its studies in order; none if unknown."""
    return catalog.query(_CELL, {"key": key})


def key_of_name(catalog: Catalog, name: str) -> str | None:
    """Return the key of the cell with this name, of the current plans first; None if unknown."""
    found = catalog.query(_KEY, {"name": name}).column("key").to_pylist()
    return str(found[0]) if found else None


def measurements_of_cell(catalog: Catalog, key: str) -> pa.Table:
    """Return the measurements of one cell in the order of time: protocol, accuracies, file of predictions.

    `reported` marks the one that `results` shows: of the checkpoint that the study reports.
    """
    return catalog.query(_MEASUREMENTS, {"key": key})


def latest_study_file(catalog: Catalog, studies: Sequence[str]) -> pa.Table:
    """Return one row: the `file` from which one of these studies was submitted last."""
    return catalog.query(_STUDY_FILE, {"studies": list(studies)})


def cells_side_by_side(catalog: Catalog, keys: Sequence[str]) -> pa.Table:
    """Return state, top-1 (percent) of the `checkpoint` reported, and epochs, as in `keys`.

    Cells of current plans and finished ones: those that are `superseded` are marked.
    """
    return catalog.query(_SIDE_BY_SIDE, {"keys": list(keys)})


def cells_to_choose(catalog: Catalog, filters: Filters) -> pa.Table:
    """Return name, key, state, top-1 (percent), its videos and study of the first 2,000 cells let through."""
    chosen = chosen_cells(filters, "grid_cells")
    return catalog.query(f"WITH {chosen.sql} {_LIST}", chosen.params)


def cells_with_words(
    catalog: Catalog, filters: Filters, words: Sequence[str], keys: Sequence[str], most: int
) -> pa.Table:
    """Return `cell` and `key` of at most `most` cells that pass the filters and whose name holds every word.

    Those with one of `keys` are there too, whatever the filters say.
    """
    chosen = _candidates(filters)
    typed = {f"word_{place}": word.lower() for place, word in enumerate(words)}
    named = " AND ".join(f"contains(lower(cell || ' ' || key), ${word})" for word in typed)
    sql = f"""
        WITH {chosen.sql}
        (
            SELECT cell, key FROM chosen WHERE {named or "true"}
            ORDER BY cell, key LIMIT {most}
        )
        UNION
        SELECT cell, key FROM recorded.cells WHERE list_contains($keys::VARCHAR[], key)
        ORDER BY cell, key
    """
    return catalog.query(sql, {**chosen.params, **typed, "keys": list(keys)})


def _candidates(filters: Filters) -> Where:
    """The cells to choose from, once each; states take longer: only a filter on them looks at them."""
    if filters.state:
        return chosen_cells(filters, "grid_cells")
    if filters == ALL:
        return Where("chosen AS (FROM materialised.planned_keys WHERE current)", {})
    where = filters.where((*AXES, "study", "seed", TAG))
    once = f"SELECT DISTINCT cell, key FROM study_cells WHERE current AND {where.sql}"
    return Where(f"chosen AS ({once})", where.params)
