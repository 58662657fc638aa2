"""What can be built: the temporal modules and the backbones, by name. Imports no torch.

A new module or backbone is one new file that defines the `target`, and one entry here. `version` is part of
every cell's key: bump it when the same settings would no longer give the same weights. Other packages declare
theirs with the same classes (docs/plug-ins.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from trainables.recipe.plug_ins import PlugInError, code_at, plug_ins_of

Channels = tuple[float, float, float]
"""A number for R, G and B each."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)
PYSLOWFAST_MEAN = (0.45, 0.45, 0.45)
PYSLOWFAST_STD = (0.225, 0.225, 0.225)
HALF = (0.5, 0.5, 0.5)
TIMM = "timm:"
"""What names of backbones begin with that are image models of the package timm."""


@dataclass(frozen=True)
class ModuleInfo:
    """A spatio-temporal module. `target` is `package.module:attribute`, imported only when it is built.

    `volumetric`: its layers are 3D, over (N, C, T, H, W), as the class at `target` says too. `backbones` are
    the only ones that it exists for (none: see `backbones_of`). `pools`: it exists with temporal pooling
    only, or without only (None: both). `whole`: a network of its own. `scratch`: no ImageNet weights fit its
    layers. `transformer`: its MACs include products of matrices, and grow faster than its clips do.
    `fewest_frames`: its shortest clip. `input_mean`, `input_std`: those of its pretrained weights (None: its
    backbone's). `version` "": the first one; of another package's module, the hash of its source.
    """

    kind: ClassVar[str] = "module"
    name: str
    paper_name: str
    target: str
    volumetric: bool = False
    backbones: tuple[str, ...] = ()
    pools: bool | None = None
    whole: bool = False
    scratch: bool = False
    transformer: bool = False
    fewest_frames: int = 8
    input_mean: Channels | None = None
    input_std: Channels | None = None
    version: str = ""


@dataclass(frozen=True)
class BackboneInfo:
    """A spatial skeleton. `input_mean`, `input_std` are per RGB channel, for values in [0, 1].

    `weights_file` is torchvision's file of ImageNet weights (None: no such weights exist);
    `weights_aliases` are older names under which torchvision published the same tensors. `target` is None for
    the backbone of networks of their own: their module builds it. `planar`: it exists for 2D modules only.
    `products`: its MACs include products of matrices. `version`: as a module's.
    """

    kind: ClassVar[str] = "backbone"
    name: str
    paper_name: str
    target: str | None
    weights_file: str | None
    weights_enum: str | None = None
    weights_aliases: tuple[str, ...] = ()
    input_mean: Channels = IMAGENET_MEAN
    input_std: Channels = IMAGENET_STD
    planar: bool = False
    products: bool = False
    version: str = ""


def _network(
    name: str,
    paper_name: str,
    target: str,
    backbones: tuple[str, ...],
    *,
    pools: bool = False,
    transformer: bool = False,
    fewest_frames: int = 8,
    statistics: tuple[Channels | None, Channels | None] = (None, None),
) -> ModuleInfo:
    """A network of its own, which no ImageNet weights fit; `target` is under `trainables.models.modules`."""
    mean, std = statistics
    return ModuleInfo(
        name,
        paper_name,
        f"trainables.models.modules.{target}",
        volumetric=True,
        backbones=backbones,
        pools=pools,
        whole=True,
        scratch=True,
        transformer=transformer,
        fewest_frames=fewest_frames,
        input_mean=mean,
        input_std=std,
    )


_volumes = partial(_network, statistics=(KINETICS_MEAN, KINETICS_STD))
_attention = partial(_network, transformer=True)
_DEEP = ("resnet50", "resnet101", "tiny")

_RESIDUAL = ("resnet18", "resnet50", "resnet101", "tiny")

_MODULES = (
    ModuleInfo("tsn", "TSN", "trainables.models.modules.tsn:TSN"),
    ModuleInfo("tam", "TAM", "trainables.models.modules.tam:TAM"),
    ModuleInfo("s3d", "S3D", "trainables.models.modules.s3d:S3D", volumetric=True),
    ModuleInfo("i3d", "I3D", "trainables.models.modules.i3d:I3D", volumetric=True),
    ModuleInfo("tsm", "TSM", "trainables.models.modules.tsm:TSM"),
    ModuleInfo("conv", "Conv", "trainables.models.modules.conv:Conv"),
    ModuleInfo("nonlocal", "NLN", "trainables.models.modules.nonlocal_blocks:NonLocal", backbones=_RESIDUAL),
    ModuleInfo("tam_top_half", "TAM-TopHalf", "trainables.models.modules.tam:TopHalfTAM"),
    ModuleInfo("tam_bottom_half", "TAM-BottomHalf", "trainables.models.modules.tam:BottomHalfTAM"),
    ModuleInfo("tam_uniform_half", "TAM-UniformHalf", "trainables.models.modules.tam:UniformHalfTAM"),
    ModuleInfo(
        "i3d_se",
        "I3D-SE",
        "trainables.models.modules.i3d_se:I3DSE",
        volumetric=True,
        backbones=_RESIDUAL,
    ),
    ModuleInfo(
        "i3d_2017",
        "I3D-2017",
        "trainables.models.modules.i3d_2017:OriginalI3D",
        volumetric=True,
        backbones=("inception_v1",),
        pools=True,
    ),
    _network("slowfast", "SlowFast", "slowfast:SlowFast", _DEEP),
    _network("slowfast_4x16", "SlowFast4x16", "slowfast:SlowFast4x16", _DEEP),
    ModuleInfo(
        "csn",
        "CSN",
        "trainables.models.modules.csn:CSN",
        volumetric=True,
        backbones=_RESIDUAL,
        scratch=True,
    ),
    _network("x3d", "X3D", "x3d:X3D", ("x3d_m", "x3d_l", "tiny")),
    _volumes("resnet3d", "ResNet3D", "torchvision_networks:ResNet3D", ("resnet18",), pools=True),
    _volumes("mc3", "MC3", "torchvision_networks:MixedConvolutions", ("resnet18",)),
    _volumes("r2plus1d", "R2Plus1D", "torchvision_networks:R2Plus1D", ("resnet18",), pools=True),
    _volumes(
        "s3d_2018",
        "S3D-2018",
        "torchvision_networks:OriginalS3D",
        ("inception_v1",),
        pools=True,
        fewest_frames=16,
    ),
    _attention("swin3d", "Swin3D", "torchvision_networks:Swin3D", ("swin_t", "swin_s", "swin_b", "tiny")),
    _attention("mvit_v2", "MViTv2", "torchvision_networks:MViTv2", ("mvit_s", "tiny")),
    _attention("vit", "ViT", "vit:ViT", ("vit_b", "tiny")),
)

_BACKBONES = (
    BackboneInfo(
        "inception_v1",
        "InceptionV1",
        "trainables.models.backbones.inception_v1:INCEPTION_V1",
        weights_file="googlenet-1378be20.pth",
        weights_enum="GoogLeNet_Weights.IMAGENET1K_V1",
        input_mean=HALF,
        input_std=HALF,
    ),
    BackboneInfo(
        "resnet18",
        "ResNet18",
        "trainables.models.backbones.resnet:RESNET18",
        weights_file="resnet18-f37072fd.pth",
        weights_enum="ResNet18_Weights.IMAGENET1K_V1",
        weights_aliases=("resnet18-5c106cde.pth",),
    ),
    BackboneInfo(
        "resnet50",
        "ResNet50",
        "trainables.models.backbones.resnet:RESNET50",
        weights_file="resnet50-0676ba61.pth",
        weights_enum="ResNet50_Weights.IMAGENET1K_V1",
        weights_aliases=("resnet50-19c8e357.pth",),
    ),
    BackboneInfo(
        "resnet101",
        "ResNet101",
        "trainables.models.backbones.resnet:RESNET101",
        weights_file="resnet101-63fe2227.pth",
        weights_enum="ResNet101_Weights.IMAGENET1K_V1",
        weights_aliases=("resnet101-5d3b4d8f.pth",),
    ),
    BackboneInfo(
        "blresnet50",
        "bLResNet50",
        "trainables.models.backbones.blresnet:BLRESNET50",
        weights_file=None,
        planar=True,
    ),
    BackboneInfo("tiny", "Tiny", "trainables.models.backbones.tiny:TINY", weights_file=None),
    BackboneInfo("x3d_m", "M", None, weights_file=None, input_mean=PYSLOWFAST_MEAN, input_std=PYSLOWFAST_STD),
    BackboneInfo("x3d_l", "L", None, weights_file=None, input_mean=PYSLOWFAST_MEAN, input_std=PYSLOWFAST_STD),
    BackboneInfo("vit_b", "B", None, weights_file=None),
    BackboneInfo("swin_t", "SwinT", None, weights_file=None),
    BackboneInfo("swin_s", "SwinS", None, weights_file=None),
    BackboneInfo("swin_b", "SwinB", None, weights_file=None),
    BackboneInfo(
        "mvit_s", "MViTS", None, weights_file=None, input_mean=PYSLOWFAST_MEAN, input_std=PYSLOWFAST_STD
    ),
)

_Info = TypeVar("_Info", ModuleInfo, BackboneInfo)


def _by_name(infos: Iterable[_Info]) -> Mapping[str, _Info]:
    return MappingProxyType({info.name: replace(info, version=info.version or "1") for info in infos})


MODULES = _by_name(_MODULES)
"""ActionGrid's own."""
BACKBONES = _by_name(_BACKBONES)


def modules() -> Mapping[str, ModuleInfo]:
    """Every temporal module that can be named here: ours, then those of other packages.

    Raises:
        PlugInError: a package of plug-ins cannot be used.
    """
    return _with_plug_ins(MODULES, ModuleInfo)


def backbones() -> Mapping[str, BackboneInfo]:
    """Every backbone that can be named here: ours, then those of other packages.

    Raises:
        PlugInError: a package of plug-ins cannot be used.
    """
    return _with_plug_ins(BACKBONES, BackboneInfo)


def _with_plug_ins(ours: Mapping[str, _Info], kind: type[_Info]) -> Mapping[str, _Info]:
    known = dict(ours)
    papers = {info.paper_name: info.name for info in ours.values()}
    for name, info in plug_ins_of(kind, ours).items():
        other = papers.setdefault(info.paper_name, name)
        if other != name:
            what = f"{kind.kind} {name} would name its cells {info.paper_name}, as {other} does"
            raise PlugInError(what, f"package {info.version.partition(':')[0]}", "give it another paper_name")
        known[name] = info
    return known


def module_info(name: str) -> ModuleInfo:
    """The temporal module of this name, ours or a plug-in; ValueError with the allowed names otherwise."""
    return MODULES.get(name) or _look_up("module", name, modules())


def backbone_info(name: str) -> BackboneInfo:
    """The backbone of this name, ours, a plug-in or timm's; ValueError with the allowed names otherwise."""
    if name.startswith(TIMM):
        info: BackboneInfo = _of_timm("timm_info")(name)
        return info
    return BACKBONES.get(name) or _look_up("backbone", name, backbones())


_POOLS = {True: "always pools over time", False: "never pools over time"}


def why_not(module: str, backbone: str, temporal_pooling: bool, frames: int) -> str | None:
    """Say why a registered module does not exist with these axes; None if it does.

    Raises:
        ValueError: The module or the backbone is unknown.
    """
    info = module_info(module)
    if not _fits(info, backbone_info(backbone)):
        fitting = ", ".join(backbones_of(info))
        return f"module {module} does not exist with backbone {backbone}; allowed: {fitting}"
    if info.pools is not None and info.pools is not temporal_pooling:
        return f"module {module} {_POOLS[info.pools]}; allowed: temporal_pooling {str(info.pools).lower()}"
    if frames < info.fewest_frames:
        return f"module {module} cannot see {frames} frames; allowed: {info.fewest_frames} or more"
    if not backbone.startswith(TIMM):
        return None
    reason = _of_timm("why_not")(load_target(info), backbone, temporal_pooling)
    pooling = " with temporal pooling" if temporal_pooling else ""
    return reason and f"module {module} does not exist{pooling} with backbone {backbone}: {reason}"


def _of_timm(function: str) -> Callable[..., Any]:
    """A function of the one file that knows timm, and imports it, and torch, where it is called."""
    found: Callable[..., Any] = code_at(f"trainables.models.backbones.timm_models:{function}")
    return found


def input_statistics(module: str, backbone: str) -> tuple[Channels, Channels]:
    """Mean and standard deviation of RGB in [0, 1] that a network's pictures are normalised with."""
    network, skeleton = module_info(module), backbone_info(backbone)
    return network.input_mean or skeleton.input_mean, network.input_std or skeleton.input_std


def backbones_of(info: ModuleInfo) -> tuple[str, ...]:
    """The backbones that a module exists with."""
    return info.backbones or tuple(name for name, one in backbones().items() if _fits(info, one))


def _fits(info: ModuleInfo, skeleton: BackboneInfo) -> bool:
    if info.backbones:
        return skeleton.name in info.backbones
    return skeleton.target is not None and not (skeleton.planar and info.volumetric)


def load_target(info: ModuleInfo | BackboneInfo) -> object:
    """Import and return what `info.target` names (this is where torch gets imported).

    Raises:
        ValueError: A backbone that only its own module builds.
        PlugInError: A plug-in's code cannot be imported.
    """
    if info.target is None:
        raise ValueError(f"backbone {info.name} is no skeleton for other modules")
    target: object = code_at(info.target)
    return target


def _look_up(kind: str, name: str, known: Mapping[str, _Info]) -> _Info:
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise ValueError(f"unknown {kind} '{name}'; allowed: {', '.join(known)}{hint}")
