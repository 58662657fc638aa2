-- One row a finished cell, with its published counterpart where there is one. Accuracies in percent;
-- top1, top5 and loss are the last epoch's; `difference` is top1 - published_top1 in points.
CREATE VIEW results AS
SELECT
    coalesce(cells.cell, finished.key) AS cell, finished.key, cells.study, cells.module, cells.backbone,
    cells.temporal_pooling, cells.frames, cells.dataset, cells.seed,
    finished.top1, finished.top5, finished.loss,
    finished.best_top1, finished.best_top5, finished.best_loss, finished.best_epoch, finished.epochs,
    finished.params, finished.macs, finished.eval_videos, finished.train_videos,
    finished.train_seconds, finished.eval_seconds,
    finished.train_clips_per_second, finished.eval_clips_per_second, finished.peak_memory_bytes,
    (cells.config ->> '$.memory.estimated_bytes')::BIGINT AS estimated_memory_bytes,
    finished.accumulation, finished.choose_on, finished.choose_videos,
    finished.inherit, finished.parent_key, finished.parent_top1_rechecked,
    published.top1 AS published_top1, published.top5 AS published_top5,
    finished.top1 - published.top1 AS difference,
    finished.attempt, make_timestamp((finished.time * 1e6)::BIGINT) AS finished,
    finished.checkpoint, finished.checkpoint_sha256, finished.predictions,
    finished.versions, finished.hardware, cells.config, cells.current
FROM recorded.finished AS finished
LEFT JOIN cells USING (key)
LEFT JOIN published
    ON published.dataset = cells.dataset AND published.module = cells.module
    AND published.backbone = cells.backbone AND published.frames = cells.frames
    AND published.temporal_pooling = cells.temporal_pooling;
