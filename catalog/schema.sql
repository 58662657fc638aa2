-- What the journals say, one table an event type, one row a fact, as `identity` in catalog/events.py names it (the
-- merging holds it: indexes of many rows cost more than they give). `time`, `writer` and `position` (the byte
-- offset in the writer's journal) say which event the row comes from; of two with one key the later one holds,
-- in `epochs` and `finished` that of the later attempt.
-- States are VARCHAR because an ENUM cannot grow, and there are no foreign keys because they block upserts.
CREATE SCHEMA recorded;

CREATE TABLE recorded.studies (
    study VARCHAR, submission VARCHAR, cells BIGINT, file VARCHAR, config JSON,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.cells (
    key VARCHAR, cell VARCHAR, parent_key VARCHAR, study VARCHAR, module VARCHAR, backbone VARCHAR,
    temporal_pooling BOOLEAN, frames BIGINT, dataset VARCHAR, seed BIGINT, params BIGINT, macs BIGINT,
    key_parts JSON, config JSON, submission VARCHAR, num_classes BIGINT,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.attempts_started (
    key VARCHAR, attempt BIGINT, driver VARCHAR, host VARCHAR, run_dir VARCHAR, accumulation BIGINT,
    alone BOOLEAN,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.epochs (
    key VARCHAR, epoch BIGINT, attempt BIGINT, train_loss DOUBLE, train_top1 DOUBLE, lr DOUBLE, val_loss DOUBLE,
    top1 DOUBLE, top5 DOUBLE, clips_per_second DOUBLE, seconds DOUBLE, choose_top1 DOUBLE, choose_loss DOUBLE,
    wait_seconds DOUBLE, cpu_seconds DOUBLE, resident_bytes DOUBLE, peak_memory_bytes DOUBLE, gpu_percent DOUBLE,
    grad_norm DOUBLE,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.attempts_ended (
    key VARCHAR, attempt BIGINT, state VARCHAR, error VARCHAR, log VARCHAR,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.finished (
    key VARCHAR, attempt BIGINT, epochs BIGINT, best_epoch BIGINT, top1 DOUBLE, top5 DOUBLE,
    loss DOUBLE, best_top1 DOUBLE, best_top5 DOUBLE, best_loss DOUBLE, eval_videos BIGINT, train_videos BIGINT,
    train_seconds DOUBLE, eval_seconds DOUBLE, train_clips_per_second DOUBLE, eval_clips_per_second DOUBLE,
    peak_memory_bytes BIGINT, params BIGINT, macs BIGINT, inherit VARCHAR, parent_key VARCHAR,
    parent_top1_rechecked DOUBLE, checkpoint VARCHAR, checkpoint_sha256 VARCHAR, predictions VARCHAR,
    versions JSON, hardware JSON, evaluation VARCHAR, accumulation BIGINT, choose_on DOUBLE,
    choose_videos BIGINT, checkpoints JSON, protocol JSON, videos_hash VARCHAR, fresh JSON,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.failed (
    key VARCHAR, attempt BIGINT, error VARCHAR, log VARCHAR,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.times_to_go (
    study VARCHAR, seconds DOUBLE, low DOUBLE, high DOUBLE,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.checkpoints_removed (
    key VARCHAR, epoch BIGINT, keep VARCHAR,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.quarantined (
    dataset VARCHAR, count BIGINT, videos JSON,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.datasets_built (
    dataset VARCHAR, manifest VARCHAR, train_hash VARCHAR, val_hash VARCHAR, classes JSON, videos JSON,
    frames BIGINT, frame_format VARCHAR, quarantined BIGINT,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.evaluations (
    key VARCHAR, evaluation VARCHAR, checkpoint VARCHAR, epoch BIGINT, checkpoint_sha256 VARCHAR,
    sampling VARCHAR, sampling_rate BIGINT, clips BIGINT, crops BIGINT, crop_size BIGINT, short_side BIGINT,
    average VARCHAR, split VARCHAR, videos_hash VARCHAR, top1 DOUBLE, top5 DOUBLE, loss DOUBLE, videos BIGINT,
    views BIGINT, seconds DOUBLE, predictions VARCHAR, versions JSON, hardware JSON,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.controls (
    study VARCHAR, command VARCHAR, action VARCHAR, cells VARCHAR, who VARCHAR,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.notes (
    note VARCHAR, about VARCHAR, name VARCHAR, text VARCHAR, who VARCHAR,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.tags (
    about VARCHAR, name VARCHAR, tag VARCHAR, present BOOLEAN, who VARCHAR,
    time DOUBLE, writer VARCHAR, position BIGINT
);

CREATE TABLE recorded.saved_views (
    "view" VARCHAR, search VARCHAR, present BOOLEAN, who VARCHAR,
    time DOUBLE, writer VARCHAR, position BIGINT
);

-- What Parquet files of predictions say: filled when a query first needs it (catalog/predictions.py), never part
-- of a snapshot. `file` stands for a key and an evaluation (or two, where the last epoch is the best one), because names
-- of every row would fill the memory. `current_prediction_files` are those of `computed.current_evaluations`: what
-- reads them alone needs no other file.
CREATE SCHEMA loaded;

CREATE TABLE loaded.prediction_files (
    file INTEGER, key VARCHAR, evaluation VARCHAR, checkpoint VARCHAR, split VARCHAR, PRIMARY KEY (key, evaluation)
);

CREATE TABLE loaded.current_prediction_files (
    file INTEGER, key VARCHAR, evaluation VARCHAR, checkpoint VARCHAR, split VARCHAR
);

CREATE TABLE loaded.predictions (
    file INTEGER, index INTEGER, video VARCHAR, label INTEGER, predicted INTEGER, top INTEGER[], scores FLOAT[],
    loss DOUBLE
);

CREATE TABLE loaded.view_predictions (file INTEGER, index INTEGER, view_top INTEGER[], view_scores FLOAT[]);

-- The 95 % interval (percent) of `correct` of `videos` videos, for every class of the files that are loaded: SQL has no
-- interval of its own (catalog/predictions.py fills it when a question by class is asked).
CREATE TABLE loaded.class_intervals (videos BIGINT, correct BIGINT, top1_low DOUBLE, top1_high DOUBLE);

-- Rows that follow from others and that many questions share: tables of the schema `materialised`, each filled from
-- the view of its name in `computed` when a query needs it and its sources have changed (catalog/definitions.py).
-- A view of this name in `main` is what people ask. Views in `computed` name the schema of what they read there:
-- a bare name would mean the one in `computed`.
CREATE SCHEMA computed;
CREATE SCHEMA materialised;

-- How far attempts have come: the one table of `materialised` that grows with the events, so that no question about
-- attempts has to read all epochs (catalog/projection.py).
CREATE TABLE materialised.attempt_epochs (
    key VARCHAR, attempt BIGINT, first_epoch BIGINT, last_epoch BIGINT, first_time DOUBLE, last_time DOUBLE
);

-- Results from the literature (catalog/published/*.csv): top1 and top5 in percent, macs of one clip. What is known of
-- how each was trained and measured stands beside it and is empty where it is not stated; `starts_from` is how many
-- frames the model has that it was started from, 0 where there was none.
CREATE TABLE published (
    dataset VARCHAR, module VARCHAR, backbone VARCHAR, temporal_pooling BOOLEAN, frames BIGINT,
    top1 DOUBLE, top5 DOUBLE, macs BIGINT, params BIGINT, epochs BIGINT, batch_size BIGINT, sync_bn BOOLEAN,
    lr_schedule VARCHAR, paper VARCHAR, source_table VARCHAR, source_row VARCHAR,
    sampling VARCHAR, clips BIGINT, crops BIGINT, crop_size BIGINT, short_side BIGINT, trained_sampling VARCHAR,
    trained_crop_size BIGINT, lr DOUBLE, momentum DOUBLE, weight_decay DOUBLE, dropout DOUBLE, init VARCHAR,
    starts_from BIGINT, checkpoint VARCHAR,
    PRIMARY KEY (dataset, module, backbone, temporal_pooling, frames)
);

CREATE TABLE published_contributions (
    dataset VARCHAR, metric VARCHAR, module VARCHAR, value DOUBLE, paper VARCHAR, source_table VARCHAR,
    PRIMARY KEY (dataset, metric, module)
);

-- `val_videos`: on how many validation videos the paper's accuracies were measured.
CREATE TABLE published_datasets (
    dataset VARCHAR PRIMARY KEY, num_classes BIGINT, val_videos BIGINT, paper VARCHAR
);

-- Numbers that the paper prints in Tables 2 to 6 and about its figures, one row a number: where it stands
-- (source_table, source_row, source_column) and what it was measured on. Empty where the paper does not say.
-- `value` is in `unit`; `flops_g` is the printed cost of one clip in billions (multiply-accumulates).
CREATE TABLE published_numbers (
    paper VARCHAR, source_table VARCHAR, source_row VARCHAR, source_column VARCHAR, model VARCHAR,
    module VARCHAR, backbone VARCHAR, temporal_pooling BOOLEAN, frames BIGINT, pretrain VARCHAR,
    dataset VARCHAR, sampling VARCHAR, clips BIGINT, crops BIGINT, metric VARCHAR, value DOUBLE, unit VARCHAR,
    flops_g DOUBLE, note VARCHAR,
    sampling_rate BIGINT, crop_size BIGINT, short_side BIGINT, trained_sampling VARCHAR, trained_crop_size BIGINT,
    epochs BIGINT, batch_size BIGINT, sync_bn BOOLEAN, lr_schedule VARCHAR, lr DOUBLE, momentum DOUBLE,
    weight_decay DOUBLE, dropout DOUBLE, init VARCHAR, starts_from BIGINT, checkpoint VARCHAR,
    PRIMARY KEY (source_table, source_row, source_column)
);

-- Which names in the literature and in studies mean the same official dataset, and how many videos it has.
CREATE TABLE dataset_identities (
    name VARCHAR PRIMARY KEY, identity VARCHAR, train_videos BIGINT, eval_videos BIGINT
);

-- How far a number may lie from the published one and still be compared: a `share` of it, or a `factor`.
CREATE TABLE comparison_tolerances (
    field VARCHAR PRIMARY KEY, tolerance DOUBLE, meaning VARCHAR, reason VARCHAR
);
