"""Every fast path that a CPU has gives what the plain one gives; none is on unless it is asked for."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from benchmarks.train_step_reference import as_reference
from tests.support.toy import toy_spec
from tests.trainables.training.test_session import train, weights
from trainables.models import build_model
from trainables.models.memory_estimate import saved_for_backward
from trainables.models.modules.tam import TemporalAggregation
from trainables.models.recompute import RecomputableBlock, recompute_blocks
from trainables.models.video_model import VideoModel
from trainables.recipe.cell_spec import Recipe
from trainables.recipe.switches import Execution, Switches
from trainables.training.execution.compiled import Compiled, build_forward
from trainables.training.execution.device import Compute, Normalisation, _constants, is_out_of_memory
from trainables.training.session import CellSession
from trainables.training.step import TrainingStep

CPU = torch.device("cpu")


def tiny(module: str = "tam", backbone: str = "tiny", pooled: bool = False) -> VideoModel:
    torch.manual_seed(0)
    return build_model(
        module=module, backbone=backbone, temporal_pooling=pooled, frames=8, num_classes=4, dropout=0.5
    )


def clips(count: int = 3, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    # One class more often than the others, or the gradients of the bias would cancel to mere roundings.
    return torch.randn(count, 3, 8, size, size, generator=generator), torch.arange(count) % 3


def state_after(
    model: nn.Module, steps: int = 3, pieces: int = 1, recipe: Recipe | None = None, **switches: Any
) -> dict[str, torch.Tensor]:
    """Parameters, BN's statistics and gradients after some steps on the same clips."""
    torch.set_num_threads(1)
    compute = Compute(CPU, bf16=False, switches=Switches(**switches))
    placed = compute.place(model)  # type: ignore[arg-type]
    step = TrainingStep.alone(
        placed.train(), recipe or Recipe(lr=0.05), compute, Normalisation.of("tsn", "tiny")
    )
    pixels, labels = clips(4)
    for number in range(steps):
        torch.manual_seed(number)
        step.learn(list(zip(pixels.chunk(pieces), labels.chunk(pieces), strict=True)), len(labels))
    gradients = {f"grad {name}": one.grad for name, one in model.named_parameters() if one.grad is not None}
    return {**model.state_dict(), **gradients}


def assert_same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def assert_close(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor], rtol: float) -> None:
    """Every tensor within `rtol` of its own largest value."""
    assert one.keys() == other.keys()
    for name in one:
        largest = float(one[name].abs().max()) if one[name].numel() else 0.0
        torch.testing.assert_close(
            other[name],
            one[name],
            rtol=rtol,
            atol=rtol * largest,
            msg=lambda said, name=name: f"{name}: {said}",
        )


@pytest.mark.parametrize(("module", "backbone"), [("tam", "tiny"), ("i3d", "tiny"), ("tsn", "inception_v1")])
def test_recomputed_activations_change_no_bit_and_are_not_kept(module: str, backbone: str) -> None:
    size = {"tiny": 32, "inception_v1": 64}[backbone]
    plain, spared = tiny(module, backbone), tiny(module, backbone)
    recompute_blocks(spared)
    pixels, labels = clips(2, size)
    kept = [saved_for_backward(model.train(), pixels, labels).all for model in (plain, spared)]
    # The saved inputs of blocks are all that a pass with hooks sees of them.
    assert kept[1] < 0.65 * kept[0]
    if backbone == "tiny":
        assert_same(state_after(tiny(module)), state_after(tiny(module), checkpoint_activations=True))


def test_without_care_bn_would_count_a_recomputed_batch_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = state_after(tiny())
    monkeypatch.setattr(RecomputableBlock, "_contexts", _no_contexts)
    careless = state_after(tiny(), checkpoint_activations=True)
    wrong = {name for name in plain if not torch.equal(plain[name], careless[name])}
    assert wrong
    assert all("running" in name or "num_batches" in name for name in wrong)


def _no_contexts(_: object) -> tuple[Any, Any]:
    from contextlib import nullcontext

    return nullcontext(), nullcontext()


def test_lists_of_parameters_are_stepped_as_single_ones_are_to_the_bit() -> None:
    recipe = Recipe(lr=0.05, nesterov=True)
    assert_same(state_after(tiny(), recipe=recipe), state_after(tiny(), recipe=recipe, optimiser="foreach"))


def test_the_fused_step_is_within_rounding() -> None:
    recipe = Recipe(lr=0.05, nesterov=True)
    assert_close(
        state_after(tiny(), recipe=recipe), state_after(tiny(), recipe=recipe, optimiser="fused"), 1e-5
    )


@pytest.mark.parametrize("kernels", ["foreach", "fused"])
def test_a_parameter_that_joins_late_is_stepped_too(kernels: Any) -> None:
    from trainables.training.optimiser import Sgd

    first, late = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    sgd = Sgd([first, late], lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=False, kernels=kernels)
    for parameters in ([first], [first, late]):
        for one in parameters:
            one.grad = torch.ones(3)
        sgd.step()
    assert torch.allclose(late, torch.full((3,), 0.9))
    assert torch.allclose(first, torch.full((3,), 1 - 0.1 - 0.1 * 1.9))


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_gradients_that_stay_in_place_are_the_same(pieces: int, clip_norm: float | None) -> None:
    """What recorded backward passes need; the optimiser knows them by `cuda_graphs`."""
    from trainables.training.optimiser import build_optimiser

    recipe = Recipe(lr=0.05, clip_norm=clip_norm)
    expected = state_after(tiny(), pieces=pieces, recipe=recipe)
    model = Compute(CPU, bf16=False).place(tiny()).train()
    step = TrainingStep.alone(model, recipe, Compute(CPU, bf16=False), Normalisation.of("tsn", "tiny"))
    kept = build_optimiser(model, recipe, Switches(cuda_graphs=True))
    step = TrainingStep(step.network, step.forward, kept, step.compute, step.norm, step.pieces, step.recipe)
    pixels, labels = clips(4)
    places = set()
    for number in range(3):
        torch.manual_seed(number)
        step.learn(list(zip(pixels.chunk(pieces), labels.chunk(pieces), strict=True)), 4)
        places.add(tuple(one.grad.data_ptr() for one in model.parameters() if one.grad is not None))
    assert len(places) == 1
    gradients = {f"grad {name}": one.grad for name, one in model.named_parameters() if one.grad is not None}
    assert_same(expected, {**model.state_dict(), **gradients})


def test_the_other_layout_computes_the_same() -> None:
    assert_close(state_after(tiny("i3d")), state_after(tiny("i3d"), channels_last=False), 1e-5)


def gradients_of(
    layer: Callable[[torch.Tensor], torch.Tensor], taps: Sequence[torch.Tensor], x: torch.Tensor
) -> list[torch.Tensor]:
    given = x.clone().requires_grad_()
    out = layer(given)
    weighted = (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum()
    return [out.detach(), *torch.autograd.grad(weighted, [given, *taps])]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_tams_three_forms_are_one_function(layout: torch.memory_format) -> None:
    own = TemporalAggregation(6, 8, kaiming=True)
    holder = nn.Sequential(copy.deepcopy(own))
    as_reference(holder)
    x = torch.randn(2 * 8, 6, 5, 7).contiguous(memory_format=layout)
    expected = gradients_of(own, [own.taps.weight], x)
    pointwise = gradients_of(own.pointwise, [own.taps.weight], x)
    taps = [conv.weight for conv in holder[0].taps]  # type: ignore[union-attr]
    reference = gradients_of(holder, taps, x)
    reference = [*reference[:2], torch.cat(reference[2:], dim=2)]
    for other in (pointwise, reference):
        for one, two in zip(expected, other, strict=True):
            torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5 * float(one.abs().max()))


def test_the_references_graph_trains_the_same_network() -> None:
    own, reference = tiny(), tiny()
    as_reference(reference)
    assert not any(isinstance(part, TemporalAggregation) for part in reference.modules())
    pixels, _ = clips()
    own.eval(), reference.eval()
    torch.testing.assert_close(reference(pixels), own(pixels), rtol=1e-5, atol=1e-6)


class Waits(TorchFunctionMode):
    """Notes everything by which the host would wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("cpu", "item", "tolist", "numpy", "__float__", "__int__", "__bool__", "nonzero"):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def test_a_step_never_waits_for_the_device_and_an_epoch_does_once(toy_data: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    spec = toy_spec(toy_data, tmp_path, clip_norm=1.0, accumulate=2)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    pixels, labels = clips(4)
    with Waits() as step:
        session.step.learn([(pixels, labels)], 4)
    assert step.seen == []
    from trainables.training.step import train_one_epoch

    with Waits() as epoch:
        train_one_epoch(session.step, spec, session.train_videos, session.reader, session.train_ring, 1, 0, 1)
    # The loader looks at its own buffers, which are on no device, as numpy arrays. On a CPU each step's sum
    # is there at once, and looked at; of a device's, `LossWatch` reads what has arrived.
    steps = -(-len(session.train_videos) // spec.recipe.batch_size)
    assert [name for name in epoch.seen if name != "numpy"] == ["item"] * steps + ["tolist"]


def test_an_epochs_totals_are_those_of_its_steps(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.training.step import TrainingStep, train_one_epoch

    spec = toy_spec(toy_data, tmp_path)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    seen: list[tuple[float, float, int]] = []
    run = TrainingStep.run

    def noted(step: TrainingStep, batch: Any) -> Any:
        loss, right = run(step, batch)
        seen.append((float(loss), float(right), len(batch.labels)))
        return loss, right

    monkeypatch.setattr(TrainingStep, "run", noted)
    totals = train_one_epoch(
        session.step, spec, session.train_videos, session.reader, session.train_ring, 1, 0, 1
    )
    losses, rights, clips_seen = (sum(column) for column in zip(*seen, strict=True))
    assert totals.clips == clips_seen > 0
    assert totals.loss == pytest.approx(losses / clips_seen)
    assert totals.top1 == pytest.approx(100 * rights / clips_seen)


class ArrivesAtTheSecondLook:
    """In place of a device's event, where there is no device."""

    def __init__(self) -> None:
        self.looks = 0

    def query(self) -> bool:
        self.looks += 1
        return self.looks == 2


def test_a_devices_sum_is_looked_at_every_sixteen_steps_once_it_has_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trainables.training.step import LossWatch

    watch, sent = LossWatch(torch.device("cuda")), list[int]()

    def send(loss_sum: torch.Tensor) -> None:
        sent.append(watch._steps)
        monkeypatch.setattr(watch, "_sent", (loss_sum, ArrivesAtTheSecondLook()))

    monkeypatch.setattr(watch, "_send", send)
    sums = {step: torch.tensor(1.0 if step < 20 else math.nan) for step in range(1, 36)}
    diverged = [step for step, loss_sum in sums.items() if watch.diverged(loss_sum)]
    assert (sent, diverged) == ([16, 32], [34])


def test_the_constants_of_normalisation_are_uploaded_once() -> None:
    norm = Normalisation.of("tsn", "tiny")
    assert _constants(norm, CPU)[0] is _constants(norm, torch.device("cpu"))[0]


def test_flags_of_the_backends_are_set_for_a_while() -> None:
    def flags() -> tuple[bool, bool, bool]:
        backends = torch.backends
        return backends.cudnn.benchmark, backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32

    before = flags()
    for fp32, allowed in (("tf32", True), ("ieee", False)):
        with Compute(CPU, False, Switches(cudnn_benchmark=True, fp32=fp32)).backends():  # type: ignore[arg-type]
            assert flags() == (True, allowed, allowed)
        assert flags() == before
    with pytest.raises(KeyError), Compute(CPU, False, Switches(fp32="tf32")).backends():
        raise KeyError
    assert flags() == before
    with Compute(CPU, bf16=False).backends():
        assert flags() == before


def failing_compiler(error: Exception) -> Callable[..., Callable[..., torch.Tensor]]:
    def compile_(*_: object, **__: object) -> Callable[..., torch.Tensor]:
        def call(_: torch.Tensor) -> torch.Tensor:
            raise error

        return call

    return compile_


def test_a_compiler_that_nobody_asked_for_may_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, (pixels, _) = tiny().eval(), clips()
    monkeypatch.setattr(torch, "compile", failing_compiler(RuntimeError("no kernel\nfor that")))
    forward = Compiled(model, Switches(compile="default", may_fall_back=True))
    for _ in range(2):
        assert torch.equal(forward(pixels), model(pixels))
    assert [record.message for record in caplog.records] == [
        "the model runs uncompiled: RuntimeError: no kernel for that"
    ]
    with pytest.raises(RuntimeError, match="no kernel"):
        Compiled(model, Switches(compile="default"))(pixels)
    monkeypatch.setattr(torch, "compile", failing_compiler(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(torch.OutOfMemoryError) as error:
        Compiled(model, Switches(compile="default", may_fall_back=True))(pixels)
    assert is_out_of_memory(error.value)


def test_a_network_without_switches_is_called_itself() -> None:
    model = tiny()
    assert build_forward(model, Switches()) is model


def test_a_cell_that_recomputes_gives_the_same_checkpoint(toy_data: Path, tmp_path: Path) -> None:
    plain = toy_spec(toy_data, tmp_path / "plain", epochs=2)
    spared = toy_spec(
        toy_data,
        tmp_path / "spared",
        epochs=2,
        speed=Execution(checkpoint_activations="on", optimiser="foreach"),
    )
    train(plain)
    train(spared)
    assert_same(weights(plain), weights(spared))


def test_a_cells_epoch_loads_no_compiler(toy_data: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from tests.trainables.training.test_session import train
from tests.support.toy import toy_spec
train(toy_spec(Path({str(toy_data)!r}), Path({str(tmp_path)!r}), epochs=1))
loaded = [name for name in ("torch._dynamo", "torch._inductor", "triton") if name in sys.modules]
sys.exit(" ".join(loaded) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
