-- Accuracies of one's own studies (source = 'own') and of the literature (source = 'published') in one shape:
-- one row a source, study, dataset, module, backbone, temporal pooling and length; seeds are averaged
-- (top1_std: sample standard deviation). A planned cell without a result yet has a row with an empty top1,
-- so that what is missing can be counted. Of several keys with one seed (an edited study), cells of the study's
-- latest submission go first, then the one finished last.
CREATE VIEW accuracies AS
WITH own AS (
    SELECT
        study_cells.study, cells.dataset, cells.module, cells.backbone, cells.temporal_pooling, cells.frames,
        cells.seed, finished.top1, finished.top5
    FROM study_cells
    JOIN cells USING (key)
    LEFT JOIN recorded.finished AS finished USING (key)
    WHERE study_cells.current OR finished.key IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY study_cells.study, cells.dataset, cells.module, cells.backbone, cells.temporal_pooling,
            cells.frames, cells.seed
        ORDER BY study_cells.current DESC, finished.time DESC NULLS LAST, key
    ) = 1
)
SELECT
    'own' AS source, study, dataset, module, backbone, temporal_pooling, frames,
    avg(top1) AS top1, avg(top5) AS top5, stddev_samp(top1) AS top1_std,
    count(top1) AS seeds, count(*) AS planned_seeds
FROM own GROUP BY ALL
UNION ALL
SELECT
    'published', paper, dataset, module, backbone, temporal_pooling, frames, top1, top5, NULL, 1, 1
FROM published;
