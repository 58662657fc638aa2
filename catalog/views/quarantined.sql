-- One row a video that cannot be used.
CREATE VIEW quarantined AS
SELECT dataset, video ->> 'path' AS path, video ->> 'reason' AS reason
FROM (SELECT dataset, unnest(videos::JSON[]) AS video FROM recorded.quarantined);
