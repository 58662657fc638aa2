-- Accuracy by class, in percent over its videos: one row a cell, evaluation and class.
CREATE VIEW per_class_accuracy AS
WITH counted AS (
    SELECT
        file, label, count(*) AS videos, 100.0 * avg((predicted = label)::INTEGER) AS top1,
        100.0 * avg(list_contains(top, label)::INTEGER) AS top5
    FROM loaded.predictions GROUP BY file, label
)
SELECT cell, key, evaluation, label, names[label + 1] AS class, videos, top1, top5
FROM counted JOIN loaded.prediction_files USING (file) LEFT JOIN cell_classes USING (key);
