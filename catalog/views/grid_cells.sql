-- One row a study and cell that is planned today or finished, with its state and accuracy; without the strings
-- of `cells`, so that a million of them can be counted while somebody waits.
CREATE VIEW grid_cells AS
SELECT
    planned.study, planned.key, planned.cell, planned.module, planned.backbone, planned.temporal_pooling,
    planned.frames, planned.dataset, planned.seed,
    CASE WHEN finished.key IS NOT NULL THEN 'done' ELSE coalesce(open_cells.state, 'planned') END AS state,
    open_cells.blocked_by, open_cells.reason,
    CASE WHEN isfinite(finished.top1) THEN finished.top1 END AS top1
FROM study_cells AS planned
LEFT JOIN recorded.finished AS finished USING (key)
LEFT JOIN open_cells USING (key)
WHERE planned.current OR finished.key IS NOT NULL;

-- The grid's positions over any relation with the columns of `grid_cells`: how many cells in which state, top-1
-- averaged over those that are done, the published accuracy. `key` and `cell` are those of the cell that is most
-- worth a look: a failed one first, then a running, a blocked, a planned and a finished one, by seed;
-- `running_key` is that of a running one.
CREATE MACRO grid_of(relation) AS TABLE
WITH places AS (
    SELECT
        module, backbone, temporal_pooling, dataset, frames, count(*) AS cells,
        count(*) FILTER (state = 'done') AS done, count(*) FILTER (state = 'running') AS running,
        count(*) FILTER (state = 'failed') AS failed, count(*) FILTER (state = 'blocked') AS blocked,
        count(*) FILTER (state = 'planned') AS planned,
        avg(top1) AS top1, stddev_samp(top1) AS top1_std, count(top1) AS results,
        min(blocked_by) AS blocked_by, min(reason) AS reason,
        arg_min(key, seed) FILTER (state = 'running') AS running_key,
        arg_min(key, list_position(['failed', 'running', 'blocked', 'planned', 'done'], state) * 1e9 + seed)
            AS key,
        arg_min(cell, list_position(['failed', 'running', 'blocked', 'planned', 'done'], state) * 1e9 + seed)
            AS cell
    FROM query_table(relation) GROUP BY ALL
)
SELECT places.*, published.top1 AS published_top1, places.top1 - published.top1 AS difference
FROM places LEFT JOIN published USING (module, backbone, temporal_pooling, dataset, frames);
