-- Accuracy by class, in percent over its videos: one row a cell, evaluation and class, over the files of a relation.
-- Counted by cell, so that a question about one cell reads no other's rows. Of its `videos` so many are `correct`;
-- `top1_low` to `top1_high` is the 95 % interval that so many videos allow.
CREATE MACRO per_class_accuracy_of(files) AS TABLE
WITH counted AS (
    SELECT
        cell, key, evaluation, checkpoint, split, label, count(*) AS videos,
        count(*) FILTER (predicted = label) AS correct,
        100.0 * avg((predicted = label)::INTEGER) AS top1,
        100.0 * avg(list_contains(top, label)::INTEGER) AS top5
    FROM loaded.predictions
    JOIN query_table(files) USING (file)
    LEFT JOIN (SELECT key, cell FROM cell_classes) USING (key)
    GROUP BY cell, key, evaluation, checkpoint, split, label
)
SELECT
    cell, key, evaluation, checkpoint, split, label, names[label + 1] AS class, videos, correct,
    top1, top1_low, top1_high, top5, NOT coalesce(current, true) AS superseded
FROM counted
LEFT JOIN loaded.class_intervals USING (videos, correct)
LEFT JOIN (SELECT key, names, current FROM cell_classes) USING (key);

-- Accuracy by class of the measurements in `predictions`: one row a cell, evaluation and class of validation videos,
-- accuracies in percent. Of its `videos` so many are `correct`; `top1_low` to `top1_high` is the 95 % interval that so
-- many videos allow, the page Cell's own. `per_class_accuracy_all`: of those in `predictions_all` (training videos too,
-- as `split` says).
CREATE VIEW per_class_accuracy AS
SELECT * EXCLUDE (superseded) FROM per_class_accuracy_of('loaded.current_prediction_files');
CREATE VIEW per_class_accuracy_all AS FROM per_class_accuracy_of('loaded.prediction_files');
