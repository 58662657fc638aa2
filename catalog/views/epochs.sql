-- One row a cell and epoch: the one that was measured last, where an attempt repeated an epoch. `superseded` marks
-- those of superseded cells (see `results_all`).
CREATE VIEW epochs_all AS
SELECT
    epochs.key, names.cell, epochs.* EXCLUDE (key, time, writer, position),
    make_timestamp((epochs.time * 1e6)::BIGINT) AS finished, coalesce(names.current, true) AS current,
    NOT coalesce(names.current, true) AS superseded
FROM recorded.epochs AS epochs LEFT JOIN materialised.planned_keys AS names USING (key);

-- Those of the cells that studies plan today.
CREATE VIEW epochs AS SELECT * EXCLUDE (superseded) FROM epochs_all WHERE current;
