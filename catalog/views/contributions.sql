-- Spatial and temporal contributions (Equation 1 and Section 6.3 of Chen et al. 2021) over any relation with the
-- columns source, study, dataset, module, backbone, temporal_pooling, frames, top1. One row an experiment: where the
-- relation has measure, recipe, alone and experiment too (as `accuracies` has), only what was measured alike is compared,
-- and trained by one recipe where a study has several:
--   phi   S_TSN / max(S_a, S_TSN)
--   psi   (S_a - S_TSN) / (100 - S_TSN)
-- S_TSN is the accuracy of TSN without temporal pooling, with the same backbone and length. Empty where one of
-- the two is missing; psi is not defined where TSN has 100 %, phi where both have 0 %.
CREATE MACRO contribution_pairs_of(relation) AS TABLE
WITH accuracy AS MATERIALIZED (
    FROM query_table(relation)
    UNION ALL BY NAME
    SELECT
        NULL::UBIGINT AS measure, NULL::UBIGINT AS recipe, NULL::BOOLEAN AS alone, NULL::UBIGINT AS experiment
    WHERE false
)
SELECT
    a.source, a.study, a.dataset, a.module, a.backbone, a.temporal_pooling, a.frames, a.top1,
    tsn.top1 AS tsn_top1, a.experiment, tsn.experiment AS tsn_experiment,
    CASE WHEN a.top1 IS NOT NULL THEN tsn.top1 / nullif(greatest(a.top1, tsn.top1), 0) END AS phi,
    (a.top1 - tsn.top1) / nullif(100 - tsn.top1, 0) AS psi
FROM accuracy AS a
LEFT JOIN accuracy AS tsn
    ON tsn.module = 'tsn' AND NOT tsn.temporal_pooling
    AND tsn.source = a.source AND tsn.study = a.study AND tsn.dataset = a.dataset
    AND tsn.backbone = a.backbone AND tsn.frames = a.frames AND tsn.top1 IS NOT NULL
    AND tsn.measure IS NOT DISTINCT FROM a.measure
    AND (tsn.recipe IS NOT DISTINCT FROM a.recipe OR (tsn.alone AND a.alone))
WHERE a.module <> 'tsn';

-- The averages, over any relation with the columns of `contribution_pairs_of`:
--   phi       mean over the pairs without temporal pooling
--   psi_ta    mean over the pairs without temporal pooling
--   psi_ta_tp mean over the pairs with temporal pooling
-- They go over the backbones and lengths for which both accuracies exist: n of them, n_ta_tp for the last one;
-- `missing` and `missing_ta_tp` count the pairs that stand in the relation without a psi; of these, `undefined` and
-- `undefined_ta_tp` have both accuracies, of which Equation 1 makes no number.
CREATE MACRO contribution_means_of(pairs) AS TABLE
SELECT
    source, study, dataset, module,
    avg(phi) FILTER (NOT temporal_pooling) AS phi,
    avg(psi) FILTER (NOT temporal_pooling) AS psi_ta,
    avg(psi) FILTER (temporal_pooling) AS psi_ta_tp,
    count(psi) FILTER (NOT temporal_pooling) AS n,
    count(psi) FILTER (temporal_pooling) AS n_ta_tp,
    count(*) FILTER (NOT temporal_pooling) - n AS missing,
    count(*) FILTER (temporal_pooling) - n_ta_tp AS missing_ta_tp,
    count(top1 + tsn_top1) FILTER (NOT temporal_pooling AND psi IS NULL) AS undefined,
    count(top1 + tsn_top1) FILTER (temporal_pooling AND psi IS NULL) AS undefined_ta_tp
FROM query_table(pairs) GROUP BY ALL;

CREATE MACRO contributions_of(relation) AS TABLE
WITH pairs AS (FROM contribution_pairs_of(relation))
FROM contribution_means_of('pairs');

-- `study` names the values of a study's other axes too: nothing is averaged over them.
CREATE VIEW contribution_pairs AS FROM contribution_pairs_of('accuracies_apart');
CREATE VIEW contributions AS FROM contribution_means_of('contribution_pairs');
