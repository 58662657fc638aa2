-- Every measurement of a finished cell, one row each: `measured_by` 'training' (two rows a cell: its last and its
-- best epoch, under the study's own protocol) or 'evaluate'. `level` is 'video' where several views of a video were
-- averaged, else 'clip'. Accuracies in percent over `videos`; `seconds` of a training's rows are those of a mean
-- epoch; `sampling_rate` is empty where sampling is uniform, `predictions` where no file is known.
CREATE VIEW evaluations AS
WITH trained AS (
    SELECT
        key, 'training' AS measured_by, 'training:' || which AS evaluation, which AS checkpoint,
        CASE which WHEN 'best' THEN best_epoch ELSE epochs END AS epoch, 'logits' AS average, 'val' AS split,
        CASE which WHEN 'best' THEN best_top1 ELSE top1 END AS top1,
        CASE which WHEN 'best' THEN best_top5 ELSE top5 END AS top5,
        CASE which WHEN 'best' THEN best_loss ELSE loss END AS loss,
        eval_videos AS videos, eval_seconds / epochs AS seconds,
        CASE WHEN which = inherit THEN predictions END AS predictions, time, versions, hardware
    FROM recorded.finished CROSS JOIN (VALUES ('last'), ('best')) AS checkpoints(which)
),
measured AS (
    FROM trained
    UNION ALL BY NAME
    SELECT
        key, 'evaluate' AS measured_by, evaluation, checkpoint, epoch, average, split, top1, top5, loss, videos,
        seconds, predictions, time, versions, hardware,
        {
            'sampling': sampling, 'sampling_rate': sampling_rate, 'clips': clips, 'crops': crops,
            'crop_size': crop_size, 'short_side': short_side
        } AS protocol
    FROM recorded.evaluations
),
named AS (
    SELECT
        measured.* EXCLUDE (protocol), cells.* EXCLUDE (key, config),
        -- A training measures under its study's own protocol.
        CASE WHEN measured_by = 'training' THEN json_transform(config -> '$.evaluation', '{
            "sampling": "VARCHAR", "sampling_rate": "BIGINT", "clips": "BIGINT", "crops": "BIGINT",
            "crop_size": "BIGINT", "short_side": "BIGINT"
        }') ELSE protocol END AS protocol
    FROM measured LEFT JOIN (
        SELECT key, cell, study, module, backbone, temporal_pooling, frames, dataset, seed, current, config
        FROM computed.planned_cells
    ) AS cells USING (key)
)
SELECT
    coalesce(cell, key) AS cell, key, study, module, backbone, temporal_pooling, frames, dataset, seed, current,
    CASE WHEN protocol.clips * protocol.crops > 1 THEN 'video' ELSE 'clip' END AS level, measured_by, evaluation,
    checkpoint, epoch, protocol.sampling,
    CASE WHEN protocol.sampling = 'dense' THEN protocol.sampling_rate END AS sampling_rate,
    protocol.clips, protocol.crops, protocol.clips * protocol.crops AS views, protocol.crop_size,
    protocol.short_side, average, split, top1, top5, loss, videos, seconds, predictions,
    make_timestamp((time * 1e6)::BIGINT) AS measured, versions, hardware
FROM named;
