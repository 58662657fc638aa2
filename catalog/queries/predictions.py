"""What the predictions of single videos say: confusion, accuracy by class, models on the same videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

_CHOSEN_EVALUATION = """
    key = $key AND evaluation = coalesce($evaluation, (SELECT evaluation FROM results_all WHERE key = $key))
"""
# What is not current alone needs the files of all measurements, which are many more.
_OTHERS = """
    SELECT count(*) AS others FROM recorded.finished WHERE list_contains($keys, key) AND key NOT IN (
        SELECT key FROM computed.current_evaluations WHERE evaluation = coalesce($evaluation, evaluation)
    )
"""
_CONFUSION = """
    SELECT label, class, predicted, predicted_class, videos FROM confusion{suffix} WHERE {chosen}
    ORDER BY label, predicted
"""
_BY_CLASS = """
    SELECT label, class, videos, top1, top5 FROM per_class_accuracy{suffix} WHERE {chosen}
    ORDER BY top1 DESC, label
"""
_PAIRS = """
    WITH looked_at AS MATERIALIZED (SELECT unnest($keys) AS key),
    reported AS MATERIALIZED (
        SELECT key, evaluation AS reported FROM looked_at LEFT JOIN results_all USING (key)
    ),
    chosen AS MATERIALIZED (
        SELECT key, cell, index, video, label, correct
        FROM predictions{suffix} JOIN reported USING (key) WHERE evaluation = coalesce($evaluation, reported)
    ),
    sizes AS (SELECT key, any_value(cell) AS cell, count(*) AS videos FROM chosen GROUP BY key),
    counts AS (
        SELECT
            one.key AS first_key, other.key AS second_key,
            count(*) FILTER (
                -- Folders differ from machine to machine.
                one.label = other.label
                AND coalesce(parse_filename(one.video) = parse_filename(other.video), true)
            ) AS shared,
            count(*) FILTER (one.correct AND other.correct) AS both,
            count(*) FILTER (one.correct AND NOT other.correct) AS only_first,
            count(*) FILTER (NOT one.correct AND other.correct) AS only_second,
            count(*) FILTER (NOT one.correct AND NOT other.correct) AS neither
        FROM chosen AS one JOIN chosen AS other USING (index)
        WHERE list_position($keys, one.key) < list_position($keys, other.key)
        GROUP BY one.key, other.key
    )
    SELECT
        counts.*, upper_size.cell AS first, lower_size.cell AS second,
        upper_size.videos AS first_videos, lower_size.videos AS second_videos
    FROM counts
    JOIN sizes AS upper_size ON upper_size.key = first_key
    JOIN sizes AS lower_size ON lower_size.key = second_key
    ORDER BY list_position($keys, first_key), list_position($keys, second_key)
"""


def _ask(
    catalog: Catalog, sql: str, keys: Sequence[str], evaluation: str | None, params: Mapping[str, object]
) -> pa.Table:
    (row,) = catalog.query(_OTHERS, {"keys": list(keys), "evaluation": evaluation}).to_pylist()
    # Replaced, not formatted: structs have braces too.
    whole = sql.replace("{suffix}", "_all" if row["others"] else "").replace("{chosen}", _CHOSEN_EVALUATION)
    return catalog.query(whole, {**params, "evaluation": evaluation})


def confusion(catalog: Catalog, key: str, evaluation: str | None = None) -> pa.Table:
    """Return one row a class and predicted class that occurs, with the number of videos.

    Without an evaluation it is the one that `results` shows: of the checkpoint that the study reports.
    """
    return _ask(catalog, _CONFUSION, [key], evaluation, {"key": key})


def class_accuracies(catalog: Catalog, key: str, evaluation: str | None = None) -> pa.Table:
    """Return one row a class, the best one first: accuracies in percent over its videos."""
    return _ask(catalog, _BY_CLASS, [key], evaluation, {"key": key})


def counts_on_same_videos(catalog: Catalog, keys: Sequence[str], evaluation: str | None = None) -> pa.Table:
    """Return one row a pair of cells with predictions of the same videos: how many which of them got right.

    `both`, `only_first`, `only_second` and `neither` count videos; `shared` counts those that are certainly
    the same, `first_videos` and `second_videos` all of either cell.
    """
    return _ask(catalog, _PAIRS, keys, evaluation, {"keys": list(keys)})
