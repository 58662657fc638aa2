-- One row a tag that somebody gave a cell or a study (`about` says which), named as in the view `notes`.
CREATE VIEW tags AS
SELECT
    about, tag, CASE about WHEN 'study' THEN name ELSE keys.study END AS study, keys.cell,
    CASE about WHEN 'cell' THEN name END AS key, who, make_timestamp((said.time * 1e6)::BIGINT) AS tagged
FROM recorded.tags AS said
LEFT JOIN materialised.planned_keys AS keys ON about = 'cell' AND keys.key = said.name
WHERE present;

-- One row a cell (key) and tag, its own or that of a study which has it.
CREATE VIEW cell_tags AS
SELECT key, tag FROM tags WHERE about = 'cell'
UNION
SELECT study_cells.key, tag FROM tags JOIN study_cells ON study_cells.study = tags.study WHERE about = 'study';
