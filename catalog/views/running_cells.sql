-- How far cells that train now have come, over any relation with the column `key`: the epoch that finished last (0
-- before the first), of how many, seconds an epoch takes in the latest attempt, and seconds from the last epoch to
-- the end (empty before the first epoch).
CREATE MACRO progress_of(relation) AS TABLE
WITH wanted AS MATERIALIZED (SELECT DISTINCT key FROM query_table(relation) WHERE key IS NOT NULL),
running AS MATERIALIZED (
    SELECT key, max(attempt) AS attempt, arg_max(time, attempt) AS started, arg_max(host, attempt) AS host
    FROM recorded.attempts_started SEMI JOIN wanted USING (key) GROUP BY key
),
reported AS (
    SELECT
        key, max(last_epoch) AS epoch, max(last_time) AS reported,
        max(last_time) FILTER (epochs.attempt = running.attempt) - any_value(started) AS seconds,
        max(last_epoch - first_epoch + 1) FILTER (epochs.attempt = running.attempt) AS epochs_here
    FROM materialised.attempt_epochs AS epochs JOIN running USING (key) GROUP BY key
),
planned AS (
    SELECT key, any_value(cell) AS cell, any_value(config ->> '$.recipe.epochs')::BIGINT AS epochs
    FROM recorded.cells SEMI JOIN running USING (key) GROUP BY key
)
SELECT
    running.key, planned.cell, running.attempt, running.host, coalesce(reported.epoch, 0) AS epoch,
    planned.epochs, seconds / nullif(epochs_here, 0) AS seconds_per_epoch,
    (planned.epochs - reported.epoch) * seconds_per_epoch AS eta_seconds,
    make_timestamp((reported.reported * 1e6)::BIGINT) AS reported
FROM running LEFT JOIN reported USING (key) LEFT JOIN planned USING (key);

CREATE VIEW running_cells AS
WITH training AS (SELECT key FROM open_cells WHERE state = 'running')
FROM progress_of('training');
