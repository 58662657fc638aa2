-- The measurements that count today, by name: of the cells that a study plans today, the training's own measurement
-- of the checkpoint that the study reports, and every one of `actiongrid evaluate` on validation videos. Training videos
-- are not among them: a sum over a cell's rows would count both, and nobody would see it.
CREATE VIEW computed.current_evaluations AS
WITH chosen AS (SELECT key, checkpoint, evaluation FROM computed.reported_checkpoints WHERE current)
SELECT key, evaluation, checkpoint FROM chosen
UNION ALL
SELECT key, evaluation, checkpoint FROM recorded.evaluations SEMI JOIN chosen USING (key) WHERE split = 'val';

-- The files of predictions that the journals speak of, one row each, and of which measurements they are: a training
-- whose last epoch is the best one has one file for both. `manifests` are those of its videos, by their training part.
CREATE VIEW computed.prediction_sources AS
WITH named AS (
    SELECT
        key, list(evaluation ORDER BY evaluation) AS evaluations,
        list(checkpoint ORDER BY evaluation) AS checkpoints, predictions AS path, 'val' AS split
    FROM computed.checkpoints WHERE predictions IS NOT NULL GROUP BY key, predictions
),
files AS (
    SELECT key, evaluations, named.checkpoints, path, split, time, writer, position
    FROM named JOIN recorded.finished USING (key)
    UNION ALL
    SELECT key, [evaluation], [checkpoint], predictions, split, time, writer, position FROM recorded.evaluations
),
builds AS (
    SELECT train_hash, list(DISTINCT manifest ORDER BY manifest) AS manifests
    FROM recorded.datasets_built GROUP BY train_hash
),
cells AS (
    SELECT key, any_value(key_parts ->> '$.data.train') AS train_hash FROM recorded.cells GROUP BY key
),
counted AS (SELECT key, list(evaluation) AS known FROM computed.current_evaluations GROUP BY key)
SELECT
    key, evaluations, checkpoints, path, split, time, writer, position, coalesce(manifests, []) AS manifests,
    coalesce(list_has_any(evaluations, known), false) AS current
FROM files LEFT JOIN counted USING (key) LEFT JOIN cells USING (key) LEFT JOIN builds USING (train_hash);

-- One row a video of every file in the relation `files` (`loaded.prediction_files` or a part of it). `index` is the
-- video's place in its split, `video` its path (empty where neither the file nor a manifest tells it); `predicted` is
-- the first of `top`, at most five classes (their labels) by falling score; `scores` are theirs, in the same order:
-- logits averaged over the views, not probabilities, or where `evaluations.average` says 'softmax', probabilities.
-- `loss` is the cross entropy, so that `exp(-loss)` is the probability of the true class. `split`: 'val', validation
-- videos, or 'train'.
CREATE MACRO predictions_of(files) AS TABLE
SELECT
    cell_classes.cell, files.key, files.evaluation, files.checkpoint, files.split, one.index, one.video,
    one.label, names[one.label + 1] AS class, one.predicted, names[one.predicted + 1] AS predicted_class,
    one.predicted = one.label AS correct, one.top, one.scores, one.loss,
    NOT coalesce(cell_classes.current, true) AS superseded
FROM loaded.predictions AS one
JOIN query_table(files) AS files USING (file)
LEFT JOIN cell_classes USING (key);

-- One row a cell, evaluation and validation video, of the cells in `results`: of the very measurement that `results`
-- shows (its `evaluation` and `checkpoint`), so that correct videos count up to `top1`, and of every one of `actiongrid
-- evaluate` on validation videos: join `results` by key and evaluation, or name one. Training videos (`evaluate --split
-- train`) are in `predictions_all`. Rows come from Parquet files the first time that a query reads them.
CREATE VIEW predictions AS SELECT * EXCLUDE (superseded) FROM predictions_of('loaded.current_prediction_files');

-- The same of all measurements: on training videos too (`split` 'train'), of the training's other checkpoint (evaluation
-- 'training:best' or 'training:last', as `checkpoint` says), and of superseded cells. Ask for one `evaluation`:
-- averages over several mix videos and models.
CREATE VIEW predictions_all AS FROM predictions_of('loaded.prediction_files');

-- One row a cell, evaluation, video and view: clip by clip, each with its crops; `view` counts from 0; `score` is that
-- of `predicted`, as in `predictions`. Validation videos alone; those of training are in `view_predictions_all`.
CREATE MACRO view_predictions_of(files) AS TABLE
SELECT
    cell_classes.cell, files.key, files.evaluation, files.checkpoint, files.split, one.index,
    unnest(range(len(view_top))) AS view, unnest(view_top) AS predicted, unnest(view_scores) AS score,
    NOT coalesce(cell_classes.current, true) AS superseded
FROM loaded.view_predictions AS one
JOIN query_table(files) AS files USING (file)
LEFT JOIN cell_classes USING (key);

CREATE VIEW view_predictions AS
SELECT * EXCLUDE (superseded) FROM view_predictions_of('loaded.current_prediction_files');
CREATE VIEW view_predictions_all AS FROM view_predictions_of('loaded.prediction_files');
