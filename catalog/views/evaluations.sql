-- Every measurement of a finished cell, one row each: `measured_by` 'training' (two rows a cell: its last and its
-- best epoch, under the study's own protocol) or 'evaluate'. `level` is 'video' where several views of a video were
-- averaged, else 'clip'. Accuracies in percent over `videos`; `seconds` of a training's rows are those of a mean
-- epoch; `sampling_rate` is empty where sampling is uniform, `predictions` where no file is known.
CREATE VIEW evaluations AS
WITH protocols AS (
    SELECT
        key, config ->> '$.evaluation.sampling' AS sampling,
        (config ->> '$.evaluation.sampling_rate')::BIGINT AS sampling_rate,
        (config ->> '$.evaluation.clips')::BIGINT AS clips, (config ->> '$.evaluation.crops')::BIGINT AS crops,
        (config ->> '$.evaluation.crop_size')::BIGINT AS crop_size,
        (config ->> '$.evaluation.short_side')::BIGINT AS short_side
    FROM cells
),
trained AS (
    SELECT
        finished.key, 'training' AS measured_by, 'training:' || which AS evaluation, which AS checkpoint,
        CASE which WHEN 'best' THEN best_epoch ELSE epochs END AS epoch,
        sampling, sampling_rate, clips, crops, crop_size, short_side, 'logits' AS average, 'val' AS split,
        CASE which WHEN 'best' THEN best_top1 ELSE top1 END AS top1,
        CASE which WHEN 'best' THEN best_top5 ELSE top5 END AS top5,
        CASE which WHEN 'best' THEN best_loss ELSE loss END AS loss,
        eval_videos AS videos, eval_seconds / epochs AS seconds,
        CASE WHEN which = inherit THEN predictions END AS predictions, time, versions, hardware
    FROM recorded.finished AS finished
    CROSS JOIN (VALUES ('last'), ('best')) AS checkpoints(which)
    LEFT JOIN protocols USING (key)
),
measured AS (
    FROM trained
    UNION ALL BY NAME
    SELECT
        key, 'evaluate' AS measured_by, evaluation, checkpoint, epoch, sampling, sampling_rate, clips, crops,
        crop_size, short_side, average, split, top1, top5, loss, videos, seconds, predictions, time, versions,
        hardware
    FROM recorded.evaluations
)
SELECT
    coalesce(cells.cell, measured.key) AS cell, measured.key, cells.study, cells.module, cells.backbone,
    cells.temporal_pooling, cells.frames, cells.dataset, cells.seed, cells.current,
    CASE WHEN clips * crops > 1 THEN 'video' ELSE 'clip' END AS level, measured_by, evaluation, checkpoint, epoch,
    sampling, CASE WHEN sampling = 'dense' THEN sampling_rate END AS sampling_rate, clips, crops,
    clips * crops AS views, crop_size, short_side, average, split, top1, top5, loss, videos, seconds, predictions,
    make_timestamp((time * 1e6)::BIGINT) AS measured, versions, hardware
FROM measured LEFT JOIN cells USING (key);
