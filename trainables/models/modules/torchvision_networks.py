"""Torchvision's video networks as cells of a grid: its own code, with this project's head.

Video transformers (Liu et al., 2022; Li et al., 2022) and convolutional networks in the form of their authors
(Tran et al., 2018; Xie et al., 2018), where the module of the same idea follows the paper's framework.
Parameters keep torchvision's names, so that its weights fit as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, TypeVar

from torch import Tensor, nn
from torchvision.models import video
from torchvision.models.video.mvit import MSBlockConfig, MViT
from torchvision.models.video.swin_transformer import SwinTransformer3d
from torchvision.ops import StochasticDepth

from trainables.models.framework import ClipSettings, WholeNetwork


class FeatureMap(nn.Module):
    """The trunk of a torchvision network: (N, 3, T, H, W) to (N, D, T', H', W'), without its head."""

    def __init__(self, network: nn.Module, *head: str) -> None:
        super().__init__()
        for name, part in network.named_children():
            if name not in head:
                self.add_module(name, part)


class ResidualVolumes(FeatureMap):
    """VideoResNet: a stem without a pool behind it, and four stages."""

    stem: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def forward(self, clip: Tensor) -> Tensor:
        """(N, 512, T', H/16, W/16)."""
        out: Tensor = self.stem(clip)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            out = stage(out)
        return out


class SeparableVolumes(FeatureMap):
    """S3D with its average over pairs of neighbouring frames, in which the first and the last count less."""

    features: nn.Module

    def forward(self, clip: Tensor) -> Tensor:
        """(N, 1024, T/8 - 1, H/32, W/32)."""
        volume: Tensor = self.features(clip)
        return nn.functional.avg_pool3d(volume, (2, 1, 1), stride=1)


class ShiftedWindows(FeatureMap):
    """Video Swin transformer: windows of 8 x 7 x 7 patches of 2 x 4 x 4 pixels."""

    patch_embed: nn.Module
    pos_drop: nn.Module
    features: nn.Module
    norm: nn.Module

    def forward(self, clip: Tensor) -> Tensor:
        """(N, D, T/2, H/32, W/32)."""
        patches: Tensor = self.norm(self.features(self.pos_drop(self.patch_embed(clip))))
        return patches.permute(0, 4, 1, 2, 3)


class MultiscaleTokens(FeatureMap):
    """MViTv2: the class token. Tables of relative positions are stretched to the clip's length and size."""

    conv_proj: nn.Module
    pos_encoding: nn.Module
    blocks: nn.ModuleList
    norm: nn.Module

    def forward(self, clip: Tensor) -> Tensor:
        """(N, D, 1, 1, 1)."""
        patches: Tensor = self.conv_proj(clip)
        sizes = tuple(patches.shape[2:])
        tokens = self.pos_encoding(patches.flatten(2).transpose(1, 2))
        for block in self.blocks:
            tokens, sizes = block(tokens, sizes)
        normalised: Tensor = self.norm(tokens)
        return normalised[:, 0, :, None, None, None]


Maker = Callable[[], tuple[nn.Module, int]]
"""Build the trunk with random weights; and its channels D."""


def _residual(build: Callable[..., nn.Module]) -> tuple[nn.Module, int]:
    return ResidualVolumes(build(), "avgpool", "fc"), 512


def _separable() -> tuple[nn.Module, int]:
    return SeparableVolumes(video.s3d(), "avgpool", "classifier"), 1024


def _swin(build: Callable[[], SwinTransformer3d]) -> tuple[nn.Module, int]:
    network = _without_drop_path(build())
    return ShiftedWindows(network, "avgpool", "head"), network.head.in_features


def _mvit(build: Callable[[], MViT]) -> tuple[nn.Module, int]:
    network = _without_drop_path(build())
    return MultiscaleTokens(network, "head"), network.head[-1].in_features


_Network = TypeVar("_Network", bound=nn.Module)


def _without_drop_path(network: _Network) -> _Network:
    """Torchvision's builders set rates of their own; a recipe says what is random in training."""
    for part in network.modules():
        if isinstance(part, StochasticDepth):
            part.p = 0.0
    return network


def _tiny_swin() -> SwinTransformer3d:
    return SwinTransformer3d([2, 4, 4], 24, [1, 1, 2, 1], [1, 2, 4, 8], [8, 7, 7])


def _tiny_mvit() -> MViT:
    blocks = [
        MSBlockConfig(head, cin, cout, [3, 3, 3], [3, 3, 3], [1, query, query], [1, keys, keys])
        for head, cin, cout, query, keys in ((1, 24, 24, 1, 4), (2, 24, 48, 2, 2), (4, 48, 96, 2, 1))
    ]
    return MViT(
        (32, 32),
        16,
        blocks,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
    )


class TorchvisionNetwork:
    """A registered module that is one of torchvision's networks; `makers` by backbone."""

    makers: ClassVar[Mapping[str, Maker]]

    @classmethod
    def network(cls, backbone: str, settings: ClipSettings) -> WholeNetwork:
        """The network with random weights; it has the same tensors for every clip length."""
        trunk, channels = cls.makers[backbone]()
        return WholeNetwork(trunk, channels)


class ResNet3D(TorchvisionNetwork):
    """3 x 3 x 3 convolutions in every block, halving T between stages (r3d_18)."""

    makers: ClassVar = {"resnet18": partial(_residual, video.r3d_18)}


class MixedConvolutions(TorchvisionNetwork):
    """3D convolutions in the stem and the first stage, 2D ones behind (mc3_18)."""

    makers: ClassVar = {"resnet18": partial(_residual, video.mc3_18)}


class R2Plus1D(TorchvisionNetwork):
    """(1, 3, 3) and (3, 1, 1) convolutions, as wide between the two as keeps the 3D one's parameters."""

    makers: ClassVar = {"resnet18": partial(_residual, video.r2plus1d_18)}


class OriginalS3D(TorchvisionNetwork):
    """S3D with the strides of Xie et al. (2018): T/8 frames are left."""

    makers: ClassVar = {"inception_v1": _separable}


class Swin3D(TorchvisionNetwork):
    """Self-attention in shifted windows of space and time."""

    makers: ClassVar = {
        "swin_t": partial(_swin, video.swin3d_t),
        "swin_s": partial(_swin, video.swin3d_s),
        "swin_b": partial(_swin, video.swin3d_b),
        "tiny": partial(_swin, _tiny_swin),
    }


class MViTv2(TorchvisionNetwork):
    """Self-attention over pooled keys and values, with relative positions of space and time."""

    makers: ClassVar = {"mvit_s": partial(_mvit, video.mvit_v2_s), "tiny": partial(_mvit, _tiny_mvit)}
