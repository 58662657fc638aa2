"""What the predictions of single videos say: confusion, accuracy by class, models on the same videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

# The view `results_all` says it too, with much that nobody asks for here: DuckDB plans that for 0.1 s.
_CHOSEN_EVALUATION = """
    key = $key AND evaluation = coalesce(
        $evaluation, (SELECT evaluation FROM computed.reported_checkpoints WHERE key = $key)
    )
"""
# What is not current alone needs the files of all measurements, which are many more.
_OTHERS = """
    SELECT count(*) AS others FROM recorded.finished WHERE list_contains($keys, key) AND key NOT IN (
        SELECT key FROM computed.current_evaluations WHERE evaluation = coalesce($evaluation, evaluation)
    )
"""
_CONFUSION = """
    SELECT cell, evaluation, checkpoint, split, label, class, predicted, predicted_class, videos
    FROM confusion{suffix} WHERE {chosen}
    ORDER BY label, predicted
"""
_BY_CLASS = """
    SELECT evaluation, label, class, videos, correct, top1, top1_low, top1_high, top5
    FROM per_class_accuracy{suffix} WHERE {chosen}
    ORDER BY top1 DESC, label
"""
# Which videos an evaluation measured: the hash of their list, where it is known. A training's result does not
# name it; the builds of its training videos do, where they all have the same validation videos.
_MEASURED = """
    looked_at AS MATERIALIZED (SELECT DISTINCT unnest($keys) AS key),
    built AS (
        SELECT train_hash, any_value(val_hash) AS val_hash FROM recorded.datasets_built
        GROUP BY train_hash HAVING count(DISTINCT val_hash) = 1
    ),
    trained AS (
        SELECT key, any_value(built.val_hash) AS val_hash
        FROM looked_at JOIN recorded.cells USING (key)
        JOIN built ON built.train_hash = key_parts ->> '$.data.train' GROUP BY key
    ),
    measured AS MATERIALIZED (
        SELECT key, coalesce($evaluation, reported.evaluation) AS evaluation, val_hash AS videos_hash
        FROM looked_at LEFT JOIN computed.reported_checkpoints AS reported USING (key)
        LEFT JOIN trained USING (key)
        WHERE $evaluation IS NULL OR starts_with($evaluation, 'training:')
        UNION ALL
        SELECT key, evaluation, videos_hash FROM recorded.evaluations SEMI JOIN looked_at USING (key)
        WHERE evaluation = $evaluation
    )
"""
# Equal labels alone do not make two videos one; folders differ from machine to machine.
_SAME_VIDEO = """
    coalesce(
        one.videos_hash = other.videos_hash, parse_filename(one.video) = parse_filename(other.video), false
    )
"""
_PAIRS = f"""
    WITH {_MEASURED},
    chosen AS MATERIALIZED (
        SELECT key, cell, index, video, videos_hash, label, correct
        FROM predictions{{suffix}} JOIN measured USING (key, evaluation)
    ),
    sizes AS (SELECT key, any_value(cell) AS cell, count(*) AS videos FROM chosen GROUP BY key),
    counts AS (
        SELECT
            one.key AS first_key, other.key AS second_key,
            count(*) FILTER (one.label = other.label AND {_SAME_VIDEO}) AS shared,
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
_PAIR_BY_CLASS = f"""
    WITH {_MEASURED},
    chosen AS (SELECT * FROM predictions{{suffix}} JOIN measured USING (key, evaluation))
    SELECT
        one.label, any_value(one.class) AS class,
        count(*) FILTER (one.correct AND other.correct) AS both,
        count(*) FILTER (one.correct AND NOT other.correct) AS only_first,
        count(*) FILTER (NOT one.correct AND other.correct) AS only_second,
        count(*) FILTER (NOT one.correct AND NOT other.correct) AS neither
    FROM chosen AS one JOIN chosen AS other USING (index)
    WHERE one.key = $keys[1] AND other.key = $keys[2] AND one.label = other.label AND {_SAME_VIDEO}
    GROUP BY one.label ORDER BY one.label
"""
_LISTED = """
    concat_ws(
        ' ', coalesce(
            any_value(videos_hash),
            CASE WHEN count(video) = count(*) THEN bit_xor(hash(parse_filename(video)))::VARCHAR END, key
        ), bit_xor(hash(index, label)), count(*)
    ) AS videos
"""
_OUTCOMES = f"""
    WITH {_MEASURED}
    SELECT key, {{measure}} AS outcomes, {_LISTED}
    FROM predictions{{suffix}} JOIN measured USING (key, evaluation) GROUP BY key
"""
_OUTCOMES_OF_EVALUATIONS = f"""
    WITH named AS MATERIALIZED (
        SELECT key, evaluation, videos_hash FROM recorded.evaluations
        WHERE list_contains($evaluations, evaluation)
    )
    SELECT key, evaluation, list(correct::DOUBLE ORDER BY index) AS outcomes, {_LISTED}
    FROM predictions JOIN named USING (key, evaluation) GROUP BY key, evaluation
"""
_MEASURES = {
    "top1": "list(correct::DOUBLE ORDER BY index)",
    "top5": "list(list_contains(top, label)::DOUBLE ORDER BY index)",
    "loss": "list(loss ORDER BY index)",
}
# Where the true class is among the first five, the loss tells the sum over all classes, and the probability
# of the first one is exact; else its share among the five is a bound from above.
_CONFIDENT = """
    WITH averages AS (
        SELECT key, evaluation, any_value(average) AS average FROM recorded.evaluations
        WHERE key = $key GROUP BY ALL
    ),
    videos AS (
        SELECT *, list_position(top, label) AS place FROM predictions{suffix}
        WHERE {chosen} AND {which} AND ($class IS NULL OR class = $class)
    ),
    weighed AS (
        SELECT videos.*, coalesce(average, 'logits') AS averaged,
            averaged = 'softmax' OR place IS NOT NULL AS exact, CASE
            WHEN averaged = 'softmax' THEN scores[1]
            WHEN place IS NOT NULL THEN exp(scores[1] - scores[place] - loss)
            ELSE 1 / list_sum(list_transform(scores, lambda one: exp(one - scores[1])))
        END AS weight
        FROM videos LEFT JOIN averages USING (key, evaluation)
    )
    SELECT
        key, evaluation, index, video, label, class, predicted, predicted_class, correct, loss, exact,
        CASE WHEN isfinite(weight) THEN weight END AS probability,
        exp(-loss) AS true_probability, count(*) OVER () AS videos
    FROM weighed ORDER BY probability DESC NULLS LAST, loss DESC, index LIMIT $most
"""
_CLASSES = """
    SELECT class, count(*) AS videos, count(*) FILTER (NOT correct) AS mistakes
    FROM predictions{suffix} WHERE {chosen} AND {which}
    GROUP BY class ORDER BY mistakes DESC, class
"""
WHICH = {"mistakes": "NOT correct", "right": "correct", "all": "true"}
"""Which videos of a cell can be asked for: what it got wrong, what it got right, both."""
_DECIDED = f"""
    WITH {_MEASURED},
    chosen AS (SELECT * FROM predictions{{suffix}} JOIN measured USING (key, evaluation))
    SELECT
        one.key, one.evaluation, one.index, one.video, one.label, one.class,
        one.predicted_class AS first_class, other.predicted_class AS second_class,
        exp(-one.loss) AS first_probability, exp(-other.loss) AS second_probability,
        count(*) OVER () AS videos
    FROM chosen AS one JOIN chosen AS other USING (index)
    WHERE one.key = $keys[1] AND other.key = $keys[2] AND one.label = other.label
        AND one.correct = $first_right AND other.correct <> $first_right
        AND {_SAME_VIDEO} AND ($class IS NULL OR one.class = $class)
    ORDER BY abs(first_probability - second_probability) DESC NULLS LAST, one.index LIMIT $most
"""
_PLACE = """
    SELECT
        one.index, measured.split, sampling, sampling_rate, clips, frames,
        any_value(parse_filename(one.video)) AS name, any_value(sources.manifests) AS manifests
    FROM evaluations_all AS measured
    JOIN computed.prediction_sources AS sources
        ON sources.key = measured.key AND list_contains(sources.evaluations, measured.evaluation)
    JOIN predictions{suffix} AS one
        ON one.key = measured.key AND one.evaluation = measured.evaluation
        AND list_contains($indices, one.index)
    WHERE measured.key = $key AND measured.evaluation = $evaluation GROUP BY ALL
"""
_LEADERS = """
    SELECT planned.dataset, planned.cell, key, top1
    FROM study_cells AS planned JOIN results USING (key)
    WHERE planned.current AND isfinite(top1) AND ($study IS NULL OR planned.study = $study)
    QUALIFY row_number() OVER (PARTITION BY planned.dataset ORDER BY top1 DESC, planned.cell, key) <= 2
    ORDER BY planned.dataset, top1 DESC, planned.cell
"""


@dataclass(frozen=True)
class VideoPlace:
    """Where a video of an evaluation is to be found, and which of its frames were looked at first.

    It is the `index`-th of its `split` in one of `manifests` (as journals name them), its file is called
    `name`. A clip has `frames` frames; `rate` counts for dense sampling.
    """

    manifests: tuple[str, ...]
    split: str
    index: int
    name: str
    frames: int
    sampling: str
    rate: int
    clips: int


MOST_CELLS = 5000
"""Of more cells than this, nobody waits for the predictions of all."""


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


def counts_by_class(catalog: Catalog, keys: tuple[str, str]) -> pa.Table:
    """Return one row a class, in label order: of how many videos both of two cells, one or neither is right.

    Only videos that are certainly the same are counted; `both`, `only_first`, `only_second`, `neither`.
    """
    return _ask(catalog, _PAIR_BY_CLASS, keys, None, {"keys": list(keys)})


def outcomes_by_video(
    catalog: Catalog, keys: Sequence[str], measure: str = "top1", evaluation: str | None = None
) -> pa.Table:
    """Return one row a cell with known predictions: `outcomes`, a list with a number a video, in their order.

    Two cells were measured on the same videos where `videos` is the same text: the hash of the list or, where
    no journal has that, of the videos' names. Of more than `MOST_CELLS` cells there are no rows.

    Args:
        catalog: the catalog.
        keys: the cells that are asked about.
        measure: `top1` or `top5` (1 where the video counts as right, else 0), or `loss`.
        evaluation: which measurement; without one that which `results` shows.
    """
    wanted = list(keys) if len(keys) <= MOST_CELLS else []
    return _ask(
        catalog, _OUTCOMES.replace("{measure}", _MEASURES[measure]), wanted, evaluation, {"keys": wanted}
    )


def outcomes_of_evaluations(catalog: Catalog, evaluations: Sequence[str]) -> pa.Table:
    """Return one row a named evaluation of a current cell: `outcomes` of top-1 and `videos`, as by video.

    Of evaluations that are not known, or whose predictions are not, and of more than `MOST_CELLS` there are
    no rows.
    """
    wanted = list(evaluations) if len(evaluations) <= MOST_CELLS else []
    return catalog.query(_OUTCOMES_OF_EVALUATIONS, {"evaluations": wanted})


def confident_videos(
    catalog: Catalog,
    key: str,
    evaluation: str | None = None,
    label: str | None = None,
    which: str = "mistakes",
    most: int | None = None,
) -> pa.Table:
    """Return the videos that a cell got wrong, or others of `WHICH`: those it was surest of first.

    `probability` is that of the predicted class; where not `exact` (the true class is not among the first
    five, and no more is recorded) it is at most this; `true_probability` is that of the true class. `label`:
    the name of the true class; None: any. `videos` counts all of them, beyond `most` too.
    """
    sql = _CONFIDENT.replace("{which}", WHICH[which])
    return _ask(catalog, sql, [key], evaluation, {"key": key, "class": label, "most": most})


def classes_of_videos(
    catalog: Catalog, key: str, evaluation: str | None = None, which: str = "mistakes"
) -> pa.Table:
    """Return `class`, `videos` and `mistakes` of the classes of `confident_videos`, most mistakes first."""
    return _ask(catalog, _CLASSES.replace("{which}", WHICH[which]), [key], evaluation, {"key": key})


def decided_differently(
    catalog: Catalog,
    keys: tuple[str, str],
    *,
    first_right: bool,
    label: str | None = None,
    most: int | None = None,
) -> pa.Table:
    """Return the videos that one of two cells got right and the other wrong, as `first_right` says.

    Those come first whose true class the two think most differently about: `first_probability` and
    `second_probability` are what they give it. Only videos that are certainly the same are compared.
    `videos` counts all of them, beyond `most` too.
    """
    params = {"keys": list(keys), "first_right": first_right, "class": label, "most": most}
    return _ask(catalog, _DECIDED, keys, None, params)


def video_places(
    catalog: Catalog, key: str, evaluation: str, indices: Sequence[int]
) -> dict[int, VideoPlace]:
    """Return where videos that a cell was measured on are to be found; without those that nothing tells."""
    params = {"key": key, "indices": list(indices)}
    rows = _ask(catalog, _PLACE, [key], evaluation, params).to_pylist()
    return {row["index"]: _place(row) for row in rows if row["name"] and row["manifests"]}


def _place(row: Mapping[str, Any]) -> VideoPlace:
    return VideoPlace(
        manifests=tuple(row["manifests"]),
        split=row["split"],
        index=row["index"],
        name=row["name"],
        frames=row["frames"],
        sampling=row["sampling"] or "uniform",
        rate=row["sampling_rate"] or 1,
        clips=row["clips"] or 1,
    )


def leaders(catalog: Catalog, study: str | None) -> pa.Table:
    """Return the two best finished cells of each dataset: `dataset`, `cell`, `key`, `top1` (percent)."""
    return catalog.query(_LEADERS, {"study": study})
