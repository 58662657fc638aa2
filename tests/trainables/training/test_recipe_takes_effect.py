"""Every switch of a recipe reaches a real cell: what it learns, from what, at which rates and statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.toy import EVALUATION, toy_spec
from tests.trainables.models.test_imagenet_weights import torchvision_model
from trainables.data.clips.loader import train_batches
from trainables.models import build_model, registry
from trainables.models.registry import BACKBONES
from trainables.models.weights import MissingWeightsError
from trainables.recipe.cell_spec import CellSpec, Evaluation, EvaluationSpec, ParentCheckpoint, Recipe
from trainables.recipe.switches import PLAIN
from trainables.training import initialise
from trainables.training.evaluate_cell import measure
from trainables.training.execution.device import Compute, Normalisation
from trainables.training.optimiser import build_optimiser, learning_rate
from trainables.training.predictions import Predictions, write_predictions
from trainables.training.result import CellResult, read_result
from trainables.training.session import CellSession
from trainables.training.step import TrainingStep, seed_everything


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def trained(spec: CellSpec) -> CellSession:
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    for epoch in range(1, spec.recipe.epochs + 1):
        session.train_epoch(epoch)
    return session


def weights_after(spec: CellSpec) -> dict[str, Tensor]:
    return dict(trained(spec).model.state_dict())


def differ(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


EFFECTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "batch_size": ({}, {"batch_size": 4}),
    "accumulate": ({}, {"accumulate": 2}),
    "lr": ({}, {"lr": 0.06}),
    "optimiser": ({"lr": 0.001}, {"optimiser": "adamw"}),
    "betas": ({"optimiser": "adamw", "lr": 0.001}, {"betas": (0.5, 0.9)}),
    "layer_decay": ({"module": "swin3d", "optimiser": "adamw", "lr": 0.001}, {"layer_decay": 0.5}),
    "warmup_epochs": ({}, {"warmup_epochs": 1}),
    "schedule_by": ({}, {"schedule_by": "iteration"}),
    "label_smoothing": ({}, {"label_smoothing": 0.2}),
    "mixup": ({}, {"mixup": 0.8}),
    "rand_augment": ({}, {"rand_augment": 2}),
    "rand_augment_magnitude": ({"rand_augment": 2}, {"rand_augment_magnitude": 2.0}),
    "repeated_augmentation": ({}, {"repeated_augmentation": 2}),
    "drop_path": ({"module": "swin3d"}, {"drop_path": 0.9}),
    "momentum": ({}, {"momentum": 0.5}),
    "weight_decay": ({}, {"weight_decay": 0.1}),
    "nesterov": ({}, {"nesterov": True}),
    "clip_norm": ({}, {"clip_norm": 0.01}),
    "schedule": ({}, {"schedule": "constant"}),
    "milestones": ({"schedule": "multistep"}, {"milestones": (1,)}),
    "gamma": ({"schedule": "multistep", "milestones": (1,)}, {"gamma": 0.5}),
    "dropout": ({}, {"dropout": 0.0}),
    "pooling_method": ({"temporal_pooling": True, "frames": 16}, {"pooling_method": "avg"}),
    "sampling": ({}, {"sampling": "uniform_shared_offset"}),
    "sampling_rate": ({"sampling": "dense"}, {"sampling_rate": 1}),
    "crop_size": ({}, {"crop_size": 40}),
    "augmentation": ({}, {"augmentation": "random_short_side", "short_side_range": (36, 40)}),
    "crop_scales": ({}, {"crop_scales": (1.0,)}),
    "short_side_range": (
        {"augmentation": "random_short_side", "short_side_range": (36, 40)},
        {"short_side_range": (50, 52)},
    ),
    "flip": ({}, {"flip": 0.0}),
    "precision": ({}, {"precision": "bf16"}),
}
# `epochs` ends the loop; `init` and `inflation` have their own tests below, `sync_bn` too; `inherit` is the
# driver's to follow (tests/orchestrator/running); `speed` has its own in `execution/`.
ELSEWHERE = {"epochs", "init", "inflation", "inherit", "sync_bn", "speed"}


def test_no_field_of_a_recipe_is_left_out_here() -> None:
    assert set(Recipe.model_fields) == set(EFFECTS) | ELSEWHERE


@pytest.mark.parametrize("field", EFFECTS)
def test_each_field_of_a_recipe_changes_what_a_cell_learns(
    field: str, toy_data: Path, tmp_path: Path
) -> None:
    common, change = EFFECTS[field]
    before = weights_after(toy_spec(toy_data, tmp_path / "before", epochs=2, **common))
    after = weights_after(toy_spec(toy_data, tmp_path / "after", epochs=2, **(common | change)))
    assert differ(before, after)


def reference(spec: CellSpec, session: CellSession, rates: list[float]) -> dict[str, Tensor]:
    """The same epochs as a plain loop around torch's own optimiser, at these learning rates."""
    torch.manual_seed(spec.seed)
    model = build_model(
        module=spec.module,
        backbone=spec.backbone,
        temporal_pooling=False,
        frames=spec.frames,
        num_classes=spec.num_classes,
        dropout=spec.recipe.dropout,
    )
    model, recipe = session.compute.place(model), spec.recipe
    optimiser = torch.optim.SGD(
        model.parameters(),
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
    where = {"seed": spec.seed, "rank": 0, "world": 1}
    for epoch, rate in enumerate(rates, 1):
        optimiser.param_groups[0]["lr"] = rate
        seed_everything(spec.seed, epoch, 0)
        model.train()
        for batch in train_batches(
            session.train_videos, recipe, spec.frames, session.reader, epoch=epoch, **where
        ):
            optimiser.zero_grad()
            clips = session.compute.inputs(batch, session.norm)
            F.cross_entropy(model(clips), batch.labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm or float("inf"))
            optimiser.step()
    return dict(model.state_dict())


def test_a_real_cell_is_a_plain_loop_at_the_schedules_rates(toy_data: Path, tmp_path: Path) -> None:
    """Rates that never reached the optimiser, or a model left in evaluation mode, would show here."""
    settings: dict[str, Any] = {"momentum": 0.8, "weight_decay": 0.01, "nesterov": True, "clip_norm": 0.5}
    settings |= {"schedule": "multistep", "milestones": (1, 2), "gamma": 0.1, "dropout": 0.3}
    spec = toy_spec(toy_data, tmp_path, module="tsn", epochs=3, **settings)
    session = trained(spec)
    expected = reference(spec, session, [0.05, 0.005, 0.0005])
    flat = reference(spec, session, [0.05, 0.05, 0.05])
    found = session.model.state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)
    moved = max((found[name] - flat[name]).abs().max().item() for name in expected if "weight" in name)
    assert moved > 1e-3, "the test could not tell a schedule from none"
    assert [row["lr"] for row in session.history] == pytest.approx([0.05, 0.005, 0.0005])


def test_a_rate_of_next_to_nothing_leaves_the_weights_where_they_are(toy_data: Path, tmp_path: Path) -> None:
    spec = toy_spec(toy_data, tmp_path, epochs=2, schedule="multistep", milestones=(1,), gamma=1e-30)
    session = CellSession.open(spec, 0, 1, 0)
    start = {name: tensor.clone() for name, tensor in session.model.named_parameters()}
    session.train_epoch(1)
    first = {name: tensor.clone() for name, tensor in session.model.named_parameters()}
    session.train_epoch(2)
    assert differ(start, first)
    assert not differ(first, dict(session.model.named_parameters()))


@pytest.mark.parametrize(
    ("recipe", "scheduler"),
    [
        (Recipe(epochs=75), lambda sgd: torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 75)),
        (
            Recipe(epochs=75, schedule="multistep"),
            lambda sgd: torch.optim.lr_scheduler.MultiStepLR(sgd, [15, 30, 45], 0.1),
        ),
        (Recipe(epochs=75, schedule="constant"), lambda sgd: torch.optim.lr_scheduler.ConstantLR(sgd, 1.0)),
    ],
)
def test_schedules_are_torchs_stepped_per_epoch(recipe: Recipe, scheduler: Any) -> None:
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    theirs = scheduler(sgd)
    for epoch in range(1, 76):
        assert learning_rate(recipe, epoch) == pytest.approx(sgd.param_groups[0]["lr"], abs=1e-12)
        sgd.step()
        theirs.step()


def test_it_learns_in_training_mode_and_measures_in_evaluation_mode(toy_data: Path, tmp_path: Path) -> None:
    session = CellSession.open(toy_spec(toy_data, tmp_path, epochs=2), 0, 1, 0)
    modes: list[bool] = []
    session.model.register_forward_pre_hook(lambda model, _: modes.append(model.training))
    session.train_epoch(1)
    session.train_epoch(2)
    # 16 videos in batches of 8 to train on, 12 in batches of 4 to measure, twice.
    assert modes == [True, True, False, False, False] * 2


@pytest.mark.parametrize(
    ("common", "change"),
    [
        ({}, {"sampling": "dense"}),
        ({"sampling": "dense"}, {"sampling_rate": 1}),
        ({}, {"clips": 2}),
        ({}, {"crops": 3}),
        ({}, {"crop_size": 30}),
        ({}, {"short_side": 44}),
    ],
)
def test_each_field_of_a_protocol_changes_what_is_measured(
    common: dict[str, Any], change: dict[str, Any], toy_data: Path, tmp_path: Path
) -> None:
    losses = []
    for name, fields in (("before", common), ("after", common | change)):
        protocol = Evaluation.model_validate(EVALUATION.model_dump() | fields)
        spec = toy_spec(toy_data, tmp_path / name, epochs=1, evaluation=protocol)
        losses.append(trained(spec).history[-1]["val_loss"])
    assert losses[0] != losses[1]


def first_convolution(state: dict[str, Tensor]) -> str:
    return next(one for one in state if one.startswith("trunk.layer1.0.conv1") and one.endswith("weight"))


def test_imagenet_weights_are_in_the_cell_that_asks_for_them(toy_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    source = torchvision_model("resnet18").state_dict()
    torch.save(source, folder / "resnet18-f37072fd.pth")
    common: dict[str, Any] = {"backbone": "resnet18", "weights_dir": str(folder)}
    for module, inflation, scale in (("tsn", "repeat", 1.0), ("i3d", "repeat", 1.0), ("i3d", "divide", 3.0)):
        changes = common | {"module": module, "init": "imagenet", "inflation": inflation}
        spec = toy_spec(toy_data, tmp_path / module / inflation, **changes)
        state = CellSession.open(spec, 0, 1, 0).model.state_dict()
        found = state[first_convolution(state)]
        found = found if module == "tsn" else found[:, :, 1]
        torch.testing.assert_close(found * scale, source["layer1.0.conv1.weight"])
    spec = toy_spec(toy_data, tmp_path / "random", module="tsn", init="random", **common)
    state = CellSession.open(spec, 0, 1, 0).model.state_dict()
    assert not torch.equal(state[first_convolution(state)], source["layer1.0.conv1.weight"])


def test_weights_that_are_not_to_be_had_are_no_reason_to_start_from_random_ones(
    toy_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(MissingWeightsError):
        CellSession.open(toy_spec(toy_data, tmp_path, init="imagenet"), 0, 1, 0)


RESNETS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("backbone", "statistics"),
    [("inception_v1", HALVES), ("resnet18", RESNETS), ("resnet50", RESNETS), ("resnet101", RESNETS)],
)
def test_pictures_are_normalised_as_the_backbone_was_pretrained(
    backbone: str, statistics: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    """docs/protocol.md §1."""
    norm = Normalisation.of("tsn", backbone)
    assert (norm.mean, norm.std) == statistics
    clips = torch.full((1, 3, 2, 4, 4), 255.0)
    found = Compute(torch.device("cpu"), bf16=False).normalise(clips, norm)[0, :, 0, 0, 0]
    expected = [(1.0 - mean) / std for mean, std in zip(*statistics, strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.fixture
def norms(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Normalisation]]:
    """The statistics that clips are normalised with, where `tiny` has some of its own."""
    own = replace(BACKBONES["tiny"], input_mean=(0.1, 0.2, 0.3), input_std=(0.4, 0.5, 0.6))
    monkeypatch.setattr(registry, "backbone_info", lambda name: own if name == "tiny" else BACKBONES[name])
    used: list[Normalisation] = []
    normalise = Compute.normalise

    def noted(self: Compute, clips: Tensor, norm: Normalisation) -> Tensor:
        used.append(norm)
        return normalise(self, clips, norm)

    monkeypatch.setattr(Compute, "normalise", noted)
    yield used
    assert used and set(used) == {Normalisation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))}


def finished(spec: CellSpec) -> CellResult:
    trained(spec).finish()
    result = read_result(Path(spec.run_dir), spec.key)
    assert result is not None
    return result


def parent_of(spec: CellSpec, result: CellResult) -> ParentCheckpoint:
    chosen, folder = result.checkpoint("last"), Path(spec.run_dir)
    return ParentCheckpoint(
        key=spec.key,
        cell=spec.cell,
        path=str(folder / chosen["path"]),
        sha256=chosen["sha256"],
        frames=spec.frames,
        epoch=int(chosen["epoch"]),
        evaluation=EVALUATION,
        predictions_path=str(folder / chosen["predictions"]),
        recheck_videos=12,
    )


def test_training_measuring_rechecking_and_evaluating_use_the_backbones_statistics(
    norms: list[Normalisation], toy_data: Path, tmp_path: Path
) -> None:
    spec = toy_spec(toy_data, tmp_path / "parent", epochs=1)
    result = finished(spec)
    assert len(norms) == 5, "two batches trained, three measured"
    child = toy_spec(toy_data, tmp_path / "child", frames=16, parent=parent_of(spec, result))
    CellSession.open(child, 0, 1, 0)
    assert len(norms) == 8, "the parent was measured again"
    chosen = result.checkpoint("last")
    asked = EvaluationSpec(
        cell=spec,
        identity="e" * 32,
        checkpoint=str(tmp_path / "parent" / chosen["path"]),
        sha256=chosen["sha256"],
        which="last",
        epoch=1,
        average="logits",
        split="val",
        videos_hash="v",
    )
    assert measure(asked, 0, 1, 0) is not None
    assert len(norms) == 11


def recorded_parent(folder: Path, videos: int, asked: int) -> tuple[Predictions, ParentCheckpoint]:
    """A parent whose first class is right of every video, and of which so many are to be measured again."""
    index = torch.arange(videos).numpy()
    recorded = Predictions(
        index=index,
        label=index % 4,
        top=(index % 4)[:, None],
        scores=index[:, None].astype("float32"),
        loss=index.astype("float64"),
        view_top=index[:, None][:, :0],
        view_score=index[:, None][:, :0].astype("float32"),
    )
    write_predictions(recorded, folder / "recorded.parquet")
    values: dict[str, Any] = {"key": "p", "cell": "parent", "path": "p.pt", "sha256": "0", "frames": 8}
    values |= {"epoch": 1, "evaluation": EVALUATION, "recheck_videos": asked}
    return recorded, ParentCheckpoint(predictions_path=str(folder / "recorded.parquet"), **values)


@pytest.mark.parametrize(("count", "allowed"), [(12, 1), (100, 1), (101, 2), (250, 3), (1000, 10)])
def test_a_parent_may_differ_in_one_percent_of_its_predictions_and_no_more(
    count: int, allowed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorded, parent = recorded_parent(tmp_path, count, count)
    monkeypatch.setattr(initialise, "eval_batches", lambda *_, **__: iter(()))

    def recheck(changed: int) -> float | None:
        top = recorded.top.copy()
        top[:changed] += 1
        monkeypatch.setattr(initialise, "predict", lambda *_: replace(recorded, top=top))
        nothing: Any = None
        return initialise.recheck(nothing, parent, (nothing,) * count, nothing, nothing, nothing, 1)

    assert recheck(allowed) == pytest.approx(100.0 * (count - allowed) / count)
    with pytest.raises(initialise.ParentMismatchError, match=f"{allowed + 1} predictions differ"):
        recheck(allowed + 1)


@pytest.mark.parametrize(("count", "asked"), [(101, 5), (37, 29)])
def test_a_parent_is_measured_again_on_videos_of_the_whole_set(
    count: int, asked: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Manifests go class by class: the first videos would be of one class alone."""
    recorded, parent = recorded_parent(tmp_path, count, asked)
    rows = [place * (count - 1) // (asked - 1) for place in range(asked)]
    wanted: list[tuple[Any, ...]] = []

    def batches(videos: tuple[Any, ...], evaluation: Evaluation, frames: int, *_: Any, **__: Any) -> None:
        wanted.append((videos, evaluation, frames))

    def predict(*_: Any) -> Predictions:
        return replace(recorded, label=recorded.label[rows], top=recorded.top[rows])

    monkeypatch.setattr(initialise, "eval_batches", batches)
    monkeypatch.setattr(initialise, "predict", predict)
    nothing: Any = None
    videos: Any = tuple(range(count))
    assert initialise.recheck(nothing, parent, videos, nothing, nothing, nothing, 1) == 100.0
    assert wanted == [(tuple(rows), EVALUATION, 8)]


def norm_layers(network: nn.Module) -> list[nn.Module]:
    return [one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]


@pytest.mark.parametrize("module", ["tsn", "i3d"])
@pytest.mark.parametrize("sync_bn", [True, False])
def test_batch_statistics_are_shared_exactly_where_the_recipe_says_so(
    module: str, sync_bn: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wrapped as on GPUs, without one: only the wrapping itself, which wants a process group, is left out."""
    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", lambda network, device_ids: network)
    spec = toy_spec(tmp_path, tmp_path, module=module, sync_bn=sync_bn)
    model = build_model(module=module, backbone="tiny", temporal_pooling=False, frames=8, num_classes=4)
    optimiser = build_optimiser(model, spec.recipe)
    on_a_gpu = Compute(torch.device("cuda", 0), bf16=False, switches=PLAIN)
    norm = Normalisation.of("tsn", "tiny")
    step = TrainingStep.create(spec, model, optimiser, on_a_gpu, norm, world=2)
    layers = norm_layers(step.network)
    assert layers and {isinstance(one, nn.SyncBatchNorm) for one in layers} == {sync_bn}
    # The optimiser steps the parameters of what is trained, and what is trained is what is evaluated.
    trained = {id(one) for one in step.network.parameters()}
    assert trained == {id(one) for one in optimiser._parameters} == {id(one) for one in model.parameters()}
    buffers = {id(one) for one in step.network.buffers()}
    assert buffers == {id(one) for one in model.buffers()}


def test_shared_batch_statistics_on_a_cpu_are_refused(tmp_path: Path) -> None:
    spec = toy_spec(tmp_path, tmp_path, sync_bn=True)
    model = build_model(module="tsn", backbone="tiny", temporal_pooling=False, frames=8, num_classes=4)
    compute, norm = Compute(torch.device("cpu"), bf16=False), Normalisation.of("tsn", "tiny")
    with pytest.raises(ValueError, match="sync_bn"):
        TrainingStep.create(spec, model, build_optimiser(model, spec.recipe), compute, norm, world=2)


def test_best_is_the_best_epochs_checkpoint_and_last_the_last_ones(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four epochs whose second one measures best: its files are kept and named, under their own checksums."""
    top1 = {1: 10.0, 2: 50.0, 3: 20.0, 4: 30.0}
    epochs = iter(top1)
    now = 0

    def accuracy(_: Predictions, k: int) -> float:
        nonlocal now
        if k == 1:
            now = next(epochs)
        return top1[now]

    monkeypatch.setattr(Predictions, "accuracy", accuracy)
    spec = toy_spec(toy_data, tmp_path, epochs=4)
    result = finished(spec)
    assert (result.best_epoch, result.last_epoch) == (2, 4)
    best, last = result.checkpoint("best"), result.checkpoint("last")
    assert (best["epoch"], best["path"], best["predictions"]) == ("2", "epoch-0002.pt", "epoch-0002.parquet")
    assert (last["epoch"], last["path"], last["predictions"]) == ("4", "epoch-0004.pt", "epoch-0004.parquet")
    from catalog.storage.atomic import sha256_of

    assert [sha256_of(tmp_path / one["path"]) for one in (best, last)] == [best["sha256"], last["sha256"]]
    assert best["sha256"] != last["sha256"]
