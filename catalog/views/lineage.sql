-- One row a planned cell (key) with its parent and what it can hand on. Accuracies in percent: `top1` is
-- that of the `checkpoint` which its study reports, `inherited_top1` that of the checkpoint that children start from;
-- `rechecked_top1` is what the cell measured of its parent before it trained, to check the file: on a few evenly spaced
-- evaluation videos, a tenth as many as it has training videos. It is not comparable with a `top1` of all of them.
CREATE VIEW lineage AS
SELECT
    planned.key, planned.parent_key, planned.cell, planned.frames, planned.config ->> '$.recipe.init' AS init,
    CASE WHEN finished.key IS NOT NULL THEN 'done' ELSE coalesce(open_cells.state, 'planned') END AS state,
    open_cells.reason, finished.epochs, finished.best_epoch,
    of_checkpoint(planned.report, finished.top1, finished.best_top1) AS top1, planned.report AS checkpoint,
    finished.best_top1, finished.eval_videos, finished.inherit,
    CASE finished.inherit WHEN 'best' THEN finished.best_top1 WHEN 'last' THEN finished.top1 END AS inherited_top1,
    finished.parent_top1_rechecked AS rechecked_top1
FROM computed.planned_cells AS planned
LEFT JOIN recorded.finished AS finished USING (key)
LEFT JOIN open_cells USING (key);

-- Where a cell's weights come from: the cell itself (step 0), its parent (step 1) and so on to the starter, which
-- has the greatest step and goes first.
CREATE MACRO lineage_of(wanted) AS TABLE
WITH RECURSIVE chain AS (
    SELECT key, parent_key, 0 AS step FROM recorded.cells WHERE key = wanted
    UNION
    SELECT parent.key, parent.parent_key, chain.step + 1
    FROM recorded.cells AS parent JOIN chain ON parent.key = chain.parent_key
)
SELECT chain.step, lineage.* FROM chain JOIN lineage USING (key) ORDER BY chain.step DESC;
