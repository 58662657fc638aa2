-- Accuracy by class, in percent over its videos: one row a cell, evaluation and class, over the files of a relation.
-- Counted by cell, so that a question about one cell reads no other's rows.
CREATE MACRO per_class_accuracy_of(files) AS TABLE
WITH counted AS (
    SELECT
        cell, key, evaluation, checkpoint, label, count(*) AS videos,
        100.0 * avg((predicted = label)::INTEGER) AS top1,
        100.0 * avg(list_contains(top, label)::INTEGER) AS top5
    FROM loaded.predictions
    JOIN query_table(files) USING (file)
    LEFT JOIN (SELECT key, cell FROM cell_classes) USING (key)
    GROUP BY cell, key, evaluation, checkpoint, label
)
SELECT
    cell, key, evaluation, checkpoint, label, names[label + 1] AS class, videos, top1, top5,
    NOT coalesce(current, true) AS superseded
FROM counted LEFT JOIN (SELECT key, names, current FROM cell_classes) USING (key);

-- Of the measurements in `predictions`, and of those in `predictions_all`.
CREATE VIEW per_class_accuracy AS
SELECT * EXCLUDE (superseded) FROM per_class_accuracy_of('loaded.current_prediction_files');
CREATE VIEW per_class_accuracy_all AS FROM per_class_accuracy_of('loaded.prediction_files');
