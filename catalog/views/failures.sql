-- Cells of today's plans that failed or are blocked, and why. `log` is the path of the failed attempt's log.
CREATE VIEW failures AS
SELECT cell, key, study, state, reason, attempts, log
FROM cells WHERE state IN ('failed', 'blocked') AND current;
