"""What recipes of video transformers ask for: AdamW, a warm-up, rates by iteration, mixup, drop path."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import StochasticDepth

from trainables.models import build_model
from trainables.recipe.cell_spec import Recipe
from trainables.recipe.switches import Switches
from trainables.training.adamw import AdamW, is_decayed, rate_scales
from trainables.training.initialise import set_drop_path
from trainables.training.mixup import mixed
from trainables.training.optimiser import build_optimiser, learning_rate

ADAMW = Recipe(optimiser="adamw", lr=0.01, betas=(0.8, 0.95), weight_decay=0.1)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.ReLU(), nn.Linear(7, 3))


def train(model: nn.Module, optimiser: torch.optim.Optimizer | AdamW, steps: range) -> None:
    for number in steps:
        generator = torch.Generator().manual_seed(number)
        optimiser.zero_grad()
        model(torch.randn(4, 5, generator=generator)).square().mean().backward()
        optimiser.step()


def ours(model: nn.Module) -> AdamW:
    built = build_optimiser(model, ADAMW)
    assert isinstance(built, AdamW)
    return built


def test_weights_decay_and_biases_and_norms_do_not() -> None:
    mine, other = network(), network()
    train(mine, ours(mine), range(5))
    matrices = [one for one in other.parameters() if one.dim() > 1]
    rest = [one for one in other.parameters() if one.dim() == 1]
    groups = [{"params": matrices}, {"params": rest, "weight_decay": 0.0}]
    train(other, torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95), weight_decay=0.1), range(5))
    for one, two in zip(mine.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("module", ["swin3d", "mvit_v2", "vit"])
def test_rates_fall_from_the_head_to_the_pixels(module: str) -> None:
    model = build_model(module=module, backbone="tiny", temporal_pooling=False, frames=8, num_classes=3)
    scales = rate_scales(model, 0.5)
    by_layer = list(dict.fromkeys(scales.values()))
    blocks = {"swin3d": 5, "mvit_v2": 3, "vit": 2}[module]
    assert by_layer == [0.5 ** (blocks + 1 - layer) for layer in range(blocks + 2)]
    names = list(scales)
    assert scales[names[0]] == by_layer[0] and scales["fc.weight"] == scales["fc.bias"] == 1.0
    assert set(rate_scales(model, 1.0).values()) == {1.0}
    optimiser = AdamW(model, lr=0.1, betas=(0.9, 0.99), weight_decay=0.0, layer_decay=0.5)
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    optimiser.lr = 0.01
    for one in model.parameters():
        one.grad = torch.ones_like(one)
    optimiser.step()
    # The first step of Adam is as long as the rate.
    for name, one in model.named_parameters():
        expected = torch.full_like(one, 0.01 * scales[name])
        torch.testing.assert_close(before[name] - one, expected, rtol=1e-3, atol=1e-6)
    assert optimiser.lr == pytest.approx(0.01)


@pytest.mark.parametrize("module", ["swin3d", "mvit_v2"])
def test_positions_do_not_decay(module: str) -> None:
    model = build_model(module=module, backbone="tiny", temporal_pooling=False, frames=8, num_classes=3)
    positions = [
        name for name, one in model.named_parameters() if one.dim() > 1 and not is_decayed(name, one)
    ]
    assert positions and all("rel" in name or "class_token" in name for name in positions)


def test_a_checkpoint_goes_on_bit_for_bit() -> None:
    whole, cut = network(), network()
    train(whole, ours(whole), range(10))
    first = ours(cut)
    train(cut, first, range(5))
    first.lr = 0.003
    second = ours(cut)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.lr == 0.003
    second.lr = 0.01
    train(cut, second, range(5, 10))
    for one, two in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(ValueError, match="size of optimizer's group"):
        ours(nn.Linear(2, 2)).load_state_dict(first.state_dict())


def test_gradients_stay_in_their_places_where_a_recording_needs_them() -> None:
    model = network()
    optimiser = build_optimiser(model, ADAMW, Switches(cuda_graphs=True))
    assert isinstance(optimiser, AdamW)
    optimiser.zero_grad()
    places = [one.grad for one in model.parameters()]
    train(model, optimiser, range(2))
    assert all(one is not None for one in places)
    assert [id(one.grad) for one in model.parameters()] == [id(one) for one in places]


def test_the_rate_rises_in_a_line_and_then_falls_as_a_cosine() -> None:
    recipe = Recipe(epochs=10, lr=1.0, warmup_epochs=4)
    by_epoch = [learning_rate(recipe, epoch) for epoch in range(1, 11)]
    assert by_epoch[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert by_epoch[4:] == pytest.approx([0.5 + 0.5 * math.cos(math.pi * passed / 6) for passed in range(6)])
    steps = [learning_rate(recipe, 1 + step / 5, 1 / 5) for step in range(50)]
    assert steps[0] == pytest.approx(1 / 20) and steps[19] == pytest.approx(1.0)
    assert steps[20] == pytest.approx(1.0)
    assert all(one > other > 0 for one, other in itertools.pairwise(steps[20:]))


def test_mixup_is_the_loss_of_mixed_targets() -> None:
    torch.manual_seed(2)
    clips, labels = torch.randn(4, 3, 8, 4, 4), torch.tensor([0, 1, 2, 1])
    blended, targets = mixed(clips, labels, alpha=0.8)
    own = targets.own
    assert 0.0 < own < 1.0
    torch.testing.assert_close(blended, own * clips + (1 - own) * clips.flip(0))
    logits, one_hot = torch.randn(4, 3), F.one_hot(labels, 3).float()
    soft = own * one_hot + (1 - own) * one_hot.flip(0)
    for smoothing in (0.0, 0.2):
        expected = F.cross_entropy(logits, soft, reduction="sum", label_smoothing=smoothing)
        torch.testing.assert_close(targets.loss(logits, smoothing), expected)
    same, plain = mixed(clips, labels, alpha=0.0)
    assert same is clips and torch.equal(
        plain.loss(logits, 0.0), F.cross_entropy(logits, labels, reduction="sum")
    )


def test_blocks_are_left_out_more_often_the_later_they_come() -> None:
    model = build_model(module="swin3d", backbone="tiny", temporal_pooling=False, frames=8, num_classes=3)
    set_drop_path(model, 0.4)
    chances = [part.p for part in model.modules() if isinstance(part, StochasticDepth)]
    assert chances == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    clip = torch.randn(16, 3, 8, 32, 32)
    torch.manual_seed(0)
    with torch.no_grad():
        assert not torch.equal(model.train().features(clip), model.features(clip))
        assert torch.equal(model.eval().features(clip), model.features(clip))
