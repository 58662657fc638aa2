-- How many videos of a class were taken for which: one row a cell, evaluation, class and predicted class that occurs,
-- over the files of a relation. Counted by cell, so that a question about one cell reads no other's rows.
CREATE MACRO confusion_of(files) AS TABLE
WITH counted AS (
    SELECT cell, key, evaluation, checkpoint, split, label, predicted, count(*) AS videos
    FROM loaded.predictions
    JOIN query_table(files) USING (file)
    LEFT JOIN (SELECT key, cell FROM cell_classes) USING (key)
    GROUP BY cell, key, evaluation, checkpoint, split, label, predicted
)
SELECT
    cell, key, evaluation, checkpoint, split, label, names[label + 1] AS class, predicted,
    names[predicted + 1] AS predicted_class, videos, NOT coalesce(current, true) AS superseded
FROM counted LEFT JOIN (SELECT key, names, current FROM cell_classes) USING (key);

-- Of the measurements in `predictions` (validation videos; sum over one `evaluation`), and of those in
-- `predictions_all` (training videos too, as `split` says).
CREATE VIEW confusion AS SELECT * EXCLUDE (superseded) FROM confusion_of('loaded.current_prediction_files');
CREATE VIEW confusion_all AS FROM confusion_of('loaded.prediction_files');
