-- One row a note that somebody wrote about a cell or a study (`about` says which; `note` names the note): a cell's
-- `key` and name, its study, or the study. `written` in UTC. Notes and tags decide nothing: no key changes with them.
CREATE VIEW notes AS
SELECT
    about, note, CASE about WHEN 'study' THEN name ELSE keys.study END AS study, keys.cell,
    CASE about WHEN 'cell' THEN name END AS key, text, who,
    make_timestamp((said.time * 1e6)::BIGINT) AS written
FROM recorded.notes AS said
LEFT JOIN materialised.planned_keys AS keys ON about = 'cell' AND keys.key = said.name
WHERE text <> '';
