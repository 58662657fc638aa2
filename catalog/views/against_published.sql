-- One's own accuracies beside the published ones, over any relation with the columns of `accuracies`: the `difference`
-- (own - published, points of top-1). Only where `comparable` says so (view `counterparts_of`) is it one of models; else
-- it is what `differs` names as well.
CREATE MACRO against_published_of(relation) AS TABLE
SELECT
    own.study, own.dataset, own.module, own.backbone, own.temporal_pooling, own.frames, own.cell,
    own.top1, published_top1, published_videos, own.top1 - published_top1 AS difference,
    own.seeds, own.top1_std, own.eval_videos,
    paper, source_table, source_row, comparable, differs, tolerated, not_stated, own.variant, own.checkpoint,
    own.experiment
FROM query_table(relation) AS own
JOIN materialised.comparisons
    USING (study, dataset, module, backbone, temporal_pooling, frames, experiment)
WHERE own.source = 'own' AND own.top1 IS NOT NULL AND own.eval_videos > 0;

-- Those of today's studies, with the 95 % interval (`low` to `high`, points) in which the true difference lies, and
-- whether that leaves out 0 (`outside`). These three are put in when the table is filled, by the functions that figures,
-- tables and the terminal use (`dashboards.statistics.difference_to_published`): SQL has no interval of its own.
CREATE VIEW computed.against_published AS
SELECT
    COLUMNS(* EXCLUDE (
        paper, source_table, source_row, comparable, differs, tolerated, not_stated, variant, checkpoint, experiment
    )),
    NULL::DOUBLE AS low, NULL::DOUBLE AS high, NULL::BOOLEAN AS outside,
    paper, source_table, source_row, comparable, differs, tolerated, not_stated, variant, checkpoint, experiment
FROM against_published_of('accuracies');
CREATE TABLE materialised.against_published AS FROM computed.against_published WITH NO DATA;
CREATE VIEW against_published AS FROM materialised.against_published;
