-- When one's own number and a published one are comparable, defined here and nowhere else: the same dataset (by what it
-- is, not by its name) with its videos, the same model and length, the same protocol, a recipe that is equal within
-- `comparison_tolerances`, the same start of the weights along the line of parents, the same checkpoint. What the
-- literature does not state is not compared; it is listed as `not_stated`.

-- Every published accuracy with what is stated of how it was made, one row a number.
CREATE VIEW published_accuracies AS
WITH numbers AS (
    SELECT
        paper, source_table, source_row, NULL AS source_column, dataset, module, backbone, temporal_pooling, frames,
        top1, top5, eval_videos, train_videos, sampling, NULL::BIGINT AS sampling_rate, clips, crops, crop_size,
        short_side, trained_sampling, trained_crop_size, epochs, batch_size, sync_bn, lr_schedule, lr, momentum,
        weight_decay, dropout, init, starts_from, checkpoint, identity
    FROM published LEFT JOIN dataset_identities AS official ON official.name = dataset
    UNION ALL BY NAME
    SELECT
        paper, source_table, source_row, source_column, dataset, module, backbone, temporal_pooling, frames,
        value AS top1, eval_videos, train_videos, sampling, sampling_rate, clips, crops, crop_size, short_side,
        trained_sampling, trained_crop_size, epochs, batch_size, sync_bn, lr_schedule, lr, momentum, weight_decay,
        dropout, init, starts_from, checkpoint, identity
    FROM published_numbers LEFT JOIN dataset_identities AS official ON official.name = dataset
    WHERE metric = 'top1'
)
SELECT
    paper, source_table, source_row, source_column, dataset, identity, module, backbone, temporal_pooling, frames,
    top1, top5, {
        'eval_videos': eval_videos, 'train_videos': train_videos, 'sampling': sampling,
        'sampling_rate': sampling_rate, 'clips': clips, 'crops': crops, 'crop_size': crop_size,
        'short_side': short_side, 'trained_sampling': trained_sampling, 'trained_crop_size': trained_crop_size,
        'epochs': epochs, 'batch_size': batch_size, 'sync_bn': sync_bn, 'schedule': lr_schedule, 'lr': lr,
        'momentum': momentum, 'weight_decay': weight_decay, 'dropout': dropout, 'init': init,
        'starts_from': starts_from, 'checkpoint': checkpoint
    } AS stated
FROM numbers;

-- A study's recipe of a cell as a struct; what a file leaves out has the defaults of docs/protocol.md §8.
CREATE MACRO recipe_of(recipe) AS {
    'epochs': coalesce((recipe ->> '$.epochs')::BIGINT, 75),
    'batch_size': coalesce((recipe ->> '$.batch_size')::BIGINT, 72),
    'sync_bn': coalesce((recipe ->> '$.sync_bn')::BOOLEAN, false),
    'schedule': coalesce(recipe ->> '$.schedule', 'cosine'),
    'lr': coalesce((recipe ->> '$.lr')::DOUBLE, 0.01),
    'momentum': coalesce((recipe ->> '$.momentum')::DOUBLE, 0.9),
    'weight_decay': coalesce((recipe ->> '$.weight_decay')::DOUBLE, 5e-4),
    'dropout': coalesce((recipe ->> '$.dropout')::DOUBLE, 0.5),
    'init': coalesce(recipe ->> '$.init', 'imagenet'),
    'trained_sampling': CASE WHEN recipe ->> '$.sampling' = 'dense' THEN 'dense' ELSE 'uniform' END,
    'trained_crop_size': coalesce((recipe ->> '$.crop_size')::BIGINT, 224),
    'optimiser': coalesce(recipe ->> '$.optimiser', 'sgd'),
    'warmup_epochs': coalesce((recipe ->> '$.warmup_epochs')::BIGINT, 0),
    'label_smoothing': coalesce((recipe ->> '$.label_smoothing')::DOUBLE, 0),
    'mixup': coalesce((recipe ->> '$.mixup')::DOUBLE, 0),
    'rand_augment': coalesce((recipe ->> '$.rand_augment')::BIGINT, 0),
    'repeated_augmentation': coalesce((recipe ->> '$.repeated_augmentation')::BIGINT, 1),
    'drop_path': coalesce((recipe ->> '$.drop_path')::DOUBLE, 0)
};

CREATE MACRO tolerance_of(name) AS (SELECT tolerance FROM comparison_tolerances WHERE field = name);
CREATE MACRO beyond_share(name, own, stated) AS abs(own - stated) > tolerance_of(name) * stated + 1e-12;
CREATE MACRO beyond_factor(name, own, stated) AS greatest(own / stated, stated / own) > tolerance_of(name) + 1e-12;
CREATE MACRO counted(number, noun) AS number || ' ' || noun || CASE WHEN number = 1 THEN '' ELSE 's' END;

-- What differs in how videos were measured: lists of words; `own` is a protocol, `stated` as in `published_accuracies`.
CREATE MACRO protocol_differences(own, stated) AS [
    CASE WHEN own.crop_size <> stated.crop_size THEN 'crop ' || own.crop_size END,
    CASE WHEN own.short_side <> stated.short_side THEN 'shorter side ' || own.short_side END,
    CASE WHEN own.sampling <> stated.sampling THEN own.sampling || ' sampling' END,
    CASE WHEN own.sampling_rate <> stated.sampling_rate THEN 'sampling rate ' || own.sampling_rate END,
    CASE WHEN own.clips <> stated.clips THEN counted(own.clips, 'clip') END,
    CASE WHEN own.crops <> stated.crops THEN counted(own.crops, 'crop') END
];

-- What differs in how a model was trained; `own` as from `recipe_of`.
CREATE MACRO recipe_differences(own, stated) AS [
    CASE WHEN own.trained_crop_size <> stated.trained_crop_size
        THEN 'trained on crops of ' || own.trained_crop_size END,
    CASE WHEN own.trained_sampling <> stated.trained_sampling
        THEN 'trained with ' || own.trained_sampling || ' sampling' END,
    CASE WHEN beyond_share('epochs', own.epochs, stated.epochs) THEN counted(own.epochs, 'epoch') END,
    CASE WHEN beyond_factor('batch_size', own.batch_size, stated.batch_size) THEN 'batch ' || own.batch_size END,
    CASE WHEN own.schedule <> rtrim(stated.schedule, 's') THEN own.schedule || ' schedule' END,
    CASE WHEN beyond_share('lr', own.lr, stated.lr) THEN 'learning rate ' || own.lr END,
    CASE WHEN beyond_share('momentum', own.momentum, stated.momentum) THEN 'momentum ' || own.momentum END,
    CASE WHEN beyond_share('weight_decay', own.weight_decay, stated.weight_decay)
        THEN 'weight decay ' || own.weight_decay END,
    CASE WHEN beyond_share('dropout', own.dropout, stated.dropout) THEN 'dropout ' || own.dropout END,
    -- What no published number was trained with.
    CASE WHEN own.optimiser <> 'sgd' THEN 'optimiser ' || own.optimiser END,
    CASE WHEN own.warmup_epochs > 0 THEN counted(own.warmup_epochs, 'warm-up epoch') END,
    CASE WHEN own.label_smoothing > 0 THEN 'label smoothing ' || own.label_smoothing END,
    CASE WHEN own.mixup > 0 THEN 'mixup ' || own.mixup END,
    CASE WHEN own.rand_augment > 0 THEN 'RandAugment of ' || counted(own.rand_augment, 'operation') END,
    CASE WHEN own.repeated_augmentation > 1
        THEN own.repeated_augmentation || ' clips of a video in a batch' END,
    CASE WHEN own.drop_path > 0 THEN 'drop path ' || own.drop_path END
];

-- One's own accuracies beside every published number of the same dataset, model and length, over any relation with
-- the columns of `accuracies`: `comparable`, and what `differs` where it is not; deviations within the tolerances are
-- `tolerated`, what the literature leaves open is `not_stated`. Texts with commas, empty where there is nothing.
CREATE MACRO counterparts_of(relation) AS TABLE
WITH RECURSIVE accuracy AS MATERIALIZED (
    SELECT
        own.study, own.dataset, own.module, own.backbone, own.temporal_pooling, own.frames, own.experiment, own.key,
        own.eval_videos, own.checkpoint, own.protocol, identity
    FROM query_table(relation) AS own JOIN own_datasets USING (study, dataset)
    WHERE own.source = 'own' AND identity IS NOT NULL
),
line AS MATERIALIZED (
    SELECT DISTINCT study, key, key AS ancestor, 0 AS depth FROM accuracy
    UNION ALL
    SELECT line.study, line.key, cells.parent_key, depth + 1
    FROM line JOIN recorded.cells AS cells ON cells.key = line.ancestor AND cells.study = line.study
    WHERE cells.parent_key IS NOT NULL
),
-- What a chain's first cell was trained on before, where it starts from a cell of another study.
before AS MATERIALIZED (
    -- By the name that `init` of a recipe has for it.
    SELECT line.study, line.key, any_value(
        CASE named.identity WHEN 'kinetics400' THEN 'kinetics' ELSE coalesce(named.identity, parent.dataset) END
    ) AS trained_on
    FROM line JOIN recorded.cells AS cells ON cells.key = line.ancestor AND cells.study = line.study
    LEFT JOIN recorded.cells AS within ON within.key = cells.parent_key AND within.study = line.study
    JOIN recorded.cells AS parent ON parent.key = cells.parent_key
    LEFT JOIN own_datasets AS named ON named.study = parent.study AND named.dataset = parent.dataset
    WHERE within.key IS NULL GROUP BY line.study, line.key
),
trained AS MATERIALIZED (
    SELECT
        line.study, line.key, depth, cells.dataset, cells.module, cells.backbone, cells.temporal_pooling,
        cells.frames, cells.parent_key IS NULL AS starter, recipe_of(cells.config -> '$.recipe') AS recipe
    FROM line JOIN recorded.cells AS cells ON cells.key = line.ancestor AND cells.study = line.study
),
begun AS (
    SELECT
        study, key, any_value(recipe) FILTER (depth = 0) AS recipe,
        coalesce(any_value(trained_on), arg_max(recipe.init, depth)) AS init,
        coalesce(any_value(frames) FILTER (depth = 1), 0) AS starts_from,
        max(train_videos) AS train_videos
    FROM trained LEFT JOIN (SELECT key, train_videos FROM recorded.finished) AS finished USING (key)
    LEFT JOIN before USING (study, key)
    GROUP BY study, key
),
-- How parents were trained decides weights too.
parents AS (
    SELECT
        study, key, literature.source_table,
        list(DISTINCT 'parent f' || trained.frames || ': ' || word ORDER BY 'parent f' || trained.frames || ': ' || word)
            AS words
    FROM trained
    JOIN own_datasets USING (study, dataset)
    JOIN published_accuracies AS literature USING (identity, module, backbone, temporal_pooling, frames)
    CROSS JOIN unnest(recipe_differences(recipe, stated)) AS differing(word)
    WHERE depth > 0 AND word IS NOT NULL AND source_column IS NULL
    GROUP BY ALL
),
beside AS (
    SELECT
        accuracy.* EXCLUDE (identity), literature.* EXCLUDE (
            dataset, identity, module, backbone, temporal_pooling, frames, top1, top5
        ),
        literature.dataset AS published_dataset, literature.top1 AS published_top1, literature.top5 AS published_top5, begun.recipe,
        list_filter(protocol_differences(protocol, stated) || recipe_differences(begun.recipe, stated) || [
            CASE WHEN begun.init <> stated.init
                THEN CASE begun.init WHEN 'random' THEN 'random weights' ELSE begun.init || ' weights' END END,
            CASE WHEN begun.starts_from <> stated.starts_from THEN CASE begun.starts_from
                WHEN 0 THEN 'no shorter parent' ELSE 'started from ' || begun.starts_from || ' frames' END END,
            CASE WHEN accuracy.checkpoint <> stated.checkpoint THEN accuracy.checkpoint || ' checkpoint' END,
            CASE WHEN beyond_share('eval_videos', eval_videos, stated.eval_videos)
                THEN eval_videos || ' of ' || stated.eval_videos || ' videos' END,
            CASE WHEN beyond_share('train_videos', begun.train_videos, stated.train_videos)
                THEN begun.train_videos || ' of ' || stated.train_videos || ' training videos' END
        ], lambda word: word IS NOT NULL) AS own_words,
        parents.words AS parents_words
    FROM accuracy
    JOIN published_accuracies AS literature USING (identity, module, backbone, temporal_pooling, frames)
    JOIN begun USING (study, key)
    LEFT JOIN parents ON parents.study = accuracy.study AND parents.key = accuracy.key
        AND (stated.starts_from > 0)
)
SELECT
    * EXCLUDE (own_words, parents_words, recipe, protocol, checkpoint),
    own_words || coalesce(parents_words, []) AS differences,
    len(differences) = 0 AS comparable, array_to_string(differences, ', ') AS differs,
    array_to_string(list_filter([
        CASE WHEN recipe.epochs <> stated.epochs AND NOT beyond_share('epochs', recipe.epochs, stated.epochs)
            THEN recipe.epochs || ' epochs for ' || stated.epochs END,
        CASE WHEN recipe.batch_size <> stated.batch_size
            AND NOT beyond_factor('batch_size', recipe.batch_size, stated.batch_size)
            THEN 'batch ' || recipe.batch_size || ' for ' || stated.batch_size END,
        CASE WHEN recipe.sync_bn <> stated.sync_bn
            THEN CASE WHEN recipe.sync_bn THEN 'with' ELSE 'without' END || ' SyncBN' END,
        CASE WHEN eval_videos <> stated.eval_videos
            AND NOT beyond_share('eval_videos', eval_videos, stated.eval_videos)
            THEN eval_videos || ' videos for ' || stated.eval_videos END
    ], lambda word: word IS NOT NULL), ', ') AS tolerated,
    array_to_string(list_filter([
        CASE WHEN stated.checkpoint IS NULL THEN 'checkpoint' END,
        CASE WHEN stated.sampling IS NULL THEN 'protocol' END,
        CASE WHEN stated.epochs IS NULL THEN 'epochs' END,
        CASE WHEN stated.batch_size IS NULL THEN 'batch' END,
        CASE WHEN stated.init IS NULL THEN 'initialisation' END
    ], lambda word: word IS NOT NULL), ', ') AS not_stated
FROM beside;

-- The published results of the mini datasets (`published`) under the names that a relation's own datasets have; the
-- columns `study` and `dataset` are read. Sets that nobody of the relation has keep the literature's name; what is no
-- official dataset never meets them, whatever its name.
CREATE MACRO published_for(relation) AS TABLE
WITH own AS (
    SELECT DISTINCT dataset, identity FROM (SELECT DISTINCT study, dataset FROM query_table(relation))
    JOIN own_datasets USING (study, dataset)
)
SELECT
    published.* EXCLUDE (dataset), coalesce(own.dataset, published.dataset) AS dataset, official.eval_videos,
    own.dataset IS NOT NULL AS beside_own
FROM published
LEFT JOIN dataset_identities AS official ON official.name = published.dataset
LEFT JOIN own USING (identity);

CREATE VIEW published_counterparts AS FROM counterparts_of('accuracies');

-- Those of the mini results, one row a study and experiment: kept, because every figure of accuracies asks.
CREATE VIEW computed.comparisons AS
SELECT
    study, dataset, module, backbone, temporal_pooling, frames, experiment, published_top1, published_top5, paper,
    stated.eval_videos AS published_videos, source_table, source_row, comparable, differs, tolerated, not_stated
FROM published_counterparts WHERE source_column IS NULL;
CREATE TABLE materialised.comparisons AS FROM computed.comparisons WITH NO DATA;
