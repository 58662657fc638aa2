"""Pretrained weights: where torchvision's files are, how they become a video model's (docs/protocol.md §6).

Loading is strict both ways: what a model does not inherit must be on its short list of fresh tensors, and
what a file holds must be used or be a known head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from catalog.storage.atomic import user_path
from catalog.storage.errors import BAD_INPUT, ActionGridError, FailureKind
from trainables.models.pretrained import TITLES, WeightsFile, starting_weights
from trainables.models.registry import TIMM

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.models.video_model import VideoModel


Inflation = Literal["repeat", "divide"]


def inflate(kernel: Tensor, length: int, method: Inflation) -> Tensor:
    """Repeat a kernel (Cout, Cin, kh, kw) `length` times along time: (Cout, Cin, length, kh, kw).

    2D kernels into 3D ones: Carreira and Zisserman, 2017; docs/protocol.md §6.
    `repeat` leaves the copies as they are, as the published models did: activations start about `length`
    times too large. `divide` scales them so that a still clip gives the picture's response.
    """
    volume = kernel.unsqueeze(2).repeat(1, 1, length, 1, 1)
    return volume / length if method == "divide" else volume


# Not in files saved before PyTorch 0.4.1, and without influence on a model with a fixed BN momentum.
BN_COUNTER = ".num_batches_tracked"


class WeightsError(ActionGridError):
    """Pretrained weights cannot be used: the file is damaged or holds other tensors than it should."""

    failure_kind = FailureKind.MISSING_WEIGHTS


class MissingWeightsError(WeightsError):
    """No file of pretrained weights was found or could be had. The message names the way out."""

    exit_code = BAD_INPUT


def find_weights(wanted: WeightsFile, weights_dir: str | None) -> Path:
    """Find torchvision's weight file in `weights_dir`, then in torch hub's cache.

    Raises:
        MissingWeightsError: There is no such file.
    """
    folders = [user_path(weights_dir)] if weights_dir is not None else []
    folders.append(_cache_dir())
    for folder in folders:
        for name in (wanted.name, *wanted.aliases):
            if (folder / name).is_file():
                return folder / name
    repository = timm_repository(wanted)
    if repository is not None:
        from trainables.models.backbones.timm_models import cached_weights

        if (cached := cached_weights(repository)) is not None:
            return cached
    looked = " and ".join([*map(str, folders), *(["Hugging Face's cache"] if repository else [])])
    raise MissingWeightsError(
        f"{wanted.title} not found",
        f"looked in {looked}",
        f"put {_publisher(wanted)}'s file there, name its folder with "
        "--weights-dir, or set the recipe's init to random",
    )


def timm_repository(wanted: WeightsFile) -> str | None:
    """The repository on the Hugging Face hub of a file of timm's; None for other files."""
    return wanted.enum.removeprefix(TIMM) if wanted.enum and wanted.enum.startswith(TIMM) else None


def why_no_download(wanted: WeightsFile) -> str:
    """Why a file that is not here cannot be downloaded; "" if it can, as torchvision's, which nobody asks."""
    if wanted.enum is None:
        return "nobody offers it for download"
    repository = timm_repository(wanted)
    if repository is None:
        return ""
    from trainables.models.backbones.timm_models import ask_for_weights

    try:
        ask_for_weights(repository)
    except Exception as error:  # network, proxy and the hub's own errors share no base class
        return f"Hugging Face does not give it ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    return ""


def _publisher(wanted: WeightsFile) -> str:
    if timm_repository(wanted):
        return "timm"
    return "torchvision" if wanted.enum else "its author"


def fetch_weights(wanted: WeightsFile, weights_dir: str | None) -> Path:
    """As `find_weights`, but a file that is not here is downloaded into torch hub's cache first.

    Raises:
        MissingWeightsError: The file is not here and cannot be downloaded.
    """
    try:
        return find_weights(wanted, weights_dir)
    except MissingWeightsError as missing:
        _download(wanted, missing)
    return find_weights(wanted, weights_dir)


def initialise_from(
    init: str, model: VideoModel, network: tuple[str, str], weights_dir: str | None, inflation: Inflation
) -> tuple[str, ...]:
    """Load a recipe's `init` into `model`, inflating 2D kernels along time for 3D modules.

    `network` is the model's module and backbone. A file that is neither in `weights_dir` nor in the cache is
    downloaded through torchvision's weights API.

    Returns:
        The sorted names of the tensors that were not inherited: the classifier, and layers over time only.

    Raises:
        MissingWeightsError: There are no such weights, or they are not here and cannot be downloaded.
        WeightsError: The file is damaged, or its tensors do not fit this network.
        ValueError: The module or the backbone is unknown.
    """
    wanted = starting_weights(init, *network)
    if wanted is None:
        what, where = f"no {TITLES[init]} weights exist", "module '{}', backbone '{}'".format(*network)
        raise MissingWeightsError(what, where, "set the recipe's init to random")
    inherited = _translated(_read_weights(wanted, weights_dir), wanted, network[1])
    target = model.state_dict()
    _check_names(inherited, target, model.fresh_parts, wanted)
    for name, tensor in inherited.items():
        inherited[name] = _fit(name, tensor, target[name], inflation, wanted)
    model.load_state_dict(inherited, strict=False)
    return tuple(sorted(set(target) - set(inherited)))


def _translated(source: Mapping[str, Tensor], wanted: WeightsFile, backbone: str) -> dict[str, Tensor]:
    """A file's tensors by the model's names, without the heads that the trunk has no use for."""
    if not backbone.startswith(TIMM):
        return _translate(source, *_names(wanted, backbone))
    from trainables.models.backbones.timm_models import pretrained_state

    try:
        state = pretrained_state(backbone, source)
    except (RuntimeError, KeyError) as error:
        what, told = f"{wanted.title} do not fit this network", " ".join(str(error).split())[:300]
        raise WeightsError(what, told, "use timm's own file") from error
    return {f"trunk.{name}": tensor for name, tensor in state.items()}


Renames = tuple[tuple[str, str], ...]
_NETWORKS_HEADS = ("fc.", "classifier.", "head.")


def _names(wanted: WeightsFile, backbone: str) -> tuple[Renames, tuple[str, ...]]:
    """How a file's names become the trunk's, and the prefixes of what the trunk has no use for."""
    from trainables.models.video_model import load_backbone

    if wanted.trained_on == "kinetics":
        return (), _NETWORKS_HEADS
    skeleton = load_backbone(backbone)
    return skeleton.renames, skeleton.unused_weights


def _cache_dir() -> Path:
    import torch.hub

    return Path(torch.hub.get_dir()) / "checkpoints"


def _read_weights(wanted: WeightsFile, weights_dir: str | None) -> Mapping[str, Tensor]:
    try:
        path = find_weights(wanted, weights_dir)
    except MissingWeightsError as missing:
        return _download(wanted, missing)
    import torch

    try:
        state = _tensors_of(path)
    except Exception as error:  # torch.load raises half a dozen types for a damaged file
        raise WeightsError(
            f"{TITLES[wanted.trained_on]} weights cannot be read ({type(error).__name__})",
            path,
            f"delete the file and get it again from {_publisher(wanted)}",
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        what_to_do = f"get the file again from {_publisher(wanted)}"
        raise WeightsError("not a state dict of tensors", path, what_to_do)
    return state


def _tensors_of(path: Path) -> object:
    """What a file holds; nothing in it is run."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    import torch

    held: object = torch.load(path, map_location="cpu", weights_only=True)
    return held


def _download(wanted: WeightsFile, missing: MissingWeightsError) -> Mapping[str, Tensor]:
    if wanted.enum is None:
        raise missing
    try:
        state = _downloaded(wanted.enum, timm_repository(wanted))
    except Exception as error:  # network, proxy, disk and hash errors share no base class
        reason = f"the download failed too ({type(error).__name__}: {error})"
        raise MissingWeightsError(missing.what, missing.where, f"{missing.what_to_do}; {reason}") from error
    return state


def _downloaded(enum: str, repository: str | None) -> dict[str, Any]:
    """Torchvision's weights by their name in its API, or timm's from their repository."""
    if repository is not None:
        from trainables.models.backbones.timm_models import download_weights

        state: Any = _tensors_of(download_weights(repository))
        return dict(state)
    from torchvision.models import get_weight

    return dict(
        get_weight(enum).get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    )


def _translate(source: Mapping[str, Tensor], renames: Renames, unused: tuple[str, ...]) -> dict[str, Tensor]:
    """Torchvision's names into the model's, without what begins with one of `unused`."""
    inherited = {}
    for name, tensor in source.items():
        if name.startswith(unused):
            continue
        renamed = name
        for pattern, replacement in renames:
            renamed = re.sub(pattern, replacement, renamed)
        inherited[f"trunk.{renamed}"] = tensor
    return inherited


def _check_names(
    inherited: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    fresh_parts: tuple[str, ...],
    wanted: WeightsFile,
) -> None:
    def may_be_fresh(name: str) -> bool:
        return (
            name.startswith("fc.") or name.endswith(BN_COUNTER) or any(part in name for part in fresh_parts)
        )

    missing = sorted(name for name in target.keys() - inherited.keys() if not may_be_fresh(name))
    unknown = sorted(inherited.keys() - target.keys())
    if missing or unknown:
        raise WeightsError(
            f"{wanted.title} do not fit this network",
            f"missing: {_some(missing)}; unknown: {_some(unknown)}",
            "use torchvision's own file",
        )


def _fit(name: str, tensor: Tensor, target: Tensor, inflation: Inflation, wanted: WeightsFile) -> Tensor:
    fitted = tensor
    if target.dim() == 5 and tensor.dim() == 4:
        fitted = inflate(tensor, target.shape[2], inflation)
    if fitted.shape != target.shape:
        raise WeightsError(
            f"{wanted.title} have another shape",
            f"{name}: {tuple(tensor.shape)} for {tuple(target.shape)}",
            "use torchvision's own file",
        )
    return fitted


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5]) or "none"
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
