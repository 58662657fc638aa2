-- One row a source, study and cell, of one's own studies as they are planned today (source = 'own') and of the
-- literature (source = 'published'; `study` is the paper). A planned cell without a result yet has a row with an
-- empty top1, so that what is missing can be counted; a result that is no number counts as missing too.
-- `top1` and `top5` are of the `checkpoint` that the study reports, measured with `protocol` on `eval_videos` videos
-- that `video_set` names. Cells with one `experiment` differ in nothing but their seed: trained alike (`training`),
-- and measured alike (`measure`: protocol, videos, checkpoint). Accuracies in percent, macs of one clip in training.
CREATE VIEW computed.cell_accuracies AS
WITH built AS (
    SELECT train_hash, any_value(val_hash) AS val_hash
    FROM recorded.datasets_built GROUP BY train_hash HAVING count(DISTINCT val_hash) = 1
),
listed AS (
    SELECT
        planned.study, planned.key, planned.cell, planned.dataset, planned.module, planned.backbone,
        planned.temporal_pooling, planned.frames, planned.seed, training, recipe, trained_sampling,
        trained_crop_size, planned.other_axes, planned.report AS checkpoint,
        CASE WHEN json_type(finished.protocol) = 'OBJECT' THEN protocol_of(finished.protocol)
            ELSE experiments.protocol END AS protocol,
        coalesce(finished.videos_hash, built.val_hash, finished.eval_videos::VARCHAR) AS known_videos,
        coalesce(finished.macs, planned.macs) AS macs, coalesce(finished.params, planned.params) AS params,
        of_checkpoint(planned.report, finished.top1, finished.best_top1) AS top1,
        of_checkpoint(planned.report, finished.top5, finished.best_top5) AS top5,
        finished.eval_videos, finished.key IS NOT NULL AS done
    FROM study_cells AS planned
    JOIN materialised.experiments AS experiments USING (study, key)
    LEFT JOIN recorded.finished AS finished USING (key)
    LEFT JOIN built USING (train_hash)
    WHERE planned.current
),
-- A cell without a result will be measured on the videos of the other seeds.
measured AS (
    SELECT
        * EXCLUDE (known_videos),
        coalesce(known_videos, max(known_videos) OVER (
            PARTITION BY study, dataset, module, backbone, temporal_pooling, frames, training
        )) AS video_set
    FROM listed
),
own AS (
    SELECT
        * REPLACE (
            CASE WHEN isfinite(top1) THEN top1 END AS top1, CASE WHEN isfinite(top5) THEN top5 END AS top5
        ),
        hash(protocol, video_set, checkpoint) AS measure
    FROM measured
)
SELECT
    'own' AS source, study, dataset, module, backbone, temporal_pooling, frames, seed, key, cell, done, top1, top5,
    macs, params, eval_videos, hash(training, measure) AS experiment, training, recipe, measure, checkpoint,
    protocol, video_set, trained_sampling, trained_crop_size, other_axes
FROM own
UNION ALL BY NAME
SELECT
    'published' AS source, paper AS study, dataset, module, backbone, temporal_pooling, frames, true AS done, top1,
    top5, macs, params, val_videos AS eval_videos, 0::UBIGINT AS experiment, 0::UBIGINT AS training, 0::UBIGINT AS recipe,
    0::UBIGINT AS measure, checkpoint,
    {
        'sampling': sampling, 'sampling_rate': NULL::BIGINT, 'clips': clips, 'crops': crops,
        'crop_size': crop_size, 'short_side': short_side
    } AS protocol,
    dataset AS video_set, sampling AS trained_sampling, crop_size AS trained_crop_size,
    MAP {}::MAP(VARCHAR, VARCHAR) AS other_axes
FROM published LEFT JOIN (SELECT dataset, val_videos FROM published_datasets) AS measured_on USING (dataset);
CREATE TABLE materialised.cell_accuracies AS FROM computed.cell_accuracies WITH NO DATA;
CREATE VIEW cell_accuracies AS FROM materialised.cell_accuracies;

-- What differs between experiments that stand at one position (model, length and dataset), over any relation with
-- the columns dataset, module, backbone, temporal_pooling, frames, study, key, experiment, protocol, video_set,
-- checkpoint: one row a position and experiment, where there are several. `variant` names fields and values: those of
-- the studies' other axes alone, where these tell the experiment from all others.
CREATE MACRO words_of(name, value) AS axis_words(regexp_replace(name, '^axis: ', ''), value);
CREATE MACRO variants_of(relation) AS TABLE
WITH RECURSIVE crowded AS MATERIALIZED (
    SELECT
        dataset, module, backbone, temporal_pooling, frames, experiment, any_value(protocol) AS protocol,
        any_value(video_set) AS video_set, any_value(checkpoint) AS checkpoint,
        arg_min(study, (study, key)) AS study, arg_min(key, (study, key)) AS key
    FROM query_table(relation) WHERE key IS NOT NULL
    GROUP BY dataset, module, backbone, temporal_pooling, frames, experiment
    QUALIFY count(*) OVER (PARTITION BY dataset, module, backbone, temporal_pooling, frames) > 1
),
line AS (
    SELECT dataset, module, backbone, temporal_pooling, frames, experiment, study, key, '' AS prefix, key AS ancestor
    FROM crowded
    UNION ALL
    SELECT line.* REPLACE ('parent''s ' AS prefix, cells.parent_key AS ancestor)
    FROM line JOIN recorded.cells AS cells ON cells.key = line.ancestor AND cells.study = line.study
    WHERE cells.parent_key IS NOT NULL
),
told AS (
    SELECT
        line.* EXCLUDE (study, key, ancestor),
        unnest(facts_of('', coalesce(key_parts -> '$.recipe', config -> '$.recipe'))
            || facts_of('', json_merge_patch(
                key_parts, '{"recipe": null, "seed": null, "initial": {"parent": null}, "model": null, "data": null}'
            )) || facts_of('', key_parts -> '$.data') || facts_of('', key_parts -> '$.model')
            || CASE WHEN prefix = '' THEN facts_of('axis: ', config -> '$.axes') ELSE [] END) AS fact
    FROM line JOIN recorded.cells AS cells ON cells.key = line.ancestor AND cells.study = line.study
),
facts AS (
    SELECT
        dataset, module, backbone, temporal_pooling, frames, experiment, prefix || fact.name AS name,
        string_agg(DISTINCT fact.value, '/' ORDER BY fact.value) AS value
    FROM told GROUP BY ALL
    UNION ALL
    SELECT dataset, module, backbone, temporal_pooling, frames, experiment, 'measured: ' || fact.name, fact.value
    FROM (
        SELECT *, unnest(facts_of('', to_json(protocol)) || [
            {'name': 'videos', 'value': video_set}, {'name': 'checkpoint', 'value': checkpoint}
        ]) AS fact
        FROM crowded
    )
),
different AS (
    SELECT * FROM facts
    WINDOW one_name AS (PARTITION BY dataset, module, backbone, temporal_pooling, frames, name)
    QUALIFY count(DISTINCT value) OVER one_name > 1 OR count(*) OVER one_name < (
        count(DISTINCT experiment) OVER (PARTITION BY dataset, module, backbone, temporal_pooling, frames)
    )
),
named AS (
    SELECT
        dataset, module, backbone, temporal_pooling, frames, experiment,
        list(words_of(name, value) ORDER BY name) FILTER (name LIKE 'axis: %') AS axes,
        list(words_of(name, value) ORDER BY name LIKE 'parent%', name) FILTER (name NOT LIKE 'axis: %') AS names
    FROM different GROUP BY ALL
)
SELECT
    crowded.* EXCLUDE (study, key, protocol, video_set, checkpoint),
    CASE
        WHEN axes IS NOT NULL AND count(*) OVER (
            PARTITION BY dataset, module, backbone, temporal_pooling, frames, axes
        ) = 1 THEN array_to_string(axes, ', ')
        WHEN names IS NULL THEN 'study ' || study
        WHEN len(names) > 4 THEN array_to_string(names[:4], ', ') || ', …'
        ELSE array_to_string(names, ', ')
    END AS variant
FROM crowded LEFT JOIN named USING (dataset, module, backbone, temporal_pooling, frames, experiment);

-- Seeds averaged, over any relation with the columns of `cell_accuracies` (top1_std: sample standard deviation): a
-- row an experiment and study. `cell` and `key` are those of the cell with the lowest seed.
CREATE MACRO seed_means_of(relation) AS TABLE
SELECT
    source, study, dataset, module, backbone, temporal_pooling, frames,
    -- In one order, so that a catalog that grew has the last digits of one that was read at once.
    avg(top1 ORDER BY seed, key) AS top1, avg(top5 ORDER BY seed, key) AS top5,
    stddev_samp(top1 ORDER BY seed, key) AS top1_std,
    count(top1) AS seeds, count(*) AS planned_seeds,
    any_value(macs) AS macs, any_value(params) AS params, min(eval_videos) AS eval_videos,
    arg_min(cell, seed) AS cell, arg_min(key, seed) AS key,
    experiment, any_value(training) AS training, any_value(recipe) AS recipe, any_value(measure) AS measure,
    any_value(checkpoint) AS checkpoint, any_value(protocol) AS protocol, any_value(video_set) AS video_set,
    any_value(trained_sampling) AS trained_sampling, any_value(trained_crop_size) AS trained_crop_size,
    arg_min(other_axes, coalesce(seed, 0)) AS other_axes
FROM query_table(relation)
GROUP BY source, study, dataset, module, backbone, temporal_pooling, frames, experiment;

-- What differs, by `experiment` and by `training` (which leaves out how it was measured), of all cells that are planned
-- today: kept, because it changes with plans and results alone and every figure names what it shows.
CREATE VIEW computed.variants AS
WITH own AS (FROM materialised.cell_accuracies WHERE source = 'own'),
mean AS MATERIALIZED (FROM seed_means_of('own')),
trainings AS MATERIALIZED (
    SELECT * REPLACE (training AS experiment, NULL AS protocol, NULL AS video_set, NULL AS checkpoint) FROM mean
)
FROM variants_of('mean') UNION ALL FROM variants_of('trainings');
CREATE TABLE materialised.variants AS FROM computed.variants WITH NO DATA;

-- The same with what tells experiments apart: `variant` says what differs where several have one model, length and
-- dataset; `alone` that a study has one such.
CREATE MACRO mean_accuracies_of(relation) AS TABLE
WITH cell AS MATERIALIZED (FROM query_table(relation))
SELECT
    mean.*, coalesce(variant, '') AS variant,
    count(*) OVER (PARTITION BY source, study, dataset, module, backbone, temporal_pooling, frames) = 1 AS alone
FROM seed_means_of('cell') AS mean
LEFT JOIN materialised.variants USING (dataset, module, backbone, temporal_pooling, frames, experiment);

CREATE VIEW accuracies AS FROM mean_accuracies_of('cell_accuracies');

-- A study with the values of its other axes: `rates (lr 0.01)`.
CREATE MACRO study_with_axes(study, axes) AS
    study || CASE WHEN coalesce(axes_words(axes), '') = '' THEN '' ELSE ' (' || axes_words(axes) || ')' END;

-- The same with a study of its own for each combination of its other axes, over any relation with the columns of
-- `accuracies`: for averages over models and lengths, which must not run over recipes too.
CREATE MACRO accuracies_apart_of(relation) AS TABLE
SELECT * REPLACE (
    study_with_axes(study, other_axes) AS study,
    count(*) OVER (
        PARTITION BY source, study, other_axes, dataset, module, backbone, temporal_pooling, frames
    ) = 1 AS alone
) FROM query_table(relation);
CREATE VIEW accuracies_apart AS FROM accuracies_apart_of('accuracies');

-- Cells of several studies, each key once, over any relation with the columns of `cell_accuracies`: seeds of one
-- experiment that stand in different studies come together under the study of the lowest one.
CREATE MACRO across_studies_of(relation) AS TABLE
WITH once AS (FROM query_table(relation) QUALIFY row_number() OVER (PARTITION BY source, key ORDER BY study) = 1)
SELECT * REPLACE (first(study) OVER (
    PARTITION BY source, dataset, module, backbone, temporal_pooling, frames, experiment ORDER BY seed, study
) AS study) FROM once;
