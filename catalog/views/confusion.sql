-- How many videos of a class were taken for which: one row a cell, evaluation, class and predicted class that occurs.
CREATE VIEW confusion AS
WITH counted AS (
    SELECT file, label, predicted, count(*) AS videos FROM loaded.predictions GROUP BY file, label, predicted
)
SELECT
    cell, key, evaluation, label, names[label + 1] AS class, predicted,
    names[predicted + 1] AS predicted_class, videos
FROM counted JOIN loaded.prediction_files USING (file) LEFT JOIN cell_classes USING (key);
