-- What temporal pooling changes (Figure 6): top-1 with it minus top-1 without it, in points.
CREATE VIEW temporal_pooling_gain AS
SELECT
    source, study, dataset, module, backbone, frames,
    without.top1 AS top1_without, pooled.top1 AS top1_with, pooled.top1 - without.top1 AS gain,
    least(without.seeds, pooled.seeds) AS seeds
FROM accuracies AS without
JOIN accuracies AS pooled USING (source, study, dataset, module, backbone, frames)
WHERE NOT without.temporal_pooling AND pooled.temporal_pooling
    AND without.top1 IS NOT NULL AND pooled.top1 IS NOT NULL;
