"""Which frames of a video make a clip: the rules of docs/protocol.md §7, in pure numpy.

N is the number of frames of the video, T of the clip; indices are 0-based.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

VERSION = "1"

Indices = NDArray[np.int64]
TrainMode = Literal["uniform", "uniform_shared_offset", "dense"]
EvalMode = Literal["uniform", "dense"]


def train_indices(
    num_frames: int, frames: int, mode: TrainMode, rate: int, rng: np.random.Generator
) -> Indices:
    """Frames of one training clip, int64 (T,).

    - `uniform`: one random frame from each of T equal segments (the paper's text). Segment x is
      [floor(xN/T), floor((x+1)N/T)): every frame can be drawn. N < T: T draws with replacement, sorted.
    - `uniform_shared_offset`: one offset for all segments of floor(N/T) frames (the reference code's rule).
    - `dense`: every `rate`-th frame of a window of rate*T frames with a random start, modulo N.

    Raises:
        ValueError: a size below 1, or an unknown mode.
    """
    _check(num_frames, frames, rate)
    if mode == "dense":
        window = rate * frames
        start = int(rng.integers(num_frames - window)) if num_frames > window else 0
        return _dense(start, num_frames, frames, rate)
    if mode not in ("uniform", "uniform_shared_offset"):
        raise ValueError(f"unknown sampling {mode!r}; training; use uniform, uniform_shared_offset or dense")
    if num_frames < frames:
        return _with_replacement(num_frames, frames, rng)
    steps = np.arange(frames + 1, dtype=np.int64)
    if mode == "uniform_shared_offset":
        segment = num_frames // frames
        return steps[:-1] * segment + rng.integers(segment)
    bounds = steps * num_frames // frames
    return rng.integers(bounds[:-1], bounds[1:], dtype=np.int64)


def eval_indices(num_frames: int, frames: int, mode: EvalMode, rate: int, clips: int) -> Indices:
    """Frames of all evaluation clips of one video, int64 (clips, T); deterministic.

    - `uniform`: the frame at the middle of each of T real-valued segments, moved by the clip's offset in
      frames, which is clamped to the segment. N <= T: T draws with replacement, sorted, seeded with the
      clip's number (from 0).
    - `dense`: windows whose starts are evenly spaced over [0, N - rate*T], indices modulo N.

    Raises:
        ValueError: a size below 1, or an unknown mode.
    """
    _check(num_frames, frames, rate, clips)
    if mode == "dense":
        starts = np.linspace(0, max(0, num_frames - rate * frames), clips).astype(np.int64)
        return np.stack([_dense(int(start), num_frames, frames, rate) for start in starts])
    if mode != "uniform":
        raise ValueError(f"unknown sampling {mode!r}; evaluation; use uniform or dense")
    if num_frames <= frames:
        return np.stack(
            [_with_replacement(num_frames, frames, np.random.default_rng(clip)) for clip in range(clips)]
        )
    tick = num_frames / frames
    offsets = np.clip(clip_offsets(clips), -tick / 2, tick / 2 - 1e-4)
    places = (tick / 2 + offsets)[:, None] + tick * np.arange(frames)
    return places.astype(np.int64)


def clip_offsets(clips: int) -> Indices:
    """Offsets in frames of M uniform clips: the whole numbers from floor(-M/2)+1 to floor(M/2)."""
    return np.arange(-clips // 2 + 1, clips // 2 + 1, dtype=np.int64)


def _dense(start: int, num_frames: int, frames: int, rate: int) -> Indices:
    return (start + rate * np.arange(frames, dtype=np.int64)) % num_frames


def _with_replacement(num_frames: int, frames: int, rng: np.random.Generator) -> Indices:
    return np.sort(rng.integers(num_frames, size=frames, dtype=np.int64))


def _check(num_frames: int, frames: int, rate: int, clips: int = 1) -> None:
    sizes = {"video frames": num_frames, "clip frames": frames, "sampling rate": rate, "clips": clips}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, is {size}; frame sampling; give a positive number")
