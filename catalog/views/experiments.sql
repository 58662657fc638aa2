-- The fields of a JSON object as a list of names and values, texts as they are.
CREATE MACRO facts_of(prefix, object) AS list_transform(
    coalesce(json_keys(object), []),
    lambda field: {'name': prefix || field, 'value': object ->> ('$."' || field || '"')}
);

-- How videos are measured, as a struct, from the JSON of a study or result; what it leaves out has the defaults of
-- docs/protocol.md §9. `sampling_rate` is empty where sampling is uniform, because it says nothing there.
CREATE MACRO protocol_of(evaluation) AS {
    'sampling': coalesce(evaluation ->> '$.sampling', 'uniform'),
    'sampling_rate': CASE WHEN evaluation ->> '$.sampling' = 'dense'
        THEN coalesce((evaluation ->> '$.sampling_rate')::BIGINT, 2) END,
    'clips': coalesce((evaluation ->> '$.clips')::BIGINT, 1),
    'crops': coalesce((evaluation ->> '$.crops')::BIGINT, 1),
    'crop_size': coalesce((evaluation ->> '$.crop_size')::BIGINT, 224),
    'short_side': coalesce((evaluation ->> '$.short_side')::BIGINT, 256)
};

-- Which cells are seeds of one experiment, one row a study and cell. `training` is equal where all that decides a
-- cell's weights is equal but the seed: what its key is made of (`key_parts`), along its line of parents. `recipe` is
-- equal where recipes are, whatever the model. Beside them what a study says of how a cell is trained and measured;
-- what a file leaves out has the recipe's defaults (docs/protocol.md §§7 to 9).
CREATE VIEW computed.experiments AS
WITH RECURSIVE planned AS MATERIALIZED (
    SELECT
        key, arg_min(parent_key, study) AS parent_key, arg_min(study, study) AS first_study,
        any_value(dataset) AS dataset, any_value(module) AS module, any_value(backbone) AS backbone,
        any_value(temporal_pooling) AS temporal_pooling, any_value(frames) AS frames, any_value(seed) AS seed,
        -- A study's own fields count only where a key says nothing of the recipe: others may be idle.
        hash(coalesce(arg_min(key_parts -> '$.recipe', study), arg_min(config -> '$.recipe', study))) AS recipe,
        hash(json_merge_patch(arg_min(key_parts, study), '{"seed": null, "initial": {"parent": null}}')) AS own
    FROM recorded.cells GROUP BY key
),
line AS (
    SELECT planned.* EXCLUDE (own), hash(planned.own, planned.recipe) AS training
    FROM planned ANTI JOIN planned AS parent ON parent.key = planned.parent_key
    UNION ALL
    SELECT planned.* EXCLUDE (own), hash(planned.own, planned.recipe, line.training)
    FROM line JOIN planned ON planned.parent_key = line.key
),
-- Of one experiment and seed there is one key. Where journals say otherwise, their key_parts name less than keys do.
twice AS (
    SELECT DISTINCT dataset, module, backbone, temporal_pooling, frames, training
    FROM line GROUP BY dataset, module, backbone, temporal_pooling, frames, training, seed
    HAVING count(DISTINCT first_study) > 1
),
told_apart AS (
    SELECT
        line.key, line.recipe,
        CASE WHEN twice.training IS NULL THEN line.training ELSE hash(line.training, first_study) END AS training
    FROM line LEFT JOIN twice USING (dataset, module, backbone, temporal_pooling, frames, training)
)
SELECT
    cells.study, cells.key, coalesce(training, hash(cells.key)) AS training, recipe,
    cells.key_parts ->> '$.data.train' AS train_hash,
    CASE WHEN config ->> '$.recipe.sampling' = 'dense' THEN 'dense' ELSE 'uniform' END AS trained_sampling,
    coalesce((config ->> '$.recipe.crop_size')::BIGINT, 224) AS trained_crop_size,
    protocol_of(config -> '$.evaluation') AS protocol
FROM recorded.cells AS cells LEFT JOIN told_apart USING (key);
CREATE TABLE materialised.experiments AS FROM computed.experiments WITH NO DATA;
CREATE VIEW experiments AS FROM materialised.experiments;

-- What a study's datasets are: `identity` names an official dataset, and is empty for anything that a study made itself.
CREATE VIEW own_datasets AS
WITH declared AS (
    SELECT study, arg_max(config -> '$.datasets', time) AS datasets FROM recorded.studies GROUP BY study
),
named AS (
    SELECT study, dataset, datasets -> ('$."' || dataset || '"') AS declaration
    FROM (SELECT DISTINCT study, dataset FROM recorded.cells) LEFT JOIN declared USING (study)
)
SELECT
    study, dataset,
    CASE WHEN coalesce((declaration ->> '$.split')::BIGINT, 1) = 1 THEN identity END AS identity
FROM named LEFT JOIN dataset_identities AS official ON official.name = CASE
    WHEN declaration IS NULL OR json_type(declaration) = 'NULL' THEN dataset
    WHEN declaration ->> '$.kind' = 'official' THEN declaration ->> '$.name'
END;

-- The published mini results under the names that studies' own datasets have, one row a study and model.
CREATE VIEW published_positions AS
SELECT own.study, published.* REPLACE (own.dataset AS dataset), official.eval_videos
FROM published JOIN dataset_identities AS official ON official.name = published.dataset
JOIN own_datasets AS own USING (identity);
