"""What a worker is told of its cell: all that the study says of it, and how its parent was measured."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from orchestrator.running.cell_request import SubmissionSettings, cell_request
from orchestrator.scheduling.retry import MemoryReduction
from orchestrator.study.model import Resources
from tests.support.driver_bench import Bench, cell_result
from trainables.recipe.cell_spec import CellSpec, Evaluation, Recipe
from trainables.recipe.keep import KeepPolicy
from trainables.recipe.switches import Execution

RECIPE = Recipe(
    epochs=7,
    batch_size=24,
    accumulate=2,
    sync_bn=True,
    optimiser="adamw",
    lr=0.3,
    betas=(0.8, 0.9),
    layer_decay=0.7,
    momentum=0.5,
    weight_decay=0.1,
    nesterov=True,
    clip_norm=4.0,
    schedule="multistep",
    milestones=(2,),
    gamma=0.5,
    warmup_epochs=1,
    schedule_by="iteration",
    label_smoothing=0.1,
    mixup=0.8,
    rand_augment=2,
    rand_augment_magnitude=5.0,
    repeated_augmentation=2,
    dropout=0.1,
    drop_path=0.2,
    init="random",
    inflation="divide",
    pooling_method="avg",
    inherit="last",
    sampling="dense",
    sampling_rate=3,
    crop_size=64,
    augmentation="random_short_side",
    crop_scales=(0.9,),
    short_side_range=(70, 90),
    flip=0.25,
    precision="fp32",
    speed=Execution(channels_last="on", optimiser="foreach"),
)
EVALUATION = Evaluation(
    sampling="dense", sampling_rate=3, clips=5, crops=3, crop_size=64, short_side=80, batch_size=9
)


def test_a_worker_is_told_all_that_its_cell_says(tmp_path: Path) -> None:
    for asked, plain in ((RECIPE, Recipe()), (EVALUATION, Evaluation())):
        same = [name for name, value in asked if value == getattr(plain, name)]
        assert same == [], "what has its default value could be left out unnoticed"
    bench = Bench(tmp_path)
    item = next(run.work for run in bench.driver.cells.values() if run.work.parent_key is None)
    resources = Resources(workers=2, cpus_per_worker=3, gpus_per_worker=0.5)
    cell = replace(
        item.cell,
        recipe=RECIPE,
        evaluation=EVALUATION,
        seed=4,
        temporal_pooling=True,
        frames=32,
        resources=resources,
        keep=KeepPolicy(last=1, every=3),
        choose_on=0.1,
    )
    settings = SubmissionSettings(
        "driver", 1, parent_check=True, weights_dir="w", frames_on_local_disk=None, local=True, ray_files="r"
    )
    asked = replace(item, cell=cell, reduction=MemoryReduction(accumulation=4))
    request = cell_request(asked, 2, bench.storage, settings)
    spec = CellSpec.model_validate_json(request.spec)
    assert (spec.recipe, spec.evaluation, spec.keep) == (RECIPE, EVALUATION, KeepPolicy(last=1, every=3))
    told = (spec.module, spec.backbone, spec.temporal_pooling, spec.frames, spec.dataset, spec.seed)
    assert told == (cell.module, cell.backbone, True, 32, cell.dataset, 4)
    assert (spec.key, spec.attempt, spec.accumulation, spec.choose_on) == (item.key, 2, 4, 0.1)
    assert (spec.workers, spec.threads, spec.num_classes, spec.weights_dir) == (2, 3, 4, "w")
    assert (request.workers, request.cpus_per_worker, request.gpus_per_worker) == (2, 3, 0.5)


def test_a_parent_is_measured_again_as_it_was_measured(tmp_path: Path) -> None:
    """By its own result's protocol and length, whatever the child's study says today."""
    bench = Bench(tmp_path)
    request = bench.next()
    measured: dict[str, Any] = EVALUATION.model_dump(mode="json")
    bench.finish(request)
    result = replace(cell_result(request), evaluation=measured, frames=4)
    run_dir = bench.layout.run_dir(request.cell, request.key)
    (run_dir / "result.json").write_text(json.dumps(asdict(result)))
    while (child := CellSpec.model_validate_json(bench.next().spec)).parent is None:
        pass
    assert child.evaluation != EVALUATION
    assert child.parent is not None
    assert (child.parent.evaluation, child.parent.frames) == (EVALUATION, 4)
