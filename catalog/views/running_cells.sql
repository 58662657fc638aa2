-- Cells that train now: the epoch that finished last (0 before the first), of how many, seconds an epoch takes
-- in this attempt, and seconds from the last epoch to the end (empty before the first epoch).
CREATE VIEW running_cells AS
WITH running AS MATERIALIZED (
    SELECT open_cells.key, attempts AS attempt, started.time AS started, host
    FROM open_cells
    JOIN recorded.attempts_started AS started
        ON started.key = open_cells.key AND started.attempt = open_cells.attempts
    WHERE state = 'running'
),
progress AS (
    SELECT
        epochs.key, max(epochs.epoch) AS epoch, max(epochs.time) AS reported,
        max(epochs.time) FILTER (epochs.attempt = running.attempt) - any_value(started) AS seconds,
        count(*) FILTER (epochs.attempt = running.attempt) AS epochs_here
    FROM recorded.epochs AS epochs JOIN running USING (key)
    -- Rows stand in the order of time, so that this bound spares reading most of them.
    WHERE epochs.time >= (SELECT min(started) FROM running) - 31 * 86400
    GROUP BY epochs.key
),
planned AS (
    SELECT key, any_value(cell) AS cell, any_value(config ->> '$.recipe.epochs')::BIGINT AS epochs
    FROM recorded.cells SEMI JOIN running USING (key) GROUP BY key
)
SELECT
    running.key, planned.cell, running.attempt, running.host, coalesce(progress.epoch, 0) AS epoch,
    planned.epochs, seconds / nullif(epochs_here, 0) AS seconds_per_epoch,
    (planned.epochs - progress.epoch) * seconds_per_epoch AS eta_seconds,
    make_timestamp((progress.reported * 1e6)::BIGINT) AS reported
FROM running LEFT JOIN progress USING (key) LEFT JOIN planned USING (key);
