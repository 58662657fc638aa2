-- One row a cell, evaluation and video: of every evaluation, and of the epoch that a training's children start
-- from (evaluation 'training:best' or 'training:last'). `index` is the video's place in its split, `video` its path
-- (not recorded in training); `predicted` is the first of `top` (≤ 5 classes), `scores` are theirs: logits averaged
-- over the views, or probabilities, as `evaluations.average` says. Rows come from Parquet files the first time that
-- a query needs them; a snapshot file holds none.
CREATE VIEW predictions AS
SELECT
    cell_classes.cell, files.key, files.evaluation, one.index, one.video,
    one.label, names[one.label + 1] AS class, one.predicted, names[one.predicted + 1] AS predicted_class,
    one.predicted = one.label AS correct, one.top, one.scores, one.loss
FROM loaded.predictions AS one
JOIN loaded.prediction_files AS files USING (file)
LEFT JOIN cell_classes USING (key);

-- One row a cell, evaluation, video and view: clip by clip, each with its crops; `view` counts from 0.
CREATE VIEW view_predictions AS
SELECT
    cell_classes.cell, files.key, files.evaluation, one.index,
    unnest(range(len(view_top))) AS view, unnest(view_top) AS predicted, unnest(view_scores) AS score
FROM loaded.view_predictions AS one
JOIN loaded.prediction_files AS files USING (file)
LEFT JOIN cell_classes USING (key);
