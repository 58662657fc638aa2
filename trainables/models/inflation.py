"""2D kernels into 3D ones (Carreira and Zisserman, 2017; reference §6)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Inflation = Literal["repeat", "divide"]


def inflate(kernel: Tensor, length: int, method: Inflation) -> Tensor:
    """Repeat a kernel (Cout, Cin, kh, kw) `length` times along time: (Cout, Cin, length, kh, kw).

    `repeat` leaves the copies as they are, as the published models did: activations start about `length`
    times too large. `divide` scales them so that a still clip gives the picture's response.
    """
    volume = kernel.unsqueeze(2).repeat(1, 1, length, 1, 1)
    return volume / length if method == "divide" else volume
