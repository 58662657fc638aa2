"""Image models of the package timm (Wightman, 2019) as backbones of 2D modules: `timm:NAME`.

timm knows no video: a network is run on single frames as it is, and what a module puts between frames is
hooked to layers that are found by a pass of two pictures on torch's `meta` device (docs/plug-ins.md). A
module's layer comes before the first layer that reads the input of a residual block, so that the block's
shortcut does not see it; a pool over time comes after the last stage of 1/4, 1/8 and 1/16 of the picture's
size.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainables.models.framework import Backbone, BackboneStyle, Depth, SpatioTemporalModule
from trainables.models.registry import TIMM, BackboneInfo
from trainables.recipe.plug_ins import PlugInError

VERSION = "1"
_HALVED_AFTER = (4, 8, 16)
_WEIGHTS_FILE = "model.safetensors"
_ANSWER_SECONDS = 5.0
_SHORTCUT = re.compile(r"shortcut|downsample|skip|proj_skip")
_CHANNELS = (
    "in_channels",
    "num_features",
    "num_channels",
    "in_features",
)  # of convolutions, norms, linear layers


@dataclass(frozen=True)
class Place:
    """A layer of a network, by its dotted name, with the features that enter or leave it there.

    `channels_last`: they are (N*T, …, C), else (N*T, C, H, W). `level`: points of halving before it.
    """

    name: str
    channels: int
    channels_last: bool
    level: int


@dataclass(frozen=True)
class Structure:
    """What a module sees of a network: `channels` of its features, places before blocks and after stages.

    Where there are none, `no_blocks` and `no_stages` say why.
    """

    channels: int
    blocks: tuple[Place, ...] = ()
    stages: tuple[Place, ...] = ()
    no_blocks: str = ""
    no_stages: str = ""


def timm_info(name: str) -> BackboneInfo:
    """The backbone of timm's model `timm:NAME`, or `timm:NAME.TAG` with a choice of weights.

    Raises:
        PlugInError: timm is not installed.
        ValueError: it has no such image model, or no such weights of it.
    """
    config = _config(name.removeprefix(TIMM))
    tag = f".{config.tag}" if config.tag else ""
    hub = str(config.hf_hub_id or "")
    return BackboneInfo(
        name=name,
        paper_name=name,
        target=f"{__name__}:{timm_backbone.__name__}",
        weights_file=f"{config.architecture}{tag}.safetensors" if hub or config.url else None,
        weights_enum=f"{TIMM}{hub}" if hub else None,
        input_mean=tuple(config.mean),
        input_std=tuple(config.std),
        planar=True,
        products=True,
        version=f"{VERSION}:timm-{_timm().__version__.partition('.')[0]}",
    )


def why_not(module: type[SpatioTemporalModule], backbone: str, temporal_pooling: bool) -> str | None:
    """Say why a 2D module cannot be put into a model of timm's; None if it can."""
    structure = structure_of(backbone)
    if module.aggregate is not SpatioTemporalModule.aggregate and structure.no_blocks:
        return structure.no_blocks
    return structure.no_stages or None if temporal_pooling else None


def timm_backbone(name: str) -> Backbone:
    """The model `timm:NAME` without its classifier, as a skeleton for 2D modules."""
    channels = structure_of(name).channels
    return Backbone(channels, BackboneStyle(), partial(_build, name=name), fresh_parts=(".inserted.",))


def pretrained_state(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors by the names that `timm:NAME` has for them here, as timm itself reads its files.

    Raises:
        RuntimeError: they do not fit the model.
    """
    network = _create(name, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(state)})
    network.reset_classifier(0)
    return {f"network.{part}": tensor for part, tensor in network.state_dict().items()}


def cached_weights(hub: str) -> Path | None:
    """The file of weights of a repository of the Hugging Face hub, where it was downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub, _WEIGHTS_FILE)
    return Path(found) if isinstance(found, str) else None


def ask_for_weights(hub: str) -> None:
    """Ask the hub whether it has a repository, which takes a second; raises what its library raises."""
    from huggingface_hub import HfApi

    HfApi().model_info(hub, timeout=_ANSWER_SECONDS)


def download_weights(hub: str) -> Path:
    """Download the file of weights of a repository; raises what its library raises."""
    from huggingface_hub import hf_hub_download

    ask_for_weights(hub)  # a download tries for half a minute where nothing answers
    return Path(hf_hub_download(hub, _WEIGHTS_FILE))


class Inserted(nn.Module):
    """A module's layer over (N*T, C, H, W), hooked to a layer of a network, whatever its layout."""

    def __init__(self, layer: nn.Module, place: Place) -> None:
        super().__init__()
        self.layer = layer
        self._channels_last = place.channels_last

    def forward(self, x: Tensor) -> Tensor:
        """Map (N*T, …, C) or (N*T, C, H, W) to the same shape, or with fewer frames where the layer pools."""
        if not self._channels_last:
            out: Tensor = self.layer(x)
            return out
        maps = x.movedim(-1, 1)
        out = self.layer(maps.reshape(*maps.shape[:2], -1, maps.shape[-1]))
        return out.reshape(-1, *maps.shape[1:]).movedim(1, -1)

    def before(self, _network: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Hook: in front of a layer."""
        return self(arguments[0]), *arguments[1:]

    def after(self, _network: nn.Module, _arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        """Hook: behind a layer."""
        mapped: Tensor = self(output)
        return mapped


class TimmTrunk(nn.Module):
    """timm's network without classifier: (N*T, 3, H, W) to the features that it pools, (N*T', D, 1, 1)."""

    def __init__(self, network: nn.Module, before: Inserts, after: Inserts) -> None:
        super().__init__()
        self.network = network
        self.inserted = nn.ModuleList()
        for place, layer in before:
            network.get_submodule(place.name).register_forward_pre_hook(self._kept(layer, place).before)
        for place, layer in after:
            network.get_submodule(place.name).register_forward_hook(self._kept(layer, place).after)

    def _kept(self, layer: nn.Module, place: Place) -> Inserted:
        self.inserted.append(Inserted(layer, place))
        kept = self.inserted[-1]
        assert isinstance(kept, Inserted)
        return kept

    def forward(self, images: Tensor) -> Tensor:
        """Map (N*T, 3, H, W) to (N*T', D, 1, 1)."""
        features: Tensor = self.network(images)
        return features[:, :, None, None]


Inserts = Iterable[tuple[Place, nn.Module]]


def _build(module: SpatioTemporalModule, *, name: str) -> nn.Module:
    structure = structure_of(name)
    count = len(structure.blocks)
    mixed = (
        (place, module.aggregate(place.channels, Depth(place.level, index, count)))
        for index, place in enumerate(structure.blocks)
    )
    pools = ((place, module.stage_pool(place.level)) for place in structure.stages)
    network = _create(name, num_classes=0)
    return TimmTrunk(network, _not_identity(mixed), _not_identity(pools))


def _not_identity(inserts: Inserts) -> Iterator[tuple[Place, nn.Module]]:
    return (one for one in inserts if not isinstance(one[1], nn.Identity))


@lru_cache(maxsize=64)
def structure_of(name: str) -> Structure:
    """Look at a model of timm's on the meta device, where tensors have shapes and no values.

    Raises:
        ValueError: its features are no single vector of a picture.
    """
    # No numbers are drawn: whether a model was looked at before must not decide its first weights.
    with torch.random.fork_rng(devices=()), torch.no_grad():
        with torch.device("meta"):
            network = _create(name, num_classes=0).eval()
            pictures = torch.zeros((2, *_config(name.removeprefix(TIMM)).input_size))
        pass_ = _Pass(network)
        features = pass_.run(pictures)
    if not isinstance(features, Tensor) or features.dim() != 2 or features.shape[0] != 2:
        raise ValueError(f"backbone {name} gives no vector of features for each picture")
    stages, no_stages = pass_.stages()
    blocks, no_blocks = pass_.blocks([place.name for place in stages])
    return Structure(features.shape[1], blocks, stages, no_blocks, no_stages)


@dataclass
class _Pass:
    """What was seen in one pass of two pictures through a network.

    `inputs` are those of its blocks in the order of the pass, `readers` the layers that read them first;
    `outputs` are those of its stages, `left_after` how many blocks had begun by then.
    """

    network: Any
    inputs: dict[str, Tensor | None] = field(default_factory=dict)
    readers: dict[str, list[Place]] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    left_after: dict[str, int] = field(default_factory=dict)

    def run(self, pictures: Tensor) -> object:
        """Look at a pass; hooks are taken away again."""
        blocks = set(_block_names(self.network))
        wanted = {one["module"] for one in _features_of(self.network)}
        hooks = []
        for name, part in self.network.named_modules():
            around = [block for block in blocks if name.startswith(f"{block}.")]
            if name in blocks:
                hooks.append(part.register_forward_pre_hook(partial(self._enters, name)))
            elif around and _computes(part):
                hooks.append(part.register_forward_pre_hook(partial(self._reads, name, around[0])))
            if name in wanted:
                hooks.append(part.register_forward_hook(partial(self._leaves, name)))
        features: object = self.network(pictures)
        for hook in hooks:
            hook.remove()
        return features

    def _enters(self, name: str, _part: nn.Module, arguments: tuple[object, ...]) -> None:
        first = arguments[0] if arguments else None
        twice = name in self.inputs
        self.inputs[name] = None if twice or not isinstance(first, Tensor) else first
        self.readers[name] = []

    def _reads(self, name: str, block: str, part: nn.Module, arguments: tuple[object, ...]) -> None:
        read = arguments[0] if arguments else None
        beside = _SHORTCUT.search(name.removeprefix(block))
        if isinstance(read, Tensor) and read is self.inputs.get(block) and not beside:
            self.readers[block].append(_place(name, part, read))

    def _leaves(self, name: str, _part: nn.Module, _arguments: object, output: object) -> None:
        if isinstance(output, Tensor):
            self.outputs[name] = output
            self.left_after[name] = len(self.inputs)

    def blocks(self, stages: list[str]) -> tuple[tuple[Place, ...], str]:
        """The places before the blocks' first layers; or none, and why."""
        found = []
        for number, (name, read) in enumerate(self.inputs.items()):
            readers = self.readers[name]
            if len(readers) != 1 or read is None:
                several = f"{len(readers)} layers read" if readers else "no layer reads"
                return (), f"{several} the input of its block {name}, so that there is no one place in front"
            if readers[0].channels < 0 or read.shape[0] != 2:
                return (), f"its block {name} has no features of single pictures in front"
            level = sum(self.left_after[stage] <= number for stage in stages)
            found.append(Place(readers[0].name, readers[0].channels, readers[0].channels_last, level))
        return tuple(found), "" if found else "timm does not say which blocks it has"

    def stages(self) -> tuple[tuple[Place, ...], str]:
        """The places behind the last stages before each halving; or none, and why."""
        last = {one["reduction"]: one for one in _features_of(self.network)}
        found = []
        for level, reduction in enumerate(_HALVED_AFTER):
            one = last.get(reduction)
            if one is None or one["module"] not in self.outputs or one["module"].count(".") > 1:
                what = f"it has no stage that timm names of 1/{reduction} of the picture's size"
                return (), f"{what}, where temporal pooling would halve the clip"
            output, channels = self.outputs[one["module"]], one["num_chs"]
            channels_last = getattr(self.network, "output_fmt", "NCHW") != "NCHW"
            if output.dim() != 4 or output.shape[-1 if channels_last else 1] != channels:
                return (), f"its stage {one['module']} gives no maps, which temporal pooling halves"
            found.append(Place(one["module"], channels, channels_last, level))
        return tuple(found), ""


def _place(name: str, part: nn.Module, read: Tensor) -> Place:
    """A layer by what it reads; -1 channels where these are neither maps nor tokens of single pictures."""
    planar = isinstance(part, nn.Conv2d | nn.modules.batchnorm._BatchNorm | nn.GroupNorm)
    planar |= "2d" in type(part).__name__ and read.dim() == 4
    channels_last = not planar and (read.dim() == 3 or isinstance(part, nn.LayerNorm | nn.Linear))
    channels = read.shape[-1 if channels_last else 1]
    told = next((getattr(part, one) for one in _CHANNELS if hasattr(part, one)), channels)
    fits = told == channels and (read.dim() == 4 or (read.dim() == 3 and channels_last))
    return Place(name, channels if fits else -1, channels_last, 0)


def _block_names(network: Any) -> list[str]:  # noqa: ANN401 - timm ships no types
    """The blocks that timm tells apart for rates by layer."""
    try:
        told = network.group_matcher(coarse=False)["blocks"]
    except (AttributeError, KeyError, TypeError, NotImplementedError):
        return []
    several = [(told, None)] if isinstance(told, str) else told
    patterns = [re.compile(one) for one, value in several if value is None and "(" in one]
    named = [(name, part) for name, part in network.named_modules() if [*part.children()]]
    found = [one for one in named if any(pattern.fullmatch(one[0]) for pattern in patterns)]
    names = [name for group, part in found for name in _inner(group, part)]
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def _inner(group: str, part: nn.Module) -> list[str]:
    """The blocks of a group: of a whole stage those that it holds, else the group itself."""
    held = getattr(part, "blocks", None)
    if not isinstance(held, nn.Sequential | nn.ModuleList):
        return [group]
    return [f"{group}.blocks.{name}" for name, _ in held.named_children()]


def _computes(part: nn.Module) -> bool:
    """Whether it does more than call others: it has none inside, or weights of its own."""
    return not [*part.children()] or bool([*part.parameters(recurse=False)])


def _features_of(network: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - timm ships no types
    told = getattr(network, "feature_info", None)
    return list(told) if isinstance(told, list) else []


def _timm() -> Any:  # noqa: ANN401 - timm ships no types
    try:
        import timm
    except ImportError as error:
        what = f"backbones {TIMM}… need the package timm"
        raise PlugInError(what, str(error), "pip install 'actiongrid[timm]'") from error
    return timm


def _create(name: str, **settings: Any) -> Any:  # noqa: ANN401 - timm ships no types
    return _timm().create_model(name.removeprefix(TIMM), **settings)


@lru_cache(maxsize=64)
def _config(name: str) -> Any:  # noqa: ANN401 - timm ships no types
    """What timm says of a model and its default weights, or those of the tag behind the dot."""
    models = _timm().models
    base = name.partition(".")[0]
    if not models.is_model(base):
        close = difflib.get_close_matches(base, models.list_models(), n=1)
        hint = f"; did you mean {TIMM}{close[0]}?" if close else ""
        raise ValueError(f"unknown backbone '{TIMM}{name}'; timm has no such image model{hint}")
    try:
        # Of some models timm knows no weights and no statistics of pictures: its defaults hold.
        return models.get_pretrained_cfg(name) or models.PretrainedCfg(architecture=base)
    except RuntimeError as error:
        tags = [one.partition(".")[2] for one in models.list_pretrained(f"{base}.*")]
        what = f"unknown backbone '{TIMM}{name}'; timm's weights of it: {', '.join(tags) or 'none'}"
        raise ValueError(what) from error
