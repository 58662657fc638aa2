-- What a reader must know of a result, from what is recorded with it. `hardware`, `config` are JSON.
CREATE MACRO precision_of(hardware) AS CASE
    WHEN hardware ->> '$.bf16' = 'true' THEN 'bf16'
    WHEN hardware ->> '$.switches.fp32' = 'tf32' THEN 'tf32'
    WHEN hardware ->> '$.bf16' = 'false' THEN 'fp32'
END;

CREATE MACRO device_of(hardware) AS hardware ->> '$.device';

-- On which videos the epoch of a checkpoint was chosen; `share` of the training videos is held out for that, or NULL.
CREATE MACRO chosen_on(share) AS CASE
    WHEN share IS NULL THEN 'validation videos' ELSE format('{:g}', 100 * share) || ' % of the training videos'
END;

-- Over how many clips batch normalisation counts its statistics, from a recipe, the number of workers, and how many
-- parts a batch was shared into for want of memory.
CREATE MACRO clips_in_statistics(recipe, workers, parts) AS floor(
    (recipe ->> '$.batch_size')::BIGINT
    / CASE WHEN (recipe ->> '$.sync_bn')::BOOLEAN THEN 1 ELSE coalesce(workers, 1) END
    / (coalesce((recipe ->> '$.accumulate')::BIGINT, 1) * coalesce(parts, 1))
)::BIGINT;

-- Datasets some of whose classes tell left from right by their name.
CREATE VIEW computed.sided_datasets AS
SELECT DISTINCT dataset FROM recorded.datasets_built
WHERE len([one FOR one IN json_transform(classes, '["VARCHAR"]')
    IF regexp_matches(one, '(^|[^a-z])(left|right|(counter|anti)?-?clockwise)([^a-z]|$)', 'i')]) > 0;

-- What a reader must know of a result: a list of structs with the `kind` in a few words and a `note` in a sentence.
-- `study` is a struct of what its study says (`report`, `recipe` as JSON, `workers`, `dataset`, and whether classes of
-- that are `sided`), `stated` one of the published result's `batch_size` and `sync_bn`; the others are as recorded.
CREATE MACRO caveats_of(study, stated, hardware, accumulation, parent_key, inherit, choose_on) AS list_filter([
    CASE WHEN study.report = 'best' AND choose_on IS NULL THEN {
        'kind': 'chosen on what is reported',
        'note': 'best epoch chosen on the same videos that the accuracy is of'
    } END,
    CASE WHEN parent_key IS NOT NULL AND inherit = 'best' AND choose_on IS NULL THEN {
        'kind': 'chosen on what is reported',
        'note': 'started from a best epoch that was chosen on the same videos that the accuracy is of'
    } END,
    CASE WHEN hardware ->> '$.epochs_in' IS NOT NULL THEN {
        'kind': 'epochs in several precisions',
        'note': 'trained in parts: ' || array_to_string([
            (hardware -> '$.epochs_in' ->> one) || ' epochs in ' || one
            FOR one IN json_keys(hardware, '$.epochs_in')
        ], ', ')
    } END,
    CASE WHEN stated.batch_size <> (study.recipe ->> '$.batch_size')::BIGINT THEN {
        'kind': 'batch other than published',
        'note': 'batches of ' || (study.recipe ->> '$.batch_size') || ' clips (published: '
            || stated.batch_size || ')'
    } END,
    CASE
        WHEN stated.sync_bn AND stated.batch_size <> clips_in_statistics(study.recipe, study.workers, accumulation)
        THEN {
            'kind': 'batch statistics other than published',
            'note': 'batch normalisation over ' || clips_in_statistics(study.recipe, study.workers, accumulation)
                || ' clips (published: SyncBN over ' || stated.batch_size || ')'
        }
        WHEN NOT stated.sync_bn AND study.workers > 1 AND (study.recipe ->> '$.sync_bn')::BOOLEAN THEN {
            'kind': 'batch statistics other than published',
            'note': 'SyncBN (published: without)'
        }
    END,
    CASE WHEN accumulation > 1 THEN {
        'kind': 'out of memory',
        'note': 'ran out of memory: gradients summed over ' || accumulation || ' parts, batch normalisation over '
            || clips_in_statistics(study.recipe, study.workers, accumulation) || ' clips instead of '
            || clips_in_statistics(study.recipe, study.workers, 1)
    } END,
    CASE WHEN (study.recipe ->> '$.flip')::DOUBLE > 0
        AND (study.sided OR regexp_matches(study.dataset, '(^|[-_.])(ssv[12]|something)', 'i'))
    THEN {
        'kind': 'mirrored',
        'note': 'clips mirrored with probability ' || (study.recipe ->> '$.flip')
            || ', though classes tell left from right'
    } END
], lambda caveat: caveat IS NOT NULL);

-- One row a finished cell and what a reader must know of its result, as in the column `caveats` of `results`;
-- `superseded` marks those of superseded cells (see `results_all`).
CREATE VIEW result_caveats_all AS
WITH listed AS (
    SELECT
        finished.key, planned.cell, planned.study, planned.current,
        unnest(caveats_of(
            {
                'report': planned.report, 'recipe': planned.config -> '$.recipe', 'dataset': planned.dataset,
                'workers': (planned.config ->> '$.resources.workers')::BIGINT, 'sided': sided.dataset IS NOT NULL
            },
            {'batch_size': published.batch_size, 'sync_bn': published.sync_bn},
            finished.hardware, finished.accumulation, finished.parent_key, finished.inherit, finished.choose_on
        )) AS caveat
    FROM recorded.finished AS finished
    JOIN computed.planned_cells AS planned USING (key)
    LEFT JOIN computed.sided_datasets AS sided ON sided.dataset = planned.dataset
    LEFT JOIN published_positions AS published
        ON published.study = planned.study AND published.dataset = planned.dataset
        AND published.module = planned.module
        AND published.backbone = planned.backbone AND published.frames = planned.frames
        AND published.temporal_pooling = planned.temporal_pooling
)
SELECT cell, key, study, current, caveat.kind, caveat.note AS caveat, NOT current AS superseded FROM listed;

-- Those of the results that studies plan today.
CREATE VIEW result_caveats AS SELECT * EXCLUDE (superseded) FROM result_caveats_all WHERE current;
