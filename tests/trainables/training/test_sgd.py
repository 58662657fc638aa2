"""Our step is torch.optim.SGD's, bit for bit, and spares the process torch's compiler."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from trainables.training.optimiser import Sgd

SETTINGS = {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))


def train(model: nn.Module, optimiser: torch.optim.Optimizer | Sgd, steps: range) -> None:
    for number in steps:
        generator = torch.Generator().manual_seed(number)
        optimiser.zero_grad()
        # Every third step leaves the last layer out: such parameters keep value and momentum.
        module = model[:2] if number % 3 == 2 else model  # type: ignore[index]
        module(torch.randn(4, 5, generator=generator)).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize(
    "settings",
    [SETTINGS, SETTINGS | {"nesterov": False}, {"momentum": 0.0, "weight_decay": 0.0, "nesterov": False}],
)
def test_ten_steps_are_torchs_bit_for_bit(settings: dict[str, float]) -> None:
    ours, theirs = network(), network()
    train(ours, Sgd(ours.parameters(), lr=0.1, **settings), range(10))
    train(theirs, torch.optim.SGD(theirs.parameters(), lr=0.1, **settings), range(10))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_one_kernel_steps_all_where_all_have_momentum_or_none_has(monkeypatch: pytest.MonkeyPatch) -> None:
    by, loaded = [], importlib.import_module("torch.optim.sgd")

    def noted(*tensors: object, foreach: bool, fused: bool, **settings: Any) -> None:
        by.append({(True, False): "lists", (False, True): "one kernel"}[foreach, fused])
        step(*tensors, foreach=foreach, fused=fused, **settings)

    step = loaded.sgd
    monkeypatch.setattr(loaded, "sgd", noted)
    model = network()
    # The step numbered 2 leaves the last layer out, whose momentum begins at the next one.
    train(model, Sgd(model.parameters(), lr=0.1, **SETTINGS, kernels="fused"), range(2, 5))
    assert by == ["one kernel", "lists", "one kernel"]


def test_a_checkpoint_of_either_is_taken_up_by_the_other() -> None:
    whole = network()
    train(whole, torch.optim.SGD(whole.parameters(), lr=0.1, **SETTINGS), range(10))
    for first, second in ((Sgd, torch.optim.SGD), (torch.optim.SGD, Sgd)):
        model = network()
        before = first(model.parameters(), lr=0.1, **SETTINGS)
        train(model, before, range(5))
        state = copy.deepcopy(before.state_dict())
        after = second(model.parameters(), lr=7.0, **SETTINGS)
        after.load_state_dict(state)
        train(model, after, range(5, 10))
        for mine, other in zip(model.parameters(), whole.parameters(), strict=True):
            assert torch.equal(mine, other)


def test_the_state_of_another_model_is_refused() -> None:
    model = network()
    optimiser = Sgd(model.parameters(), lr=0.1, **SETTINGS)
    train(model, optimiser, range(1))
    with pytest.raises(ValueError, match="optimiser state of 4 parameters, the model has 2"):
        Sgd(nn.Linear(5, 7).parameters(), lr=0.1, **SETTINGS).load_state_dict(optimiser.state_dict())
    other = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(ValueError, match=r"momentum of parameter 0 has the shape \(7, 5\), not \(8, 5\)"):
        Sgd(other.parameters(), lr=0.1, **SETTINGS).load_state_dict(optimiser.state_dict())


def test_a_step_does_not_load_torchs_compiler() -> None:
    code = """
import sys, torch
from trainables.training.optimiser import Sgd
layer = torch.nn.Linear(2, 2)
optimiser = Sgd(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=False)
layer(torch.ones(1, 2)).sum().backward()
optimiser.step()
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
