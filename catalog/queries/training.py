"""How cells were trained and what it cost: epochs, attempts, lineage, differing settings, hours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.queries.filters import ALL, Filters, ask, chosen_cells

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

MISSING = "–"
_AXES = ("module", "backbone", "temporal_pooling", "frames", "dataset", "seed")

_SPANS = """
    SELECT key, min(first_time) AS first, max(last_time) AS last
    FROM materialised.attempt_epochs WHERE list_contains($keys, key) GROUP BY key
"""
# Rows stand in the order of time, so that the bounds spare reading most of a large catalog.
_EPOCHS_OF_ONE = """
    SELECT * FROM recorded.epochs WHERE time BETWEEN $first_{place} AND $last_{place} AND key = $key_{place}
"""
_EPOCHS = """
    SELECT
        names.cell, epochs.key, epochs.epoch, epochs.attempt, epochs.train_loss, epochs.val_loss,
        epochs.train_top1, epochs.top1, epochs.top5, epochs.lr, epochs.clips_per_second, epochs.seconds,
        epochs.wait_seconds, epochs.cpu_seconds, epochs.resident_bytes, epochs.peak_memory_bytes,
        epochs.gpu_percent, epochs.grad_norm,
        coalesce(finished.train_videos, built.train_videos) AS train_videos,
        coalesce(finished.eval_videos, built.eval_videos) AS eval_videos
    FROM ({epochs}) AS epochs
    LEFT JOIN materialised.planned_keys AS names USING (key)
    LEFT JOIN recorded.finished AS finished USING (key)
    LEFT JOIN ({videos}) AS built USING (key)
    ORDER BY list_position($keys, epochs.key), epochs.epoch
"""
# A cell that still trains has no result that counts its videos: its dataset's build does.
_VIDEOS = """
    SELECT
        key, any_value((videos ->> '$.train')::BIGINT) AS train_videos,
        any_value((videos ->> '$.val')::BIGINT) AS eval_videos
    FROM recorded.cells JOIN recorded.datasets_built ON train_hash = key_parts ->> '$.data.train'
    WHERE list_contains($keys, key) GROUP BY key
"""
_CONFIGS = """
    SELECT key, cell, config::VARCHAR AS config, module, backbone, temporal_pooling, frames, dataset, seed
    FROM computed.planned_cells WHERE list_contains($keys, key) ORDER BY list_position($keys, key)
"""

_BUILDS = """
    SELECT
        train_hash, arg_max(manifest, time) AS manifest,
        any_value(coalesce(planned.cells, 0)) AS cells, any_value(coalesce(planned.studies, [])) AS studies
    FROM recorded.datasets_built LEFT JOIN (
        SELECT
            key_parts ->> '$.data.train' AS train_hash, count(DISTINCT key) AS cells,
            list(DISTINCT study ORDER BY study) AS studies
        FROM recorded.cells SEMI JOIN (FROM study_cells WHERE current) AS planned USING (key, study)
        GROUP BY ALL
    ) AS planned USING (train_hash)
    GROUP BY train_hash
"""
_LINEAGE = """
    SELECT line.*, train_videos FROM lineage_of($key) AS line
    LEFT JOIN (SELECT key, train_videos FROM recorded.finished) USING (key) ORDER BY step DESC
"""
_WHOLE = 1e-4  # videos


def epochs_of(catalog: Catalog, keys: Sequence[str]) -> pa.Table:
    """Return one row a cell and epoch, in the order of `keys`: accuracies in percent, clips a second.

    `train_videos` and `eval_videos` count the videos behind them, where a build or a result says so.
    """
    spans = catalog.query(_SPANS, {"keys": list(keys)}).to_pylist()
    params = {f"{name}_{place}": span[name] for place, span in enumerate(spans) for name in span}
    parts = [_EPOCHS_OF_ONE.format(place=place) for place in range(len(spans))]
    epochs = " UNION ALL ".join(parts) or "FROM recorded.epochs LIMIT 0"
    return catalog.query(_EPOCHS.format(epochs=epochs, videos=_VIDEOS), {"keys": list(keys), **params})


@dataclass(frozen=True)
class Build:
    """The last build of some training videos: its manifest's path, and what today's studies train on them."""

    manifest: str
    cells: int = 0
    studies: tuple[str, ...] = ()


def last_builds(catalog: Catalog) -> dict[str, Build]:
    """Return the last build of every dataset, by the hash of its training videos."""
    rows = catalog.query(_BUILDS).to_pylist()
    return {row.pop("train_hash"): Build(**{**row, "studies": tuple(row["studies"])}) for row in rows}


def attempts_at(catalog: Catalog, key: str) -> pa.Table:
    """Return one row an attempt at a cell, the first one first."""
    return catalog.query("FROM attempts WHERE key = $key ORDER BY attempt", {"key": key})


def lineage_of(catalog: Catalog, key: str) -> pa.Table:
    """Return one row a cell, from the starter to the cell itself; accuracies in percent.

    `rechecked_videos` counts those behind `rechecked_top1`; it is empty where they do not make that accuracy.
    """
    import pyarrow as pa

    table = catalog.query(_LINEAGE, {"key": key})
    counts = [_rechecked(row) for row in table.to_pylist()]
    return table.drop_columns(["train_videos"]).append_column(
        "rechecked_videos", pa.array(counts, pa.int64())
    )


def videos_to_recheck(train_videos: int) -> int:
    """Return on how many evaluation videos at most a cell measures its parent again before it trains.

    A tenth of an epoch: the parent's clips are shorter and need no backward pass.
    """
    return max(1, train_videos // 10)


def _rechecked(row: Mapping[str, Any]) -> int | None:
    top1, trained, evaluated = row["rechecked_top1"], row["train_videos"], row["eval_videos"]
    if top1 is None or not trained or not evaluated:
        return None
    videos = min(videos_to_recheck(trained), evaluated)
    right = top1 * videos / 100
    return videos if abs(right - round(right)) < _WHOLE else None


def configuration_differences(catalog: Catalog, keys: Sequence[str]) -> pa.Table:
    """Return one row a setting of these cells: its name, whether it differs, and its text in every cell."""
    configs = {}
    for row in catalog.query(_CONFIGS, {"keys": list(keys)}).to_pylist():
        name = row["cell"] if row["cell"] not in configs else f"{row['cell']} ({row['key'][:6]})"
        configs[name] = {**{axis: row[axis] for axis in _AXES}, **json.loads(row["config"] or "{}")}
    return differences(configs)


def differences(configs: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Compare nested configurations by cell: `recipe: {lr: 0.1}` becomes the setting `recipe.lr`.

    Settings that differ stand first; one that a cell does not have is `MISSING` there.
    """
    import pyarrow as pa

    flat = {name: dict(flattened(config)) for name, config in configs.items()}
    settings = list(dict.fromkeys(setting for config in flat.values() for setting in config))
    rows = []
    for setting in settings:
        texts = {name: config.get(setting, MISSING) for name, config in flat.items()}
        rows.append({"setting": setting, "differs": len(set(texts.values())) > 1, **texts})
    rows.sort(key=lambda row: not row["differs"])
    schema = [("setting", pa.string()), ("differs", pa.bool_()), *((name, pa.string()) for name in flat)]
    return pa.Table.from_pylist(rows, schema=pa.schema(schema))


def flattened(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the settings of a nested configuration as dotted names and texts; lists count as one value."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


_BY_AXIS = """
    FROM costs_by_axis_of('chosen')
    ORDER BY list_position(['module', 'backbone', 'temporal_pooling', 'frames', 'dataset', 'seed'], axis),
        try_cast(ltrim(value, 'f') AS BIGINT), value
"""
_BY_HOURS = """
    FROM accuracy_per_cost_of('chosen')
    ORDER BY dataset, module, backbone, temporal_pooling, frames, variant, experiment
"""
_UTILISATION = """
    , busy AS MATERIALIZED (
        SELECT spans.started, spans.ended, chosen.gpus, chosen.cpus
        FROM attempt_spans AS spans JOIN chosen USING (key)
    )
    FROM utilisation_of('busy')
"""
_FAILURES = """
    , attempts_gone AS (FROM failed_attempts SEMI JOIN chosen USING (key))
    SELECT
        kind, count(*) AS attempts, count(DISTINCT attempts_gone.key) AS cells,
        count(DISTINCT attempts_gone.key) FILTER (chosen.state = 'failed') AS cells_failed,
        arg_max(chosen.cell, (attempts_gone.attempt, chosen.cell)) AS example,
        arg_max(error, (attempts_gone.attempt, chosen.cell)) AS error,
        arg_max(log, (attempts_gone.attempt, chosen.cell)) AS log
    FROM attempts_gone JOIN chosen USING (key)
    GROUP BY kind ORDER BY attempts DESC, kind
"""


def costs_by_axis(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row an axis and value: hours of GPUs and of CPU cores spent, expected and left.

    What open cells will cost is estimated from the finished ones of their data set; `unknown` counts those of
    which nobody can tell.
    """
    return ask(catalog, chosen_cells(filters, "cell_costs"), _BY_AXIS)


def hours_spent(catalog: Catalog, study: str, *, on_gpus: bool) -> float:
    """Return the hours of GPUs (else of CPU cores) that the cells of a study's current plan have taken."""
    rows = costs_by_axis(catalog, Filters(study=(study,))).to_pylist()
    column = "gpu_hours_spent" if on_gpus else "cpu_hours_spent"
    return float(sum(row[column] or 0.0 for row in rows if row["axis"] == "module"))


def accuracies_by_hours(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a finished model and length: top-1 (percent), hours of GPUs and CPU cores of its chain.

    A longer clip needs the shorter ones' weights, so that its hours include theirs: chains must be whole,
    filters on frames and states are for the caller. Seeds are averaged.
    """
    return ask(catalog, chosen_cells(filters.without("frames", "state"), "cell_costs"), _BY_HOURS)


def utilisation(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return the mean number of reserved GPUs, CPU cores and attempts in 200 equal intervals of time."""
    return ask(catalog, chosen_cells(filters, "cell_costs_all"), _UTILISATION)


def failures_by_kind(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a kind of failure: attempts, cells hit, cells that are failed now, and an example."""
    return ask(catalog, chosen_cells(filters, "cell_costs"), _FAILURES)
