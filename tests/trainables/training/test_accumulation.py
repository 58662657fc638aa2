"""Fewer clips at a time: the same gradient, the same batch; with one part today's very bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from tests.support.toy import toy_spec
from tests.trainables.training.test_session import comparable, result_of, train, weights
from trainables.data.clips.loader import train_batches
from trainables.training.execution.device import (
    CellMemoryError,
    Compute,
    clips_at_a_time,
    is_out_of_memory,
    memory_figures_in_errors,
)
from trainables.training.session import CellSession


def gradients(toy_data: Path, run_dir: Path, accumulation: int, **recipe: Any) -> list[torch.Tensor]:
    """What the parameters' gradients are after one step's backward passes, BN's statistics held still."""
    torch.set_num_threads(1)
    spec = toy_spec(toy_data, run_dir, dropout=0.0, lr=1e-12, accumulation=accumulation, **recipe)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    session.step.network.train()
    for module in session.step.network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    batch = next(
        iter(
            train_batches(
                session.train_videos,
                spec.recipe,
                spec.frames,
                session.reader,
                seed=0,
                epoch=1,
                rank=0,
                world=1,
                threads=1,
                ring=session.train_ring,
            )
        )
    )
    assert len(batch.labels) == 8
    session.step.run(batch)
    return [one.grad.clone() for one in session.model.parameters() if one.grad is not None]


def test_the_sum_over_parts_is_the_gradient_of_the_whole_batchs_mean_loss(
    toy_data: Path, tmp_path: Path
) -> None:
    whole = gradients(toy_data, tmp_path / "1", 1)
    assert max(float(one.abs().max()) for one in whole) > 1e-3
    for accumulation in (2, 4, 8, 3, 64):
        parts = gradients(toy_data, tmp_path / str(accumulation), accumulation)
        for one, other in zip(whole, parts, strict=True):
            torch.testing.assert_close(other, one, rtol=2e-4, atol=2e-6)


def test_it_multiplies_the_recipes_own(toy_data: Path, tmp_path: Path) -> None:
    own = gradients(toy_data, tmp_path / "own", 1, accumulate=4)
    both = gradients(toy_data, tmp_path / "both", 2, accumulate=2)
    assert all(torch.equal(one, other) for one, other in zip(own, both, strict=True))


def test_one_part_is_the_path_that_the_recipes_accumulation_takes(toy_data: Path, tmp_path: Path) -> None:
    """Bit for bit: accumulation is nothing but more pieces, and one piece nothing but the batch."""
    specs = [
        toy_spec(toy_data, tmp_path / "recipe", accumulate=4, epochs=2),
        toy_spec(toy_data, tmp_path / "memory", accumulation=4, epochs=2),
    ]
    for spec in specs:
        train(spec)
    ours, theirs = (comparable(result_of(spec).history) for spec in specs)
    assert [{**row, "accumulation": 1} for row in theirs] == ours
    expected = weights(specs[0])
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(specs[1]).items())


def test_the_result_names_the_largest_accumulation_of_any_epoch(toy_data: Path, tmp_path: Path) -> None:
    spec = toy_spec(toy_data, tmp_path, epochs=3)
    train(spec, until=1)
    train(spec.model_copy(update={"accumulation": 4}), until=2)
    train(spec.model_copy(update={"accumulation": 2}))
    result = result_of(spec)
    assert [row["accumulation"] for row in result.history] == [1, 4, 2]
    assert result.accumulation == 4


@pytest.mark.parametrize(
    ("batch", "workers", "accumulate", "accumulation", "clips"),
    [
        (72, 1, 1, 1, 72),
        (72, 2, 1, 1, 36),
        (72, 1, 1, 4, 18),
        (72, 1, 2, 4, 9),
        (6, 1, 1, 4, 2),
        (6, 1, 1, 6, 1),
    ],
)
def test_clips_at_a_time(
    toy_data: Path, tmp_path: Path, batch: int, workers: int, accumulate: int, accumulation: int, clips: int
) -> None:
    spec = toy_spec(
        toy_data,
        tmp_path,
        batch_size=batch,
        workers=workers,
        accumulate=accumulate,
        accumulation=accumulation,
    )
    assert clips_at_a_time(spec) == clips


def test_a_real_allocation_that_fails_is_told_with_figures(toy_data: Path, tmp_path: Path) -> None:
    spec = toy_spec(toy_data, tmp_path)
    with (
        pytest.raises(
            CellMemoryError, match=r"8 clips of 8 frames at a time, accumulation 1, peak \d+\.\d\d GB"
        ),
        memory_figures_in_errors(spec, Compute(torch.device("cpu"), bf16=False)),
    ):
        torch.empty(1 << 50, dtype=torch.uint8)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
