"""Layers shared by the modules: convolution + BN (+ ReLU), and pooling over the frames of 2D features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.framework import PoolingMethod


def kaiming_(conv: nn.Conv2d | nn.Conv3d) -> None:
    """Draw a convolution's weights Kaiming-normal, fan-out, for ReLU (docs/protocol.md §6), no bias."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")


class ConvUnit(nn.Module):
    """Convolution, batch normalisation and, unless the sum of a residual block follows, ReLU."""

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, eps: float, *, relu: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm3d if isinstance(conv, nn.Conv3d) else nn.BatchNorm2d
        self.conv = conv
        self.bn = norm(conv.out_channels, eps=eps)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, Cin, …) to (…, Cout, …); see the convolution for the rest."""
        out: Tensor = self.bn(self.conv(x))
        return F.relu(out, inplace=True) if self.relu else out


def volume_unit(
    cin: int,
    cout: int,
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int] = (1, 1, 1),
    *,
    eps: float,
    relu: bool = True,
) -> ConvUnit:
    """Same-padded 3D convolution without bias + BN (+ ReLU); `kernel` and `stride` are (t, h, w)."""
    kt, kh, kw = kernel
    conv = nn.Conv3d(cin, cout, kernel, stride=stride, padding=(kt // 2, kh // 2, kw // 2), bias=False)
    kaiming_(conv)
    return ConvUnit(conv, eps, relu=relu)


def depthwise_volume(channels: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> nn.Conv3d:
    """Same-padded 3D convolution of each channel alone, no bias; `kernel` and `stride` are (t, h, w)."""
    kt, kh, kw = kernel
    padding = (kt // 2, kh // 2, kw // 2)
    conv = nn.Conv3d(channels, channels, kernel, stride, padding, groups=channels, bias=False)
    kaiming_(conv)
    return conv


class SqueezeExcitation(nn.Module):
    """x * sigmoid(W2 ReLU(W1 mean(x))): a weight for each channel, from its mean over T, H and W.

    Hu et al., 2018; `inner` channels lie between.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv3d(channels, inner, 1)
        self.excite = nn.Conv3d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, T, H, W) to the same shape."""
        weights: Tensor = self.excite(self.squeeze(x.mean(dim=(2, 3, 4), keepdim=True)).relu())
        return x * weights.sigmoid()


def frames_to_rows(x: Tensor, frames: int) -> Tensor:
    """View (N*T, C, H, W) as (N, C, T, H*W), so that 2D operations on (k, 1) windows act over time.

    In channels-last memory this and its inverse move no data.
    """
    return x.view(-1, frames, *x.shape[1:]).transpose(1, 2).flatten(3)


def rows_to_frames(rows: Tensor, like: Tensor) -> Tensor:
    """Invert `frames_to_rows` for the spatial size of `like`: (N, C, T, H*W) to (N*T, C, H, W)."""
    return rows.view(*rows.shape[:3], *like.shape[2:]).transpose(1, 2).flatten(0, 1)


def check_average(method: PoolingMethod, *, kernel: int, frames: int) -> None:
    """Refuse, as PyTorch's 3D average pooling does, a window longer than the clip (docs/protocol.md §3)."""
    if method == "avg" and frames < kernel:
        raise ValueError(
            f"average pooling over {kernel} frames cannot halve a clip of {frames}; "
            "with temporal pooling use pooling_method max or at least 16 frames"
        )


class TemporalPool(nn.Module):
    """Pool over time only: kernel 3, stride 2, padding 1 (docs/protocol.md §3); T becomes T/2.

    Zeros count in the average's divisor. ValueError for an average over a clip shorter than the kernel.
    """

    def __init__(self, frames: int, method: PoolingMethod) -> None:
        super().__init__()
        check_average(method, kernel=3, frames=frames)
        self.frames = frames
        self.pool = F.max_pool2d if method == "max" else F.avg_pool2d

    def forward(self, x: Tensor) -> Tensor:
        """Map (N*T, C, H, W) to (N*T/2, C, H, W)."""
        rows = frames_to_rows(x, self.frames)
        return rows_to_frames(self.pool(rows, (3, 1), stride=(2, 1), padding=(1, 0)), x)
