-- Accuracies by evaluation protocol, over any relation with the columns of `accuracies`: one row a model, length
-- and protocol. Trainings count with the protocol of their study; further evaluations (`actiongrid evaluate`) of
-- the last or best checkpoint are averaged over seeds; the literature's mini results are of one uniform clip. `views` = clips x crops a video, `macs` of one clip; `total_macs` of all views,
-- each counted at the size of one clip.
CREATE MACRO measured_accuracies_of(relation) AS TABLE
WITH accuracy AS MATERIALIZED (FROM query_table(relation)),
own AS (FROM accuracy WHERE source = 'own'),
protocols AS (
    SELECT
        key, any_value(config ->> '$.evaluation.sampling') AS sampling,
        any_value(config ->> '$.evaluation.clips')::BIGINT AS clips,
        any_value(config ->> '$.evaluation.crops')::BIGINT AS crops
    FROM recorded.cells SEMI JOIN own USING (key) GROUP BY key
),
trained AS (
    SELECT
        source, study, dataset, module, backbone, temporal_pooling, frames, cell,
        coalesce(sampling, 'uniform') AS sampling, coalesce(clips, 1) AS clips, coalesce(crops, 1) AS crops,
        top1, top1_std, seeds, macs, params, 'training' AS measured_by, NULL AS source_table
    FROM own LEFT JOIN protocols USING (key) WHERE top1 IS NOT NULL
),
evaluated AS (
    SELECT
        'own' AS source, planned.study, planned.dataset, planned.module, planned.backbone,
        planned.temporal_pooling, planned.frames, arg_min(planned.cell, planned.seed) AS cell,
        sampling, clips, crops, avg(evaluation.top1) AS top1, stddev_samp(evaluation.top1) AS top1_std,
        count(DISTINCT planned.seed) AS seeds, any_value(planned.macs) AS macs,
        any_value(planned.params) AS params, 'evaluate ' || checkpoint AS measured_by, NULL AS source_table
    FROM recorded.evaluations AS evaluation
    JOIN study_cells AS planned USING (key)
    WHERE split = 'val' AND planned.current AND isfinite(evaluation.top1) AND EXISTS (
        FROM own WHERE own.study = planned.study AND own.dataset = planned.dataset
            AND own.module = planned.module AND own.backbone = planned.backbone
            AND own.temporal_pooling = planned.temporal_pooling AND own.frames = planned.frames
    )
    GROUP BY ALL
),
mini AS (
    SELECT
        source, study, dataset, module, backbone, temporal_pooling, frames, cell, 'uniform' AS sampling,
        1 AS clips, 1 AS crops, top1, top1_std, seeds, macs, params, 'paper' AS measured_by,
        'mini results' AS source_table
    FROM accuracy WHERE source = 'published'
),
together AS (
    FROM trained UNION ALL FROM evaluated UNION ALL FROM mini
)
SELECT *, clips * crops AS views, macs * clips * crops AS total_macs FROM together;

-- The protocols and models of the paper's Tables 2 and 3, in the same columns.
CREATE VIEW printed_accuracies AS
WITH costs AS (
    SELECT model, max(flops_g) AS flops_g FROM published_numbers WHERE flops_g IS NOT NULL GROUP BY model
)
SELECT
    'published' AS source, paper AS study, dataset, module, backbone,
    coalesce(temporal_pooling, false) AS temporal_pooling, frames,
    model || '@' || dataset || coalesce(' (' || pretrain || ')', '') AS cell,
    sampling, clips, crops, value AS top1, NULL::DOUBLE AS top1_std, 1 AS seeds,
    (coalesce(numbers.flops_g, costs.flops_g) * 1e9)::BIGINT AS macs, NULL::BIGINT AS params,
    'paper' AS measured_by, source_table,
    clips * crops AS views, (coalesce(numbers.flops_g, costs.flops_g) * 1e9)::BIGINT * clips * crops AS total_macs
FROM published_numbers AS numbers LEFT JOIN costs USING (model)
WHERE source_table IN ('Table 2', 'Table 3') AND metric = 'top1' AND clips IS NOT NULL
-- The dense results of Table 3 stand in Table 2 too.
QUALIFY row_number() OVER (PARTITION BY model, dataset, sampling, clips, crops, value ORDER BY source_table) = 1;

CREATE VIEW measured_accuracies AS
FROM measured_accuracies_of('accuracies') UNION ALL FROM printed_accuracies;
