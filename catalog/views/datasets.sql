-- Datasets of one's own cells and of the literature: `cells` counts those of today's plans; `chance` is the accuracy
-- of guessing, in percent.
CREATE VIEW datasets AS
WITH own AS (
    SELECT dataset, max(num_classes) AS num_classes, count(*) FILTER (current) AS cells
    FROM cells GROUP BY dataset
)
SELECT
    dataset, coalesce(own.num_classes, published_datasets.num_classes) AS num_classes,
    100.0 / nullif(coalesce(own.num_classes, published_datasets.num_classes), 0) AS chance,
    coalesce(own.cells, 0) AS cells, published_datasets.dataset IS NOT NULL AS published
FROM own FULL JOIN published_datasets USING (dataset);
