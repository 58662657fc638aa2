from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import largest_batch as module
from benchmarks.largest_batch import TrainedModel, largest, largest_batch, step_fits
from trainables.recipe.cell_spec import Recipe
from trainables.training.execution.device import Compute

MODEL = TrainedModel("tsn", "tiny", False, 8, 4, 32)
CPU = Compute(torch.device("cpu"), bf16=False)


@given(st.integers(0, 5000), st.integers(1, 4096))
def test_the_largest_that_fits_is_found(most: int, limit: int) -> None:
    asked: list[int] = []

    def fits(clips: int) -> bool:
        asked.append(clips)
        return clips <= most

    assert largest(fits, limit, close_enough=0.0) == min(most, limit)
    assert all(1 <= clips <= limit for clips in asked)
    assert len(asked) == len(set(asked)) <= 25


@given(st.integers(1, 5000))
def test_or_one_that_is_nearly_as_large(most: int) -> None:
    found = largest(lambda clips: clips <= most, 4096)
    assert min(most, 4096) / (1 + module.CLOSE_ENOUGH) - 1 <= found <= most


def test_steps_are_really_run_and_the_number_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    file = tmp_path / "cache" / "largest.json"
    assert largest_batch(MODEL, Recipe(), CPU, file, limit=3) == 3

    def refuse(*_: object) -> bool:
        raise AssertionError("it was found before")

    monkeypatch.setattr(module, "step_fits", refuse)
    assert largest_batch(MODEL, Recipe(), CPU, file, limit=3) == 3
    with pytest.raises(AssertionError, match="found before"):
        largest_batch(TrainedModel("tsn", "tiny", False, 16, 4, 32), Recipe(), CPU, file, limit=3)
    file.write_text("{")
    with pytest.raises(AssertionError, match="found before"):
        largest_batch(MODEL, Recipe(), CPU, file, limit=3)


def test_what_does_not_fit_is_told_from_what_is_wrong() -> None:
    # 12 TB of pixels: refused by the allocator whatever the machine.
    assert not step_fits(MODEL, Recipe(), CPU, 1 << 27)
    with pytest.raises(ValueError, match="wrong frames 9"):
        step_fits(TrainedModel("tsn", "tiny", False, 9, 4, 32), Recipe(), CPU, 1)


def test_the_file_lies_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module.memory_file() == tmp_path / "actiongrid" / "largest-batch.json"
