CREATE VIEW computed.study_cells AS
WITH submissions AS (
    SELECT study, min(time) AS first_time, arg_max(submission, (time, submission)) AS latest
    FROM recorded.studies GROUP BY study
)
SELECT
    planned.study, planned.key, planned.cell, planned.module, planned.backbone, planned.temporal_pooling,
    planned.frames, planned.dataset, planned.seed, planned.params, planned.macs, planned.parent_key,
    planned.config, planned.submission IS NULL OR latest IS NULL OR planned.submission = latest AS current,
    coalesce(first_time, planned.time) AS first_time
FROM recorded.cells AS planned LEFT JOIN submissions USING (study);

-- One row a study and cell. `current` is false where the study was edited and submitted again without the cell;
-- `first_time` is when the study was submitted first.
CREATE VIEW study_cells AS SELECT * EXCLUDE (config) FROM computed.study_cells;

-- One row a key: `study` is the one that was submitted first, `studies` names all. Kept, because it changes only
-- with a submission, and because every view that groups by key is planned anew for every question.
CREATE VIEW computed.planned_keys AS
SELECT
    key, any_value(cell) AS cell, arg_min(study, (first_time, study)) AS study,
    list(DISTINCT study ORDER BY study) AS studies, bool_or(current) AS current
FROM study_cells GROUP BY key;
CREATE TABLE materialised.planned_keys AS FROM computed.planned_keys WITH NO DATA;

-- One row a planned cell (key) without its state.
CREATE VIEW computed.planned_cells AS
SELECT cell.* EXCLUDE (submission, time, writer, position), studies, current
FROM recorded.cells AS cell JOIN materialised.planned_keys AS keys USING (key, study);

-- One row a planned cell (key), with its state today: planned, running, done, failed or blocked.
-- A key can stand in several studies: `study` is the one that was submitted first, `studies` names all.
-- `current` is false where every study that had the cell was edited and submitted again without it.
CREATE VIEW cells AS
SELECT
    planned.*, coalesce(open_cells.attempts, finished.attempt, 0) AS attempts, blocked_by,
    CASE WHEN finished.key IS NOT NULL THEN 'done' ELSE coalesce(open_cells.state, 'planned') END AS state,
    reason, log
FROM computed.planned_cells AS planned
LEFT JOIN recorded.finished AS finished USING (key)
LEFT JOIN open_cells USING (key);
