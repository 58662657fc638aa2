-- Wilson's 95 % interval of an accuracy `top1` (percent) that was measured on `videos` videos, in percent.
CREATE MACRO wilson_low(top1, videos) AS
    100 * (top1 / 100 + 1.9207 / videos
        - 1.96 * sqrt(greatest(top1 / 100 * (1 - top1 / 100), 0) / videos + 0.9604 / (videos * videos)))
    / (1 + 3.8415 / videos);
CREATE MACRO wilson_high(top1, videos) AS
    100 * (top1 / 100 + 1.9207 / videos
        + 1.96 * sqrt(greatest(top1 / 100 * (1 - top1 / 100), 0) / videos + 0.9604 / (videos * videos)))
    / (1 + 3.8415 / videos);

-- The 97.5 % quantile of Student's t with `freedom` degrees of freedom; above ten by Fisher and Cornish (1960).
CREATE MACRO t_quantile(freedom) AS CASE
    WHEN freedom <= 10
        THEN [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281][freedom]
    ELSE 1.95996 + 2.37228 / freedom + 2.82250 / freedom ** 2 + 2.5558 / freedom ** 3
END;

-- One's own accuracies beside the published ones, over any relation with the columns of `accuracies`: the
-- difference (own - published, points of top-1) and the 95 % interval in which the true difference lies.
-- `low` and `high` are Newcombe's interval of the difference of two proportions, both taken to be measured on
-- `eval_videos` videos (of what is comparable, `published_videos` are as many within the tolerance); where several
-- seeds are known, their spread s widens it by t s √(1 + 1/seeds), t of seeds - 1 degrees of freedom, because the
-- published result is one training too. `outside`: the interval does not hold 0.
-- Only where `comparable` says so (view `counterparts_of`) is the difference one of models; else it is what `differs` names
-- as well.
CREATE MACRO against_published_of(relation) AS TABLE
WITH accuracy AS MATERIALIZED (FROM query_table(relation)),
pairs AS (
    SELECT
        own.study, own.dataset, own.module, own.backbone, own.temporal_pooling, own.frames, own.cell,
        own.top1, published_top1, published_videos, own.top1 - published_top1 AS difference,
        own.seeds, own.top1_std, own.eval_videos,
        coalesce(t_quantile(own.seeds - 1) * own.top1_std, 0) * sqrt(1 + 1 / own.seeds) AS spread,
        paper, source_table, source_row, comparable, differs, tolerated, not_stated, own.variant, own.checkpoint,
        own.experiment
    FROM accuracy AS own
    JOIN materialised.comparisons
        USING (study, dataset, module, backbone, temporal_pooling, frames, experiment)
    WHERE own.source = 'own' AND own.top1 IS NOT NULL AND own.eval_videos > 0
)
SELECT
    * EXCLUDE (
        spread, paper, source_table, source_row, comparable, differs, tolerated, not_stated, variant, checkpoint,
        experiment
    ),
    difference - sqrt(
        (top1 - wilson_low(top1, eval_videos)) ** 2
        + (wilson_high(published_top1, eval_videos) - published_top1) ** 2 + spread ** 2
    ) AS low,
    difference + sqrt(
        (wilson_high(top1, eval_videos) - top1) ** 2
        + (published_top1 - wilson_low(published_top1, eval_videos)) ** 2 + spread ** 2
    ) AS high,
    low > 0 OR high < 0 AS outside,
    paper, source_table, source_row, comparable, differs, tolerated, not_stated, variant, checkpoint, experiment
FROM pairs;

CREATE VIEW against_published AS FROM against_published_of('accuracies');
