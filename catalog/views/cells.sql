-- One row a planned cell (key), with its state today: planned, running, done, failed or blocked.
-- A key can stand in several studies: `study` is the one that was submitted first, `studies` names all.
-- `current` is false where every study that had the cell was edited and submitted again without it.
CREATE VIEW study_cells AS
WITH submissions AS (
    SELECT study, min(time) AS first_time, arg_max(submission, (time, submission)) AS latest
    FROM recorded.studies GROUP BY study
)
SELECT
    planned.study, planned.key, planned.cell,
    planned.submission IS NULL OR latest IS NULL OR planned.submission = latest AS current,
    coalesce(first_time, planned.time) AS first_time
FROM recorded.cells AS planned LEFT JOIN submissions USING (study);

CREATE VIEW cells AS
WITH RECURSIVE grouped AS (
    SELECT
        key, arg_min(study, (first_time, study)) AS study, list(DISTINCT study ORDER BY study) AS studies,
        bool_or(current) AS current
    FROM study_cells GROUP BY key
),
planned AS (
    SELECT cell.* EXCLUDE (submission, time, writer, position), studies, current
    FROM recorded.cells AS cell JOIN grouped USING (key, study)
),
latest_attempt AS (
    SELECT key, max(attempt) AS attempt FROM recorded.attempts_started GROUP BY key
),
latest_failure AS (
    SELECT key, max(attempt) AS attempt, arg_max(error, attempt) AS error, arg_max(log, attempt) AS log
    FROM recorded.failed GROUP BY key
),
own AS (
    SELECT
        planned.*,
        coalesce(latest_attempt.attempt, latest_failure.attempt, 0) AS attempts,
        CASE
            WHEN finished.key IS NOT NULL THEN 'done'
            WHEN latest_failure.attempt >= coalesce(latest_attempt.attempt, 0) THEN 'failed'
            WHEN latest_attempt.attempt IS NOT NULL AND ended.key IS NULL THEN 'running'
            ELSE 'planned'
        END AS own_state,
        latest_failure.error, latest_failure.log
    FROM planned
    LEFT JOIN recorded.finished AS finished USING (key)
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
    own.* EXCLUDE (own_state, error, log),
    CASE WHEN blocked_by IS NULL THEN own_state ELSE 'blocked' END AS state,
    CASE
        WHEN own_state = 'failed' THEN error
        WHEN blocked_by IS NOT NULL THEN 'waits for ' || blocked_by || ', which failed'
    END AS reason,
    CASE WHEN own_state = 'failed' THEN log END AS log
FROM own LEFT JOIN blockers USING (key);
