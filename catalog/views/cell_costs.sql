-- When attempts occupied their GPUs or CPUs, in seconds since 1970. An attempt without a recorded end lasts until
-- its last epoch.
CREATE VIEW attempt_spans AS
SELECT
    started.key, started.attempt, started.time AS started,
    greatest(coalesce(ended.time, epochs.last_time, started.time), started.time) AS ended
FROM recorded.attempts_started AS started
LEFT JOIN recorded.attempts_ended AS ended USING (key, attempt)
LEFT JOIN materialised.attempt_epochs AS epochs USING (key, attempt);

-- What a cell costs: one row a study and cell that is planned today or finished. `seconds` were spent in all its attempts; `expected_seconds` is
-- what a finished cell took, and for the others MACs × epochs at the pace of the finished cells of the dataset
-- (of all datasets, where it has none; before the first one is finished, that of the epochs which are trained; empty
-- before the first epoch). Hours are seconds × GPUs (or CPUs) / 3600.
CREATE VIEW computed.cell_costs AS
WITH spent AS (SELECT key, sum(ended - started) AS seconds FROM attempt_spans GROUP BY key),
trained AS (SELECT key, max(last_epoch) AS epoch FROM materialised.attempt_epochs GROUP BY key),
configured AS (
    -- One look at each text for all its values, and one for all cells that share it.
    SELECT config, json_extract_string(config, [
        '$.recipe.epochs', '$.resources.workers', '$.resources.gpus_per_worker', '$.resources.cpus_per_worker'
    ])::DOUBLE[] AS numbers
    FROM (SELECT DISTINCT config FROM recorded.cells)
),
sized AS MATERIALIZED (
    SELECT
        grid.* EXCLUDE (config), numbers[1] AS epochs,
        coalesce(numbers[3], 0) * coalesce(numbers[2], 1) AS gpus,
        coalesce(numbers[4], 1) * coalesce(numbers[2], 1) AS cpus, coalesce(spent.seconds, 0) AS seconds,
        coalesce(trained.epoch, 0) AS epoch
    FROM computed.grid_cells AS grid LEFT JOIN configured USING (config) LEFT JOIN spent USING (key)
    LEFT JOIN trained USING (key)
),
finished AS MATERIALIZED (
    SELECT dataset, sum(seconds) AS seconds, sum(macs * epochs) AS work
    FROM sized WHERE state = 'done' GROUP BY dataset
),
begun AS MATERIALIZED (
    SELECT dataset, sum(seconds) AS seconds, sum(macs * epoch) AS work
    FROM sized WHERE state <> 'done' AND epoch > 0 GROUP BY dataset
),
paces AS (
    SELECT dataset, coalesce(finished.seconds / nullif(finished.work, 0), begun.seconds / nullif(begun.work, 0)) AS pace
    FROM finished FULL JOIN begun USING (dataset)
),
anywhere AS (
    SELECT coalesce(
        (SELECT sum(seconds) / nullif(sum(work), 0) FROM finished),
        (SELECT sum(seconds) / nullif(sum(work), 0) FROM begun)
    ) AS pace
)
SELECT
    sized.* EXCLUDE (epoch),
    CASE WHEN state = 'done' THEN seconds ELSE macs * epochs * coalesce(paces.pace, anywhere.pace) END
        AS expected_seconds
FROM sized LEFT JOIN paces USING (dataset) CROSS JOIN anywhere;
CREATE TABLE materialised.cell_costs AS FROM computed.cell_costs WITH NO DATA;
-- Those of today's plans, and all: what superseded cells took is spent too (`superseded`).
CREATE VIEW cell_costs AS SELECT * EXCLUDE (current) FROM materialised.cell_costs WHERE current;
CREATE VIEW cell_costs_all AS
SELECT * EXCLUDE (current), NOT current AS superseded FROM materialised.cell_costs;

-- Hours by the values of every axis, over any relation with the columns of `cell_costs`: spent so far, expected
-- for the whole and left of the open cells; `unknown` counts cells whose cost nobody can tell yet.
CREATE MACRO costs_by_axis_of(relation) AS TABLE
WITH cost AS MATERIALIZED (FROM query_table(relation)),
axes AS (
    SELECT
        unnest(
            ['module', 'backbone', 'temporal_pooling', 'frames', 'dataset', 'seed'] || map_keys(other_axes)
        ) AS axis,
        unnest([
            module, backbone, CASE WHEN temporal_pooling THEN 'tp' ELSE 'no tp' END, 'f' || frames, dataset,
            seed::VARCHAR
        ] || map_values(other_axes)) AS value,
        state, seconds, expected_seconds, gpus, cpus,
        CASE
            WHEN state <> 'done' AND expected_seconds IS NOT NULL THEN greatest(expected_seconds - seconds, 0)
        END AS seconds_left
    FROM cost
)
SELECT
    axis, value, count(*) AS cells, count(*) FILTER (state = 'done') AS done,
    count(*) FILTER (state = 'running') AS running, sum(seconds_left) AS seconds_left,
    sum(seconds_left * gpus) / 3600 AS gpu_hours_left, sum(seconds_left * cpus) / 3600 AS cpu_hours_left,
    sum(seconds * gpus) / 3600 AS gpu_hours_spent, sum(expected_seconds * gpus) / 3600 AS gpu_hours_expected,
    sum(seconds * cpus) / 3600 AS cpu_hours_spent, sum(expected_seconds * cpus) / 3600 AS cpu_hours_expected,
    count(*) FILTER (expected_seconds IS NULL) AS unknown
FROM axes GROUP BY axis, value;

-- Accuracy against what it took to get it, over any relation with the columns of `cell_costs` and every key once:
-- one row a finished cell. A cell needs its ancestors, so that `chain_seconds` sums the chain from its starter.
CREATE MACRO accuracy_per_cost_of(relation) AS TABLE
WITH RECURSIVE cost AS MATERIALIZED (
    SELECT
        key, cell, parent_key, dataset, module, backbone, temporal_pooling, frames, seed, state, top1, eval_videos,
        seconds, gpus, cpus
    FROM query_table(relation)
),
chains AS (
    SELECT key, seconds * gpus AS gpu_seconds, seconds * cpus AS cpu_seconds
    FROM cost ANTI JOIN cost AS parent ON cost.parent_key = parent.key
    UNION ALL
    SELECT
        cost.key, chains.gpu_seconds + cost.seconds * cost.gpus, chains.cpu_seconds + cost.seconds * cost.cpus
    FROM cost JOIN chains ON cost.parent_key = chains.key
)
-- Seeds of one experiment are averaged, nothing else.
SELECT
    cost.dataset, cost.module, cost.backbone, cost.temporal_pooling, cost.frames, experiment,
    arg_min(cell, seed) AS cell, avg(top1) AS top1, stddev_samp(top1) AS top1_std, count(*) AS seeds,
    min(eval_videos) AS eval_videos, avg(gpu_seconds) / 3600 AS gpu_hours, avg(cpu_seconds) / 3600 AS cpu_hours,
    coalesce(any_value(variant), '') AS variant
FROM cost JOIN chains USING (key)
LEFT JOIN (SELECT key, any_value(experiment) AS experiment FROM cell_accuracies GROUP BY key) AS experiments
    USING (key)
LEFT JOIN materialised.variants USING (dataset, module, backbone, temporal_pooling, frames, experiment)
WHERE state = 'done' AND top1 IS NOT NULL AND isfinite(top1) GROUP BY ALL;

-- How many GPUs and CPUs were busy, over any relation of attempts with the columns started, ended (seconds), gpus
-- and cpus: their mean in 200 equal intervals from the first start to the last end. Each start and end adds to its
-- interval what is left of it and to every later one the whole, so that no interval looks at every attempt.
CREATE MACRO utilisation_of(relation) AS TABLE
WITH span AS (
    SELECT min(started) AS first, greatest((max(ended) - min(started)) / 200, 1e-3) AS width
    FROM query_table(relation)
),
changes AS (
    SELECT started AS time, gpus, cpus, 1 AS attempts FROM query_table(relation)
    UNION ALL
    SELECT ended, -gpus, -cpus, -1 FROM query_table(relation)
),
placed AS (
    SELECT
        least(floor((time - first) / width), 199)::BIGINT AS place, gpus, cpus, attempts,
        1 - ((time - first) / width - place) AS part
    FROM changes, span
),
summed AS (
    SELECT
        place, sum(gpus) AS gpus, sum(cpus) AS cpus, sum(attempts) AS attempts,
        sum(gpus * part) AS gpus_here, sum(cpus * part) AS cpus_here, sum(attempts * part) AS attempts_here
    FROM placed GROUP BY place
)
SELECT
    make_timestamp(((first + (place + 0.5) * width) * 1e6)::BIGINT) AS time, width AS seconds,
    coalesce(gpus_here, 0) + coalesce(sum(gpus) OVER earlier, 0) AS gpus,
    coalesce(cpus_here, 0) + coalesce(sum(cpus) OVER earlier, 0) AS cpus,
    coalesce(attempts_here, 0) + coalesce(sum(attempts) OVER earlier, 0) AS attempts
FROM range(200) AS places(place) CROSS JOIN span LEFT JOIN summed USING (place)
WHERE first IS NOT NULL
WINDOW earlier AS (ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
ORDER BY place;

-- Attempts that failed or were interrupted, one row each; `kind` is the first word of the error, up to its colon.
CREATE VIEW failed_attempts AS
SELECT
    ended.key, ended.attempt, ended.state, ended.error, ended.log,
    CASE
        WHEN ended.state = 'interrupted' THEN 'interrupted'
        WHEN regexp_matches(ended.error, '^[A-Za-z_][A-Za-z0-9_.]*:') THEN
            regexp_extract(ended.error, '^(?:[A-Za-z0-9_]+\.)*([A-Za-z_][A-Za-z0-9_]*):', 1)
        ELSE 'other'
    END AS kind
FROM recorded.attempts_ended AS ended WHERE ended.state IN ('failed', 'interrupted');
