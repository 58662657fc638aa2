-- One row a named view of the page Explore: `search` is its address from the `?` on.
CREATE VIEW saved_views AS
SELECT "view", search, who, make_timestamp((time * 1e6)::BIGINT) AS saved
FROM recorded.saved_views WHERE present;
