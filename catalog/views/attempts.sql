-- One row an attempt. An attempt whose driver was killed has no end: it counts as interrupted once a later
-- attempt started, and as done once its result stands. `current` is false for superseded cells.
CREATE VIEW attempts AS
WITH latest AS (SELECT key, max(attempt) AS attempt FROM recorded.attempts_started GROUP BY key)
SELECT
    started.key, names.cell, started.attempt,
    CASE
        WHEN ended.state IS NOT NULL THEN ended.state
        WHEN finished.attempt = started.attempt THEN 'done'
        WHEN started.attempt < latest.attempt THEN 'interrupted'
        ELSE 'running'
    END AS state,
    started.driver, started.host, started.run_dir, started.accumulation, started.alone,
    make_timestamp((started.time * 1e6)::BIGINT) AS started,
    make_timestamp((ended.time * 1e6)::BIGINT) AS ended,
    ended.time - started.time AS seconds,
    ended.error, ended.log, coalesce(names.current, true) AS current
FROM recorded.attempts_started AS started
JOIN latest USING (key)
LEFT JOIN materialised.planned_keys AS names USING (key)
LEFT JOIN recorded.attempts_ended AS ended ON ended.key = started.key AND ended.attempt = started.attempt
LEFT JOIN recorded.finished AS finished ON finished.key = started.key;
