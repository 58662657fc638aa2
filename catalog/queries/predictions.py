"""What the predictions of single videos say: confusion, accuracy by class, models on the same videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

_CHOSEN_EVALUATION = """
    key = $key AND evaluation = coalesce($evaluation, (
        SELECT 'training:' || inherit FROM recorded.finished WHERE key = $key
    ))
"""
_CONFUSION = f"""
    SELECT label, class, predicted, predicted_class, videos FROM confusion WHERE {_CHOSEN_EVALUATION}
    ORDER BY label, predicted
"""
_BY_CLASS = f"""
    SELECT label, class, videos, top1, top5 FROM per_class_accuracy WHERE {_CHOSEN_EVALUATION}
    ORDER BY top1 DESC, label
"""
_PAIRS = """
    WITH looked_at AS MATERIALIZED (SELECT unnest($keys) AS key),
    inherited AS MATERIALIZED (
        SELECT key, inherit FROM looked_at LEFT JOIN recorded.finished USING (key)
    ),
    chosen AS MATERIALIZED (
        SELECT key, cell, index, video, label, correct
        FROM predictions JOIN inherited USING (key)
        WHERE predictions.evaluation = coalesce($evaluation, 'training:' || inherit)
    ),
    sizes AS (SELECT key, any_value(cell) AS cell, count(*) AS videos FROM chosen GROUP BY key),
    counts AS (
        SELECT
            one.key AS first_key, other.key AS second_key,
            count(*) FILTER (one.label = other.label AND coalesce(one.video = other.video, true)) AS shared,
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


def confusion(catalog: Catalog, key: str, evaluation: str | None = None) -> pa.Table:
    """Return one row a class and predicted class that occurs, with the number of videos.

    Without an evaluation it is the one of the epoch that the cell's children start from.
    """
    return catalog.query(_CONFUSION, {"key": key, "evaluation": evaluation})


def class_accuracies(catalog: Catalog, key: str, evaluation: str | None = None) -> pa.Table:
    """Return one row a class, the best one first: accuracies in percent over its videos."""
    return catalog.query(_BY_CLASS, {"key": key, "evaluation": evaluation})


def counts_on_same_videos(catalog: Catalog, keys: Sequence[str], evaluation: str | None = None) -> pa.Table:
    """Return one row a pair of cells with predictions of the same videos: how many which of them got right.

    `both`, `only_first`, `only_second` and `neither` count videos; `shared` counts those that are certainly
    the same, `first_videos` and `second_videos` all of either cell.
    """
    return catalog.query(_PAIRS, {"keys": list(keys), "evaluation": evaluation})
