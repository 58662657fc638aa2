-- One row a command to the drivers of a study: pause, resume or cancel the cells that match the pattern `cells`, or
-- retry those of them that failed.
-- `in_force` is false for those that were given before the study was submitted last: that clears them.
CREATE VIEW controls AS
WITH latest AS (SELECT study, max(time) AS time FROM recorded.studies GROUP BY study)
SELECT
    controls.study, action, cells, who, make_timestamp((controls.time * 1e6)::BIGINT) AS given,
    latest.time IS NULL OR controls.time > latest.time AS in_force
FROM recorded.controls AS controls LEFT JOIN latest USING (study);
