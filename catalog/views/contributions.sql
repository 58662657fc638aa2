-- Spatial and temporal contributions (Equation 1 and Section 6.3 of Chen et al. 2021) over any relation with the
-- columns source, study, dataset, module, backbone, temporal_pooling, frames, top1:
--   phi       mean of S_TSN / max(S_a, S_TSN)            both without temporal pooling
--   psi_ta    mean of (S_a - S_TSN) / (100 - S_TSN)      both without temporal pooling
--   psi_ta_tp the same                                   S_a with temporal pooling, S_TSN without
-- The mean goes over the backbones and lengths for which both accuracies exist: n of them, n_ta_tp for the last
-- one; `missing` and `missing_ta_tp` count the pairs that stand in the relation without a usable accuracy.
-- A pair is not defined where TSN has 100 % (psi) or both have 0 % (phi).
CREATE MACRO contributions_of(relation) AS TABLE
WITH accuracy AS MATERIALIZED (FROM query_table(relation)),
pairs AS (
    SELECT
        a.source, a.study, a.dataset, a.module, a.temporal_pooling,
        tsn.top1 / nullif(greatest(a.top1, tsn.top1), 0) AS phi,
        (a.top1 - tsn.top1) / nullif(100 - tsn.top1, 0) AS psi
    FROM accuracy AS a
    LEFT JOIN accuracy AS tsn
        ON tsn.module = 'tsn' AND NOT tsn.temporal_pooling
        AND tsn.source = a.source AND tsn.study = a.study AND tsn.dataset = a.dataset
        AND tsn.backbone = a.backbone AND tsn.frames = a.frames
        AND a.top1 IS NOT NULL AND tsn.top1 IS NOT NULL
    WHERE a.module <> 'tsn'
)
SELECT
    source, study, dataset, module,
    avg(phi) FILTER (NOT temporal_pooling) AS phi,
    avg(psi) FILTER (NOT temporal_pooling) AS psi_ta,
    avg(psi) FILTER (temporal_pooling) AS psi_ta_tp,
    count(psi) FILTER (NOT temporal_pooling) AS n,
    count(psi) FILTER (temporal_pooling) AS n_ta_tp,
    count(*) FILTER (NOT temporal_pooling) - n AS missing,
    count(*) FILTER (temporal_pooling) - n_ta_tp AS missing_ta_tp
FROM pairs GROUP BY ALL;

CREATE VIEW contributions AS FROM contributions_of('accuracies');
