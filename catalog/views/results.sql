-- Every finished cell, one row each, with its published counterpart where there is one. Accuracies in percent.
-- A training measures two models: that of its last epoch (`top1_last`, …) and that of its best one (`top1_best`,
-- …; also named `best_top1`, …): the highest top-1 on the videos that choose, see `choose_on`. `checkpoint` says which of the two
-- the study reports (its field `report`, 'last' unless it says 'best'): `top1`, `top5`, `loss`, `epoch`,
-- `difference`, `checkpoint_file`, `checkpoint_sha256`, `predictions` and `evaluation` (a name of the views
-- `evaluations` and `predictions`) are all of that one. `difference` (top1 - published_top1, points) stands only where
-- the two are comparable (view `published_counterparts`); `differs` says what keeps them from it. `precision` and `device`
-- are those of its training: with `auto` the machine decides, so results of one key may differ in them. `chosen_on`:
-- the videos that chose the best epoch. `other_axes`: by name, the values of the axes that its study has beside those
-- that are columns (`other_axes['recipe.lr']`). `parent_top1_rechecked` is a check of the file and no result: the top-1 of the
-- inherited checkpoint on a few evenly spaced evaluation videos (a tenth as many as training videos, at most all),
-- measured before training. It is never comparable with the parent's `top1`, which is over all of them.
-- `fresh`: the tensors that began at random, though others were inherited. `caveats`: what a reader must know (view `result_caveats`), '; ' between.
CREATE VIEW computed.results AS
SELECT
    coalesce(cells.cell, finished.key) AS cell, finished.key, cells.study, cells.module, cells.backbone,
    cells.temporal_pooling, cells.frames, cells.dataset, cells.seed,
    coalesce(cells.report, 'last') AS checkpoint, reported.evaluation, reported.epoch,
    reported.top1, reported.top5, reported.loss,
    finished.top1 AS top1_last, finished.top5 AS top5_last, finished.loss AS loss_last,
    finished.best_top1 AS top1_best, finished.best_top5 AS top5_best, finished.best_loss AS loss_best,
    finished.best_top1, finished.best_top5, finished.best_loss, finished.best_epoch, finished.epochs,
    finished.params, finished.macs, finished.eval_videos, finished.train_videos,
    finished.train_seconds, finished.eval_seconds,
    finished.train_clips_per_second, finished.eval_clips_per_second, finished.peak_memory_bytes,
    (cells.config ->> '$.memory.estimated_bytes')::BIGINT AS estimated_memory_bytes,
    finished.accumulation, finished.choose_on, finished.choose_videos,
    finished.inherit, finished.parent_key, finished.parent_top1_rechecked,
    array_to_string(finished.fresh::VARCHAR[], ', ') AS fresh,
    published.top1 AS published_top1, published.top5 AS published_top5, published.eval_videos AS published_videos,
    CASE WHEN comparable THEN reported.top1 - published.top1 END AS difference, differs,
    finished.attempt, make_timestamp((finished.time * 1e6)::BIGINT) AS finished,
    reported.file AS checkpoint_file, reported.sha256 AS checkpoint_sha256, reported.predictions,
    precision_of(finished.hardware) AS precision, device_of(finished.hardware) AS device,
    chosen_on(finished.choose_on) AS chosen_on,
    array_to_string([one.note FOR one IN caveats_of(
        {
            'report': cells.report, 'recipe': cells.config -> '$.recipe', 'dataset': cells.dataset,
            'workers': (cells.config ->> '$.resources.workers')::BIGINT, 'sided': sided.dataset IS NOT NULL
        },
        {'batch_size': published.batch_size, 'sync_bn': published.sync_bn},
        finished.hardware, finished.accumulation, finished.parent_key, finished.inherit, finished.choose_on
    )], '; ') AS caveats,
    finished.versions, finished.hardware, cells.config, coalesce(cells.current, true) AS current,
    coalesce(cells.other_axes, MAP {}::MAP(VARCHAR, VARCHAR)) AS other_axes
FROM recorded.finished AS finished
LEFT JOIN cells USING (key)
LEFT JOIN computed.sided_datasets AS sided ON sided.dataset = cells.dataset
JOIN computed.checkpoints AS reported
    ON reported.key = finished.key AND reported.checkpoint = coalesce(cells.report, 'last')
LEFT JOIN published_positions AS published
    ON published.study = cells.study AND published.dataset = cells.dataset AND published.module = cells.module
    AND published.backbone = cells.backbone AND published.frames = cells.frames
    AND published.temporal_pooling = cells.temporal_pooling
LEFT JOIN (SELECT study, key, experiment FROM cell_accuracies WHERE source = 'own') AS measured
    ON measured.study = cells.study AND measured.key = finished.key
LEFT JOIN materialised.comparisons AS comparison
    ON comparison.study = cells.study AND comparison.dataset = cells.dataset AND comparison.module = cells.module
    AND comparison.backbone = cells.backbone AND comparison.temporal_pooling = cells.temporal_pooling
    AND comparison.frames = cells.frames AND comparison.experiment = measured.experiment;

-- One row a finished cell that a study plans today: no cell of a study stands here twice. What is superseded is in
-- `results_all`. A result whose plan no journal holds counts as current.
CREATE VIEW results AS FROM computed.results WHERE current;

-- The rows of `results` and, marked, those that are `superseded`: results of a study as it was before it was
-- changed and submitted again. `superseded_by` is the key that the study has today for a cell of this name, trained
-- or not; it is empty where the study has no such cell any more.
CREATE VIEW results_all AS
SELECT all_results.*, NOT all_results.current AS superseded, successor.key AS superseded_by
FROM computed.results AS all_results
LEFT JOIN (SELECT study, cell, key FROM study_cells WHERE current) AS successor
    ON NOT all_results.current AND successor.study = all_results.study AND successor.cell = all_results.cell;
