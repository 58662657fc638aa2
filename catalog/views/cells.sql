-- The values of the axes that a study has beside the six (docs/axes.md), as texts by name: `other_axes['recipe.lr']`.
CREATE MACRO other_axes_of(config) AS coalesce(
    -- A look at the text spares reading that of a million cells which have none.
    CASE WHEN contains(config::VARCHAR, '"axes"') THEN (config -> '$.axes')::MAP(VARCHAR, VARCHAR) END,
    MAP {}::MAP(VARCHAR, VARCHAR)
);

-- The same on one line: `recipe.lr=0.01, recipe_name=paper`.
CREATE MACRO other_axes_text(axes) AS array_to_string(
    list_transform(map_entries(axes), lambda one: one.key || '=' || one.value), ', '
);

-- An axis or a recipe's field with its value as people read it: `lr 0.01`, `recipe slow`.
CREATE MACRO axis_words(name, value) AS
    CASE name WHEN 'recipe_name' THEN 'recipe' ELSE replace(regexp_replace(name, '^recipe[.]', ''), '_', ' ') END
    || ' ' || value;

-- The values of other axes so: `lr 0.01, recipe slow`.
CREATE MACRO axes_words(axes) AS array_to_string(
    list_transform(map_entries(axes), lambda one: axis_words(one.key, one.value)), ', '
);

-- What a study's latest submission says: how many cells it plans and which checkpoint's accuracy the study reports
-- ('last' unless its file says `report: best`). `whole` is false while its driver still writes the plan, and where
-- it was killed meanwhile.
CREATE VIEW computed.submissions AS
WITH latest AS (
    SELECT
        study, min(time) AS first_time, arg_max(submission, (time, submission)) AS submission,
        arg_max(cells, (time, submission)) AS cells,
        coalesce(arg_max(config, (time, submission)) ->> '$.report', 'last') AS report
    FROM recorded.studies GROUP BY study
),
planned AS (SELECT study, submission, count(*) AS planned FROM recorded.cells GROUP BY study, submission)
SELECT latest.*, coalesce(planned, 0) >= cells AS whole FROM latest LEFT JOIN planned USING (study, submission);

-- One row a study and cell. `current` says that the study plans it today: its latest submission does. While that
-- one's plan is not whole, the key that was submitted last for a cell of this name counts.
CREATE VIEW computed.study_cells AS
WITH newest AS (
    SELECT cell.study, cell.cell, arg_max(cell.key, (coalesce(studies.time, 0), cell.time)) AS key
    FROM recorded.cells AS cell
    SEMI JOIN (SELECT study FROM computed.submissions WHERE NOT whole) AS torn ON torn.study = cell.study
    LEFT JOIN recorded.studies AS studies
        ON studies.study = cell.study AND studies.submission = cell.submission
    GROUP BY cell.study, cell.cell
)
SELECT
    planned.study, planned.key, planned.cell, planned.module, planned.backbone, planned.temporal_pooling,
    planned.frames, planned.dataset, planned.seed, planned.params, planned.macs, planned.parent_key,
    planned.config,
    CASE
        WHEN planned.submission IS NULL OR latest.study IS NULL THEN true
        WHEN whole THEN planned.submission = latest.submission
        ELSE newest.key IS NOT NULL
    END AS current,
    coalesce(first_time, planned.time) AS first_time, coalesce(report, 'last') AS report,
    other_axes_of(planned.config) AS other_axes
FROM recorded.cells AS planned
LEFT JOIN computed.submissions AS latest USING (study)
LEFT JOIN newest ON newest.study = planned.study AND newest.cell = planned.cell AND newest.key = planned.key;

-- One row a study and cell. `current` is false where the cell is superseded: the study was changed and submitted
-- again, and now has another key for the cell of this name, or no such cell. `first_time` is when the study was
-- submitted first, `report` the checkpoint ('last' or 'best') whose accuracies it reports. `other_axes`: as text by
-- name, the values of the axes that the study has beside those that are columns.
CREATE VIEW study_cells AS SELECT * EXCLUDE (config) FROM computed.study_cells;

-- One row a key: `study` is the one that was submitted first among those that plan the key today (among all, where
-- none does), `studies` names all. Kept, because it changes only with a submission, and because every view that
-- groups by key is planned anew for every question.
CREATE VIEW computed.planned_keys AS
SELECT
    key, any_value(cell) AS cell, arg_min(study, (NOT current, first_time, study)) AS study,
    list(DISTINCT study ORDER BY study) AS studies, bool_or(current) AS current,
    arg_min(report, (NOT current, first_time, study)) AS report
FROM study_cells GROUP BY key;
CREATE TABLE materialised.planned_keys AS FROM computed.planned_keys WITH NO DATA;

-- One row a planned cell (key) without its state.
CREATE VIEW computed.planned_cells AS
SELECT
    cell.* EXCLUDE (submission, time, writer, position), studies, current, report,
    other_axes_of(cell.config) AS other_axes
FROM recorded.cells AS cell JOIN materialised.planned_keys AS keys USING (key, study);

-- The value of a training's last epoch or that of its best one, as `checkpoint` says.
CREATE MACRO of_checkpoint(checkpoint, last_value, best_value) AS
    CASE checkpoint WHEN 'best' THEN best_value ELSE last_value END;

-- The path of an epoch's file beside `path`, that of another epoch; empty where the name does not tell.
CREATE MACRO file_of_epoch(path, epoch) AS
    CASE WHEN regexp_matches(path, '(^|/)epoch-[0-9]+\.[a-z]+$') THEN
        regexp_replace(path, 'epoch-[0-9]+(\.[a-z]+)$', format('epoch-{:04d}', epoch) || '\1')
    END;

-- Two rows a finished cell (key): its `last` and its `best` checkpoint, what was measured of it under the study's
-- own protocol (`evaluation` names that measurement), and the files it left. `sha256` is empty where the journal
-- tells it of the other one only.
CREATE VIEW computed.checkpoints AS
SELECT
    key, which AS checkpoint, 'training:' || which AS evaluation,
    of_checkpoint(which, epochs, best_epoch) AS epoch, of_checkpoint(which, top1, best_top1) AS top1,
    of_checkpoint(which, top5, best_top5) AS top5, of_checkpoint(which, loss, best_loss) AS loss,
    which = inherit OR epochs = best_epoch AS known,
    CASE WHEN known THEN finished.checkpoint ELSE coalesce(
        checkpoints ->> ('$.' || which || '.path'),
        file_of_epoch(finished.checkpoint, of_checkpoint(which, epochs, best_epoch))
    ) END AS file,
    CASE WHEN known THEN checkpoint_sha256 ELSE checkpoints ->> ('$.' || which || '.sha256') END AS sha256,
    CASE WHEN known THEN predictions ELSE coalesce(
        checkpoints ->> ('$.' || which || '.predictions'),
        file_of_epoch(predictions, of_checkpoint(which, epochs, best_epoch))
    ) END AS predictions
FROM recorded.finished AS finished CROSS JOIN (VALUES ('last'), ('best')) AS two(which);

-- Which of its two checkpoints a finished cell (key) reports, and the name of the training's own measurement of it:
-- those that `results` shows. `current` is false where no study plans the cell any more.
CREATE VIEW computed.reported_checkpoints AS
SELECT
    key, coalesce(report, 'last') AS checkpoint, 'training:' || coalesce(report, 'last') AS evaluation,
    coalesce(current, true) AS current
FROM recorded.finished LEFT JOIN materialised.planned_keys USING (key);

-- One row a planned cell (key), with its state today: planned, running, done, failed or blocked.
-- A key can stand in several studies: `study` is the one that was submitted first of those that plan it today,
-- `studies` names all. `current` is false where the cell is superseded: every study that had the key was changed
-- and submitted again without it.
CREATE VIEW cells AS
SELECT
    planned.*, coalesce(open_cells.attempts, finished.attempt, 0) AS attempts, blocked_by,
    CASE WHEN finished.key IS NOT NULL THEN 'done' ELSE coalesce(open_cells.state, 'planned') END AS state,
    reason, log
FROM computed.planned_cells AS planned
LEFT JOIN recorded.finished AS finished USING (key)
LEFT JOIN open_cells USING (key);
