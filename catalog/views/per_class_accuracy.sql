-- Accuracy by class, in percent over its videos: one row a cell, evaluation and class.
-- Counted by cell, so that a question about one cell reads no other's rows.
CREATE VIEW per_class_accuracy AS
WITH counted AS (
    SELECT
        cell, key, evaluation, label, count(*) AS videos, 100.0 * avg((predicted = label)::INTEGER) AS top1,
        100.0 * avg(list_contains(top, label)::INTEGER) AS top5
    FROM loaded.predictions
    JOIN loaded.prediction_files USING (file)
    LEFT JOIN (SELECT key, cell FROM cell_classes) USING (key)
    GROUP BY cell, key, evaluation, label
)
SELECT cell, key, evaluation, label, names[label + 1] AS class, videos, top1, top5
FROM counted LEFT JOIN (SELECT key, names FROM cell_classes) USING (key);
