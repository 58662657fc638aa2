-- Every measurement of a finished cell, one row each: `measured_by` 'training' (two rows a cell: its last and its
-- best `checkpoint`, under the study's own protocol) or 'evaluate'. `level` is 'video' where several views of a
-- video were averaged, else 'clip'. Accuracies in percent over `videos`; `seconds` of a training's rows are those of
-- a mean epoch; `sampling_rate` is empty where sampling is uniform, `predictions` where no file is known.
-- `superseded` marks measurements of cells that no study plans today (see `results_all`).
CREATE VIEW evaluations_all AS
WITH trained AS (
    SELECT
        key, 'training' AS measured_by, two.evaluation, two.checkpoint, two.epoch, 'logits' AS average,
        'val' AS split, two.top1, two.top5, two.loss, eval_videos AS videos, eval_seconds / epochs AS seconds,
        two.predictions, time, versions, hardware, finished.protocol AS measured_with
    FROM recorded.finished AS finished JOIN computed.checkpoints AS two USING (key)
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
        measured.* EXCLUDE (protocol, measured_with), cells.* EXCLUDE (key, config),
        -- A training measures under its study's own protocol: as it was then, where its result says so.
        CASE WHEN measured_by = 'training' THEN json_transform(
            CASE WHEN json_type(measured_with) = 'OBJECT' THEN measured_with ELSE config -> '$.evaluation' END, '{
            "sampling": "VARCHAR", "sampling_rate": "BIGINT", "clips": "BIGINT", "crops": "BIGINT",
            "crop_size": "BIGINT", "short_side": "BIGINT"
        }') ELSE protocol END AS protocol
    FROM measured LEFT JOIN (
        SELECT key, cell, study, module, backbone, temporal_pooling, frames, dataset, seed, current, config
        FROM computed.planned_cells
    ) AS cells USING (key)
)
SELECT
    coalesce(cell, key) AS cell, key, study, module, backbone, temporal_pooling, frames, dataset, seed,
    coalesce(current, true) AS current,
    CASE WHEN protocol.clips * protocol.crops > 1 THEN 'video' ELSE 'clip' END AS level, measured_by, evaluation,
    checkpoint, epoch, protocol.sampling,
    CASE WHEN protocol.sampling = 'dense' THEN protocol.sampling_rate END AS sampling_rate,
    protocol.clips, protocol.crops, protocol.clips * protocol.crops AS views, protocol.crop_size,
    protocol.short_side, average, split, top1, top5, loss, videos, seconds, predictions,
    make_timestamp((time * 1e6)::BIGINT) AS measured, precision_of(hardware) AS precision,
    device_of(hardware) AS device, versions, hardware, NOT coalesce(current, true) AS superseded
FROM named;

-- Those of the cells that a study plans today.
CREATE VIEW evaluations AS SELECT * EXCLUDE (superseded) FROM evaluations_all WHERE NOT superseded;
