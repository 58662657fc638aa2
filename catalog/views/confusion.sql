-- How many videos of a class were taken for which: one row a cell, evaluation, class and predicted class that occurs.
-- Counted by cell, so that a question about one cell reads no other's rows.
CREATE VIEW confusion AS
WITH counted AS (
    SELECT cell, key, evaluation, label, predicted, count(*) AS videos
    FROM loaded.predictions
    JOIN loaded.prediction_files USING (file)
    LEFT JOIN (SELECT key, cell FROM cell_classes) USING (key)
    GROUP BY cell, key, evaluation, label, predicted
)
SELECT
    cell, key, evaluation, label, names[label + 1] AS class, predicted,
    names[predicted + 1] AS predicted_class, videos
FROM counted LEFT JOIN (SELECT key, names FROM cell_classes) USING (key);
