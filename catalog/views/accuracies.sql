-- One row a source, study, model, length, dataset and seed, of one's own studies (source = 'own') and of the
-- literature (source = 'published'; `study` is the paper). A planned cell without a result yet has a row with an
-- empty top1, so that what is missing can be counted; a result that is no number counts as missing too.
-- Cells of today's plans alone: what is superseded counts nowhere. `checkpoint` ('last' or 'best', as the study's
-- `report` says) is whose accuracies they are; empty for the literature. Accuracies in percent, macs of one clip.
CREATE VIEW computed.cell_accuracies AS
WITH candidates AS NOT MATERIALIZED (
    SELECT
        planned.study, planned.key, planned.cell, planned.dataset, planned.module, planned.backbone,
        planned.temporal_pooling, planned.frames, planned.seed,
        coalesce(finished.macs, planned.macs) AS macs, coalesce(finished.params, planned.params) AS params,
        of_checkpoint(planned.report, finished.top1, finished.best_top1) AS reported_top1,
        of_checkpoint(planned.report, finished.top5, finished.best_top5) AS reported_top5,
        CASE WHEN isfinite(reported_top1) THEN reported_top1 END AS top1,
        CASE WHEN isfinite(reported_top5) THEN reported_top5 END AS top5,
        finished.eval_videos, finished.key IS NOT NULL AS done,
        planned.report AS checkpoint, coalesce(finished.time, 0) AS rank
    FROM study_cells AS planned LEFT JOIN recorded.finished AS finished USING (key)
    WHERE planned.current
)
SELECT
    'own' AS source, study, dataset, module, backbone, temporal_pooling, frames, seed,
    arg_max_null(key, rank) AS key, arg_max_null(cell, rank) AS cell, arg_max_null(done, rank) AS done,
    arg_max_null(top1, rank) AS top1, arg_max_null(top5, rank) AS top5,
    arg_max_null(macs, rank) AS macs, arg_max_null(params, rank) AS params,
    arg_max_null(eval_videos, rank) AS eval_videos, any_value(checkpoint) AS checkpoint
FROM candidates GROUP BY ALL
UNION ALL
SELECT
    'published', paper, dataset, module, backbone, temporal_pooling, frames, NULL, NULL, NULL, true,
    top1, top5, macs, params, NULL, NULL
FROM published;
CREATE TABLE materialised.cell_accuracies AS FROM computed.cell_accuracies WITH NO DATA;
CREATE VIEW cell_accuracies AS FROM materialised.cell_accuracies;

-- Seeds averaged, over any relation with the columns of `cell_accuracies` (top1_std: sample standard deviation).
-- `cell` and `key` are those of the cell with the lowest seed.
CREATE MACRO mean_accuracies_of(relation) AS TABLE
SELECT
    source, study, dataset, module, backbone, temporal_pooling, frames,
    avg(top1) AS top1, avg(top5) AS top5, stddev_samp(top1) AS top1_std,
    count(top1) AS seeds, count(*) AS planned_seeds,
    any_value(macs) AS macs, any_value(params) AS params, min(eval_videos) AS eval_videos,
    arg_min(cell, seed) AS cell, arg_min(key, seed) AS key
FROM query_table(relation) GROUP BY ALL;

CREATE VIEW accuracies AS FROM mean_accuracies_of('cell_accuracies');
