"""From the rectangles that the loader copied to square views: bilinear, antialiased, as PIL resizes.

Two forms of one rule, each the quicker on its device. On a CPU torch's own uint8 resizing, clip by clip (it
is PIL's arithmetic: equal to the last bit but for rare roundings). On an accelerator two matrix products for
the whole batch, in the autocast dtype: within 1.5 grey levels of PIL in bf16. `grid_sample` is not used: it
does not antialias (2 to 6 levels off on average, up to 46), and in bf16 its coordinates are half a pixel
coarse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from trainables.data.clips.augment import Cut, View


def views_one_by_one(pixels: torch.Tensor, cuts: Sequence[Cut], size: int) -> torch.Tensor:
    """Every view of every clip, uint8 (N, C*V, 3, T, size, size), clip by clip.

    `pixels` is uint8 (N, C, T, H, W, 3): C clips a video, of each frame the cut's rectangle in the top left
    corner.
    """
    clips, frames = pixels.shape[1:3]
    views = len(cuts[0].views)
    made = torch.empty((len(cuts), clips * views, 3, frames, size, size), dtype=torch.uint8)
    for target, videos, cut in zip(made, pixels, cuts, strict=True):
        for clip, source in enumerate(videos):
            inside = source[:, : cut.source.height, : cut.source.width].permute(0, 3, 1, 2)
            for place, view in enumerate(cut.views):
                target[clip * views + place] = _view(inside, view, size).permute(1, 0, 2, 3)
    return made


def _view(frames: torch.Tensor, view: View, size: int) -> torch.Tensor:
    """One view of frames (T, 3, H, W)."""
    box = view.box
    if view.scaled != (frames.shape[3], frames.shape[2]):
        frames = _resize(frames, view.scaled[1], view.scaled[0])
    frames = frames[:, :, box.top : box.top + box.height, box.left : box.left + box.width]
    if (box.height, box.width) != (size, size):
        frames = _resize(frames, size, size)
    return frames.flip(-1) if view.flip else frames


def _resize(frames: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return interpolate(frames, size=(height, width), mode="bilinear", antialias=True)


def views_by_products(
    pixels: torch.Tensor, cuts: Sequence[Cut], size: int, dtype: torch.dtype
) -> torch.Tensor:
    """The same views as `views_one_by_one`, not rounded, in `dtype` on the device of `pixels`.

    Every view is rows x picture x columns: two matrices of triangular weights, zero outside its rectangle.
    """
    count, clips, frames, height, width = pixels.shape[:5]
    geometry = torch.tensor([[_geometry(cut, view, size) for view in cut.views] for cut in cuts])
    if pixels.is_cuda:
        geometry = geometry.pin_memory().to(pixels.device, non_blocking=True)  # (N, V, 10)
    columns = _weights(geometry[..., :4], size, width, geometry[..., 8]).to(dtype)
    rows = _weights(geometry[..., 4:8], size, height, geometry[..., 9]).to(dtype)
    # Plain batched products: broadcasting `matmul` would copy the weights for every colour and frame.
    views = len(cuts[0].views)
    pictures = pixels.permute(0, 3, 1, 2, 5, 4).to(dtype, memory_format=torch.contiguous_format)
    short = torch.bmm(rows.flatten(1, 2), pictures.reshape(count, height, -1))  # (N, V*S, C*T*3*W)
    made = torch.bmm(short.view(count * views, -1, width), columns.flatten(0, 1).mT)
    apart = made.view(count, views, size, clips, frames, 3, size).permute(0, 3, 1, 5, 4, 2, 6)
    return apart.reshape(count, clips * views, 3, frames, size, size)


def _geometry(cut: Cut, view: View, size: int) -> list[float]:
    """Scale, offset, first and last source pixel of the columns, the same of the rows, flip, 0."""
    box, source = view.box, (cut.source.width, cut.source.height)
    if view.scaled == source:
        across = [box.width / size, box.left, box.left, box.left + box.width]
        down = [box.height / size, box.top, box.top, box.top + box.height]
    elif (box.width, box.height) == (size, size):
        scale_x, scale_y = source[0] / view.scaled[0], source[1] / view.scaled[1]
        across = [scale_x, box.left * scale_x, 0, source[0]]
        down = [scale_y, box.top * scale_y, 0, source[1]]
    else:
        raise ValueError(f"{view} would be resized twice; resampling; crop to the final size {size}")
    return [*across, *down, float(view.flip), 0.0]


def _weights(axis: torch.Tensor, size: int, source: int, flip: torch.Tensor) -> torch.Tensor:
    """Triangular weights, float32 (N, V, size, source), of one axis (N, V, 4); each row sums to 1."""
    scale, offset, first, last = (axis[..., i, None, None] for i in range(4))
    out = torch.arange(size, device=axis.device, dtype=torch.float32)
    out = torch.where(flip[..., None] > 0, size - 1 - out, out).unsqueeze(-1)
    place = torch.arange(source, device=axis.device, dtype=torch.float32)
    distance = (place + 0.5 - (offset + (out + 0.5) * scale)).abs()
    weights = (1 - distance / scale.clamp(min=1)).clamp_(min=0)
    weights = weights * ((place >= first) & (place < last))
    return weights / weights.sum(dim=-1, keepdim=True)
