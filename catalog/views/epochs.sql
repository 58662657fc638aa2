-- One row a cell and epoch: the one that was measured last, where an attempt repeated an epoch. `current` is
-- false for superseded cells (see `results_all`).
CREATE VIEW epochs AS
SELECT
    epochs.key, names.cell, epochs.* EXCLUDE (key, time, writer, position),
    make_timestamp((epochs.time * 1e6)::BIGINT) AS finished, coalesce(names.current, true) AS current
FROM recorded.epochs AS epochs LEFT JOIN materialised.planned_keys AS names USING (key);
