-- Accuracies by evaluation protocol, one row a cell and measurement on validation videos, over any relation with the
-- columns of `cell_accuracies`: trainings under the protocol that they were measured with, and further evaluations
-- (`actiongrid evaluate`) of any checkpoint. `reported` says that the numbers are of the checkpoint that the cell's
-- study reports; an evaluation of the best one is, where the last epoch was the best. `macs` are of one clip at the
-- size of the crops that were measured: in proportion to their area, which is exact for multiples of 32 pixels.
-- `evaluation` names a further evaluation; of trainings it is empty.
CREATE MACRO measured_cells_of(relation) AS TABLE
WITH own AS MATERIALIZED (FROM query_table(relation) WHERE source = 'own'),
evaluated AS (
    SELECT
        own.* REPLACE (
            evaluation.top1 AS top1, evaluation.top5 AS top5, evaluation.videos AS eval_videos,
            {
                'sampling': evaluation.sampling,
                'sampling_rate': CASE WHEN evaluation.sampling = 'dense' THEN evaluation.sampling_rate END,
                'clips': evaluation.clips, 'crops': evaluation.crops, 'crop_size': evaluation.crop_size,
                'short_side': evaluation.short_side
            } AS protocol,
            CASE WHEN evaluation.epoch = of_checkpoint(own.checkpoint, epochs, best_epoch)
                THEN own.checkpoint ELSE evaluation.checkpoint END AS checkpoint,
            -- An old training tells only how many videos it was measured on.
            CASE WHEN own.video_set = own.eval_videos::VARCHAR AND evaluation.videos = own.eval_videos
                THEN own.video_set ELSE evaluation.videos_hash END AS video_set
        ),
        evaluation.evaluation, evaluation.average, evaluation.time AS measured_at, own.checkpoint AS report
    FROM recorded.evaluations AS evaluation JOIN own USING (key)
    LEFT JOIN recorded.finished AS finished USING (key)
    WHERE split = 'val' AND isfinite(evaluation.top1)
),
together AS (
    SELECT *, NULL::VARCHAR AS evaluation, 'logits' AS average, 'training' AS measured_by, checkpoint AS report
    FROM own WHERE top1 IS NOT NULL
    UNION ALL BY NAME
    -- The same weights may have been measured as the best and as the last ones.
    SELECT * EXCLUDE (measured_at), 'evaluate ' || checkpoint AS measured_by FROM evaluated
    QUALIFY row_number() OVER (
        PARTITION BY study, key, protocol, video_set, checkpoint, average ORDER BY measured_at DESC
    ) = 1
)
SELECT
    * EXCLUDE (report) REPLACE (
        (macs * (protocol.crop_size / trained_crop_size) ** 2)::BIGINT AS macs,
        hash(training, protocol, video_set, checkpoint, average) AS experiment,
        hash(protocol, video_set, checkpoint, average) AS measure
    ),
    checkpoint = report AS reported
FROM together;

-- The same with seeds averaged, and the literature's mini results: one row an experiment, its protocol and checkpoint.
-- `variant` says what differs between trainings of one model, length and dataset. `views` = clips x crops a video;
-- `total_macs` of all views.
CREATE MACRO measured_accuracies_of(relation) AS TABLE
WITH cell AS MATERIALIZED (FROM query_table(relation)),
measured AS MATERIALIZED (FROM measured_cells_of('cell')),
-- What is measured twice alike, in training and again, is one experiment, but two numbers.
trained AS (FROM measured WHERE measured_by = 'training'),
evaluated AS (FROM measured WHERE measured_by <> 'training'),
literature AS (FROM cell WHERE source = 'published'),
means AS (
    SELECT *, 'training' AS measured_by, NULL AS source_table FROM seed_means_of('trained')
    UNION ALL BY NAME
    SELECT *, 'evaluate ' || checkpoint AS measured_by, NULL AS source_table FROM seed_means_of('evaluated')
    UNION ALL BY NAME
    SELECT *, 'paper' AS measured_by, 'mini results' AS source_table FROM seed_means_of('literature')
),
about AS (
    SELECT experiment, study, any_value(average) AS average, any_value(reported) AS reported
    FROM measured GROUP BY experiment, study
)
SELECT
    means.* EXCLUDE (protocol), protocol.sampling AS sampling, protocol.sampling_rate AS sampling_rate,
    protocol.clips AS clips, protocol.crops AS crops, protocol.crop_size AS crop_size,
    protocol.short_side AS short_side, protocol.clips * protocol.crops AS views,
    macs * protocol.clips * protocol.crops AS total_macs, protocol, coalesce(average, 'logits') AS average,
    coalesce(reported, true) AS reported, coalesce(variant, '') AS variant
FROM means LEFT JOIN about USING (experiment, study)
LEFT JOIN materialised.variants AS named
    ON named.dataset = means.dataset AND named.module = means.module AND named.backbone = means.backbone
    AND named.temporal_pooling = means.temporal_pooling AND named.frames = means.frames
    AND named.experiment = means.training;

-- The protocols and models of the paper's Tables 2 and 3, in the same columns; the videos of official sets are known.
CREATE VIEW printed_accuracies AS
WITH costs AS (
    SELECT model, max(flops_g) AS flops_g FROM published_numbers WHERE flops_g IS NOT NULL GROUP BY model
)
SELECT
    'published' AS source, paper AS study, dataset, module, backbone,
    coalesce(temporal_pooling, false) AS temporal_pooling, frames,
    model || '@' || dataset || coalesce(' (' || pretrain || ')', '') AS cell,
    sampling, sampling_rate, clips, crops, crop_size, short_side, trained_sampling, checkpoint,
    value AS top1, NULL::DOUBLE AS top1_std, 1 AS seeds, official.eval_videos,
    (coalesce(numbers.flops_g, costs.flops_g) * 1e9)::BIGINT AS macs, NULL::BIGINT AS params,
    'paper' AS measured_by, source_table, 'logits' AS average, true AS reported, '' AS variant,
    hash(source_table, source_row, source_column) AS experiment, hash(model, dataset, pretrain) AS training,
    clips * crops AS views, (coalesce(numbers.flops_g, costs.flops_g) * 1e9)::BIGINT * clips * crops AS total_macs
FROM published_numbers AS numbers LEFT JOIN costs USING (model)
LEFT JOIN dataset_identities AS official ON official.name = dataset
WHERE source_table IN ('Table 2', 'Table 3') AND metric = 'top1' AND clips IS NOT NULL
-- The dense results of Table 3 stand in Table 2 too.
QUALIFY row_number() OVER (PARTITION BY model, dataset, sampling, clips, crops, value ORDER BY source_table) = 1;

CREATE VIEW measured_accuracies AS
FROM measured_accuracies_of('cell_accuracies') UNION ALL BY NAME FROM printed_accuracies;
