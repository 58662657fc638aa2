-- One row a study and cell that is planned today or finished.
CREATE VIEW computed.grid_cells AS
WITH planned AS NOT MATERIALIZED (
    SELECT
        named.*, finished.key IS NOT NULL AS done, finished.eval_videos,
        of_checkpoint(named.report, finished.top1, finished.best_top1) AS reported_top1
    FROM computed.study_cells AS named LEFT JOIN recorded.finished AS finished USING (key)
    WHERE named.current OR finished.key IS NOT NULL
),
-- Few keys stand in several studies, so that only for them the studies are compared.
several AS (SELECT key FROM materialised.planned_keys WHERE len(studies) > 1),
shared AS (
    SELECT key, coalesce(min(study) FILTER (current), min(study)) AS first
    FROM planned SEMI JOIN several USING (key) GROUP BY key
)
SELECT
    planned.study, planned.key, planned.cell, planned.module, planned.backbone, planned.temporal_pooling,
    planned.frames, planned.dataset, planned.seed,
    CASE WHEN done THEN 'done' ELSE coalesce(open_cells.state, 'planned') END AS state,
    open_cells.blocked_by, open_cells.reason, CASE WHEN isfinite(reported_top1) THEN reported_top1 END AS top1,
    planned.eval_videos, planned.report AS checkpoint,
    planned.study = coalesce(shared.first, planned.study) AS first_study,
    planned.other_axes, planned.current, planned.macs, planned.parent_key, planned.config
FROM planned LEFT JOIN materialised.open_cells AS open_cells USING (key) LEFT JOIN shared USING (key);

-- One row a study and cell that is planned today, as `actiongrid status` counts them, with its state and the
-- accuracy (`top1`, percent) of the `checkpoint` that its study reports; without the strings of `cells`, so that a
-- million of them can be counted while somebody waits. `first_study` is true in one row a key: that of the first of
-- its studies by name.
CREATE VIEW grid_cells AS
SELECT * EXCLUDE (current, macs, parent_key, config) FROM computed.grid_cells WHERE current;

-- The grid's positions over any relation with the columns of `grid_cells`, apart by the values of other axes: how many
-- cells in which state, and the accuracy: top-1 averaged over the seeds of one experiment (top1_std: sample standard
-- deviation). Where several have results at a position there is no average: top1 is empty, and `experiments` lists them with what tells them apart,
-- each with its mean. `difference` to the published accuracy stands only where the two are comparable; else `differs`
-- says why. `key` and `cell` are those of the cell that is most worth a look: a failed one first, then a running, a
-- blocked, a planned and a finished one, by seed; `running_key` is that of a running one.
CREATE MACRO grid_of(relation) AS TABLE
WITH cell AS MATERIALIZED (FROM query_table(relation)),
places AS (
    SELECT
        module, backbone, temporal_pooling, dataset, frames, other_axes, count(*) AS cells,
        count(*) FILTER (state = 'done') AS done, count(*) FILTER (state = 'running') AS running,
        count(*) FILTER (state = 'failed') AS failed, count(*) FILTER (state = 'blocked') AS blocked,
        count(*) FILTER (state = 'planned') AS planned,
        min(blocked_by) AS blocked_by, min(reason) AS reason,
        arg_min(key, seed) FILTER (state = 'running') AS running_key,
        arg_min(key, list_position(['failed', 'running', 'blocked', 'planned', 'done'], state) * 1e9 + seed)
            AS key,
        arg_min(cell, list_position(['failed', 'running', 'blocked', 'planned', 'done'], state) * 1e9 + seed)
            AS cell
    FROM cell GROUP BY ALL
),
measured AS MATERIALIZED (
    SELECT accuracy.* FROM cell_accuracies AS accuracy JOIN cell USING (study, key) WHERE accuracy.top1 IS NOT NULL
),
together AS MATERIALIZED (FROM across_studies_of('measured')),
mean AS MATERIALIZED (FROM mean_accuracies_of('together')),
-- One experiment can be a value of an axis in one study and what another study's recipe says anyway.
axes AS (
    SELECT DISTINCT module, backbone, temporal_pooling, dataset, frames, experiment, other_axes FROM measured
),
beside AS (
    SELECT mean.* EXCLUDE (other_axes), axes.other_axes, published_top1, published_videos, comparable, differs
    FROM mean JOIN axes USING (module, backbone, temporal_pooling, dataset, frames, experiment)
    LEFT JOIN materialised.comparisons
        USING (study, dataset, module, backbone, temporal_pooling, frames, experiment)
),
known AS (
    SELECT
        module, backbone, temporal_pooling, dataset, frames, other_axes,
        CASE WHEN count(*) = 1 THEN any_value(top1) END AS top1,
        CASE WHEN count(*) = 1 THEN any_value(top1_std) END AS top1_std,
        CASE WHEN count(*) = 1 THEN any_value(seeds) ELSE 0 END AS results,
        CASE WHEN count(*) = 1 THEN any_value(eval_videos) END AS eval_videos,
        CASE WHEN count(*) = 1 THEN any_value(checkpoint) END AS checkpoint,
        any_value(published_top1) AS published_top1, any_value(published_videos) AS published_videos,
        CASE WHEN count(*) = 1 THEN any_value(differs) END AS differs,
        CASE WHEN count(*) = 1 AND any_value(comparable) THEN any_value(top1) - any_value(published_top1) END
            AS difference,
        list({
            'variant': variant, 'top1': top1, 'top1_std': top1_std, 'seeds': seeds, 'eval_videos': eval_videos,
            'checkpoint': checkpoint, 'differs': differs
        } ORDER BY variant, top1) AS experiments
    FROM beside GROUP BY ALL
)
SELECT places.*, known.* EXCLUDE (module, backbone, temporal_pooling, dataset, frames, other_axes)
FROM places LEFT JOIN known USING (module, backbone, temporal_pooling, dataset, frames, other_axes);
