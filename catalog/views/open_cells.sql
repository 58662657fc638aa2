-- One row a planned cell (key) that has no result: planned, running, failed or blocked, and why.
-- Finished cells are left out first, because they are the many: the joins see only what is open.
CREATE VIEW computed.open_cells AS
WITH RECURSIVE unfinished AS MATERIALIZED (
    SELECT key, any_value(cell) AS cell, any_value(parent_key) AS parent_key
    FROM recorded.cells ANTI JOIN recorded.finished USING (key) GROUP BY key
),
latest_attempt AS (
    SELECT key, max(attempt) AS attempt
    FROM recorded.attempts_started SEMI JOIN unfinished USING (key) GROUP BY key
),
latest_failure AS (
    SELECT key, max(attempt) AS attempt, arg_max(error, attempt) AS error, arg_max(log, attempt) AS log
    FROM recorded.failed GROUP BY key
),
own AS MATERIALIZED (
    SELECT
        unfinished.*,
        coalesce(latest_attempt.attempt, latest_failure.attempt, 0) AS attempts,
        CASE
            WHEN latest_failure.attempt >= coalesce(latest_attempt.attempt, 0) THEN 'failed'
            WHEN latest_attempt.attempt IS NOT NULL AND ended.key IS NULL THEN 'running'
            ELSE 'planned'
        END AS own_state,
        latest_failure.error, latest_failure.log
    FROM unfinished
    LEFT JOIN latest_attempt USING (key)
    LEFT JOIN latest_failure USING (key)
    LEFT JOIN recorded.attempts_ended AS ended
        ON ended.key = latest_attempt.key AND ended.attempt = latest_attempt.attempt
),
descendants AS (
    SELECT key, cell AS blocked_by FROM own WHERE own_state = 'failed'
    UNION
    SELECT own.key, descendants.blocked_by
    FROM own JOIN descendants ON own.parent_key = descendants.key
),
blockers AS (
    SELECT descendants.key, min(blocked_by) AS blocked_by
    FROM descendants JOIN own USING (key) WHERE own_state = 'planned' GROUP BY descendants.key
)
SELECT
    key, attempts,
    CASE WHEN blocked_by IS NULL THEN own_state ELSE 'blocked' END AS state,
    blocked_by,
    CASE
        WHEN own_state = 'failed' THEN error
        WHEN blocked_by IS NOT NULL THEN 'waits for ' || blocked_by || ', which failed'
    END AS reason,
    CASE WHEN own_state = 'failed' THEN log END AS log
FROM own LEFT JOIN blockers USING (key);

CREATE TABLE materialised.open_cells AS FROM computed.open_cells WITH NO DATA;
CREATE VIEW open_cells AS FROM materialised.open_cells;
