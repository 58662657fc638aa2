-- One row a cell and epoch: the one that was measured last, where an attempt repeated an epoch.
CREATE VIEW epochs AS
SELECT
    epochs.key, names.cell, epochs.* EXCLUDE (key, time, writer, position),
    make_timestamp((epochs.time * 1e6)::BIGINT) AS finished
FROM recorded.epochs AS epochs LEFT JOIN materialised.planned_keys AS names USING (key);
