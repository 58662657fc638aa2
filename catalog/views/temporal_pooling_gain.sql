-- What temporal pooling changes (Figure 6): top-1 with it minus top-1 without it, in points, over any relation
-- with the columns of `accuracies`.
CREATE MACRO temporal_pooling_gain_of(relation) AS TABLE
WITH accuracy AS MATERIALIZED (FROM query_table(relation))
SELECT
    source, study, dataset, module, backbone, frames,
    without.top1 AS top1_without, pooled.top1 AS top1_with, pooled.top1 - without.top1 AS gain,
    least(without.seeds, pooled.seeds) AS seeds,
    without.cell AS cell_without, pooled.cell AS cell_with,
    without.experiment AS experiment_without, pooled.experiment AS experiment_with,
    without.variant AS variant, without.key AS key_without, pooled.key AS key_with,
    without.top1_std AS std_without, pooled.top1_std AS std_with,
    without.seeds AS seeds_without, pooled.seeds AS seeds_with,
    without.eval_videos AS videos_without, pooled.eval_videos AS videos_with
FROM accuracy AS without
JOIN accuracy AS pooled USING (source, study, dataset, module, backbone, frames)
WHERE NOT without.temporal_pooling AND pooled.temporal_pooling
    AND without.top1 IS NOT NULL AND pooled.top1 IS NOT NULL
    -- Only what was measured alike is compared, and trained by one recipe where a study has several; never two values
    -- of another axis.
    AND pooled.measure = without.measure AND pooled.other_axes = without.other_axes
    AND (pooled.recipe = without.recipe OR (pooled.alone AND without.alone));

CREATE VIEW temporal_pooling_gain AS FROM temporal_pooling_gain_of('accuracies');
