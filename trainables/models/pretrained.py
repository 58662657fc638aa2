"""Which file of weights a cell's network can start from. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from trainables.models.registry import backbone_info, module_info

Init = Literal["imagenet", "kinetics", "random"]
TITLES: Mapping[str, str] = MappingProxyType({"imagenet": "ImageNet", "kinetics": "Kinetics-400"})


@dataclass(frozen=True)
class WeightsFile:
    """A published file. `enum` is its name in torchvision's API; None: it has to be put in its place.

    `network` is the backbone, or module and backbone, that it fits; `trained_on` is a key of `TITLES`;
    `aliases` are older names of the same tensors.
    """

    network: str
    trained_on: str
    name: str
    enum: str | None
    aliases: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """As a text calls it."""
        return f"{TITLES[self.trained_on]} weights {self.name}"


def _kinetics(module: str, backbone: str, name: str, enum: str) -> WeightsFile:
    return WeightsFile(f"{module}-{backbone}", "kinetics", name, f"{enum}.KINETICS400_V1")


_FILES = (
    _kinetics("resnet3d", "resnet18", "r3d_18-b3b3357e.pth", "R3D_18_Weights"),
    _kinetics("mc3", "resnet18", "mc3_18-a90a0ba3.pth", "MC3_18_Weights"),
    _kinetics("r2plus1d", "resnet18", "r2plus1d_18-91a641e6.pth", "R2Plus1D_18_Weights"),
    _kinetics("s3d_2018", "inception_v1", "s3d-d76dad2f.pth", "S3D_Weights"),
    _kinetics("swin3d", "swin_t", "swin3d_t-7615ae03.pth", "Swin3D_T_Weights"),
    _kinetics("swin3d", "swin_s", "swin3d_s-da41c237.pth", "Swin3D_S_Weights"),
    _kinetics("swin3d", "swin_b", "swin3d_b_1k-24f7c7c6.pth", "Swin3D_B_Weights"),
    _kinetics("mvit_v2", "mvit_s", "mvit_v2_s-ae3be167.pth", "MViT_V2_S_Weights"),
    # A state dict of VideoMAE's ViT-B as finetuned on Kinetics-400: the entry `module` of its authors' file.
    WeightsFile("vit-vit_b", "kinetics", "videomae-vit-b-kinetics400.pth", None),
)
KINETICS: Mapping[str, WeightsFile] = MappingProxyType({one.network: one for one in _FILES})
"""By module and backbone, joined by a hyphen."""


def starting_weights(init: str, module: str, backbone: str) -> WeightsFile | None:
    """The file that a recipe's `init` means for a network; None where it starts at random, or has none.

    Raises:
        ValueError: The module or the backbone is unknown.
    """
    network, skeleton = module_info(module), backbone_info(backbone)
    if init == "kinetics":
        return KINETICS.get(f"{module}-{backbone}")
    if init != "imagenet" or network.scratch or skeleton.weights_file is None:
        return None
    file, enum, aliases = skeleton.weights_file, skeleton.weights_enum, skeleton.weights_aliases
    return WeightsFile(backbone, "imagenet", file, enum, aliases)


def title_of(file: str) -> str:
    """As a text calls the weights of a cell's key."""
    trained_on = "kinetics" if file in {one.name for one in _FILES} else "imagenet"
    return f"{TITLES[trained_on]} weights {file}"
