-- The classes of every dataset as it was built last, in label order.
CREATE VIEW classes AS
WITH latest AS (
    SELECT dataset, arg_max(classes, (time, train_hash, val_hash))::VARCHAR[] AS names
    FROM recorded.datasets_built GROUP BY dataset
)
SELECT dataset, unnest(range(len(names))) AS label, unnest(names) AS name FROM latest;

-- A cell's name and the names of its classes in label order: of the very videos that it was trained on.
CREATE VIEW cell_classes AS
WITH builds AS (
    SELECT train_hash, arg_max(classes, time)::VARCHAR[] AS names
    FROM recorded.datasets_built GROUP BY train_hash
),
planned AS (
    SELECT key, cell.cell, current, key_parts ->> '$.data.train' AS train_hash
    FROM recorded.cells AS cell JOIN materialised.planned_keys AS keys USING (key, study)
)
SELECT key, cell, current, names FROM planned LEFT JOIN builds USING (train_hash);
