"""torch's compiler on a CPU: the same numbers, the same names, and one compilation for one shape.

What it makes of a GPU's kernels is not seen here; which operations it fuses into one pass is the same there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.toy import toy_spec
from tests.trainables.training.execution.test_execution import CPU, assert_close, clips, state_after
from tests.trainables.training.test_session import result_of, train, weights
from trainables.models.backbones.resnet import residual_block
from trainables.models.framework import BackboneStyle, ClipSettings, Depth
from trainables.models.layers import ConvUnit, TemporalPool
from trainables.models.modules.tam import TemporalAggregation
from trainables.models.video_model import Trunk, VideoModel, load_module
from trainables.recipe.switches import Execution, Switches
from trainables.training.execution.compiled import Compiled, compiler_options
from trainables.training.execution.device import Compute

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler here"
    ),
]
COMPILED = Switches(compile="default")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile here and now, in this process, and leave nothing behind."""
    from torch._inductor import config

    with pytest.MonkeyPatch.context() as patch, config.patch(compile_threads=1):
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def small(module: str = "tam") -> VideoModel:
    """A stem and one residual block: every loop costs a C++ compiler seconds."""
    torch.manual_seed(0)
    layers = load_module(module)(ClipSettings(8, False), BackboneStyle())
    network = nn.Sequential(
        layers.stem(3, 8, 3, 2), residual_block(layers, 8, 8, stride=2, depth=Depth(0, 0, 1))
    )
    trunk = Trunk(network, channels=8, frames_left=8, volumetric=layers.volumetric)
    return VideoModel(trunk, num_classes=4, frames=8, dropout=0.5)


def compilations() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


@pytest.mark.long
@pytest.mark.parametrize("module", ["tam", "i3d"])
def test_a_compiled_step_is_the_plain_one(module: str) -> None:
    """Weights, gradients and BN's statistics, dropout's draws included. Further steps add up roundings."""
    assert_close(state_after(small(module), 1), state_after(small(module), 1, compile="default"), 1e-5)


@pytest.mark.long
def test_so_is_one_that_recomputes() -> None:
    recomputed = state_after(small(), 1, compile="default", checkpoint_activations=True)
    assert_close(state_after(small(), 1), recomputed, 1e-5)


@pytest.mark.long
def test_another_shape_runs_plainly_and_compiles_nothing() -> None:
    model = Compute(CPU, bf16=False).place(small()).train()
    forward = Compiled(model, COMPILED)
    pixels, _ = clips(5)
    before = compilations()
    for _ in range(2):
        forward(pixels[:3])
    assert compilations() == before + 1
    for count in (1, 2, 4, 5):
        forward(pixels[:count])
    model.eval()
    with torch.inference_mode():
        model(pixels)
    assert compilations() == before + 1


@pytest.mark.long
def test_a_compiled_cells_checkpoint_is_one_of_a_plain_cell(toy_data: Path, tmp_path: Path) -> None:
    plain = toy_spec(toy_data, tmp_path / "plain", epochs=2)
    compiled = toy_spec(toy_data, tmp_path / "compiled", epochs=2, speed=Execution(compile="default"))
    train(plain)
    train(compiled, until=1)
    session = train(compiled)  # goes on from the checkpoint of a compiled epoch
    assert weights(compiled).keys() == weights(plain).keys()
    expected = [row["train_loss"] for row in result_of(plain).history]
    # Four steps amplify roundings: another memory layout moves weights by 6 % of the largest.
    assert [row["train_loss"] for row in session.history] == pytest.approx(expected, rel=0.02)
    assert any(not torch.equal(one, weights(plain)[name]) for name, one in weights(compiled).items())


def kernels_of(module: nn.Module, x: torch.Tensor) -> list[str]:
    """The names of the fused loops that a forward and a backward pass become, and of what is called."""
    from torch._inductor.utils import run_fw_bw_and_get_code

    fast = torch.compile(module, dynamic=False, options=compiler_options(COMPILED))
    _, codes = run_fw_bw_and_get_code(lambda: fast(x))
    return sorted(
        {name for code in codes for name in re.findall(r"(?:cpp_fused\w+|extern_kernels\.\w+)\(", code)}
    )


class Sum(nn.Module):
    """The end of a residual block: BN, sum, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = ConvUnit(nn.Conv2d(8, 8, 1, bias=False), 1e-5, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.unit(x)
        out += x
        return torch.relu_(out)


def test_bn_sum_and_relu_are_one_pass() -> None:
    names = kernels_of(Sum().train(), torch.randn(4, 8, 6, 6))
    assert any(re.search(r"batch_norm.*add.*relu|add.*batch_norm.*relu", name) for name in names), names


def test_a_temporal_pool_is_one_pass_and_no_call() -> None:
    pool = TemporalPool(8, "max")
    names = kernels_of(pool, torch.randn(16, 8, 6, 6, requires_grad=True))
    assert names, "nothing was compiled"
    assert not any(name.startswith("extern") for name in names), names


def test_tam_is_sums_and_products_without_a_convolution() -> None:
    names = kernels_of(
        TemporalAggregation(8, 8, kaiming=True).train(), torch.randn(16, 8, 6, 6, requires_grad=True)
    )
    assert not any("conv" in name for name in names), names
    assert any("relu" in name and "mul" in name for name in names), names
