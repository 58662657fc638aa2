"""A trained network as files that others can use, each checked against the network before it is announced.

`state-dict`: a file of torch with the tensors and their description, read with `weights_only=True`;
`torchscript`, `onnx`: a file with the network itself, the description inside; `huggingface`: a folder with
`model.safetensors`, `config.json` and the model card as `README.md`. `load_exported` reads the first and the
last back, without a storage and without a network connection.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from catalog.storage.errors import BAD_INPUT, ActionGridError
from trainables.data.frames.frame_format import FrameFormat
from trainables.inference.classifier import Device, VideoClassifier
from trainables.recipe.cell_spec import CellSpec
from trainables.recipe.keep import KeepPolicy

Form = Literal["state-dict", "torchscript", "onnx", "huggingface"]
TOLERANCE = 1e-4
"""The largest difference of a logit between an export and the network."""
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
_FORMAT = 1
_PACKAGES: Mapping[Form, tuple[str, ...]] = {
    "state-dict": (),
    "torchscript": (),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "huggingface": ("safetensors",),
}

Run = Callable[[torch.Tensor], torch.Tensor]
"""An export at work: clips (N, 3, T, S, S), normalised, on the CPU → logits (N, K)."""


class ExportError(ActionGridError):
    """A network that cannot be exported, or an export that does not say what the network says."""


class ExportTargetError(ActionGridError):
    """A path that no export can be written to or read from, or packages that are missing."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Checked:
    """How an export was checked: on so many clips, with the largest difference of a logit.

    `any_batch`: it takes any number of clips at once; else one.
    """

    clips: int
    difference: float
    any_batch: bool = True


@dataclass(frozen=True)
class _Attempt:
    """One way to write a form: `write(network, clips, path)`, where `clips` is an example of its input."""

    write: Callable[[VideoClassifier, torch.Tensor, Path], None]
    any_batch: bool = True


def require_packages(form: Form) -> None:
    """Check that what a form needs is installed.

    Raises:
        ExportTargetError: it names the packages, and how to have them.
    """
    missing = [name for name in _PACKAGES[form] if find_spec(name) is None]
    if missing:
        what = f"packages that are not installed: {', '.join(missing)}"
        raise ExportTargetError(what, f"--to {form}", "pip install 'actiongrid[export]'")


def export_network(
    network: VideoClassifier,
    form: Form,
    target: Path,
    card: Callable[[Checked], str],
    videos: Sequence[Path] = (),
    *,
    force: bool = False,
) -> Checked:
    """Write the network to `target` in this form, with its model card; it stands there once it was checked.

    The card stands in the folder of a `huggingface` export, else beside the file as `NAME.md`. The check runs
    the written file on random clips, in batches of two and of one, and on the first views of `videos`.

    Raises:
        ExportTargetError: `target` exists and `force` is not given, or it is no plain file (no folder that an
            export made): that is never replaced.
        ExportError: no way of writing it gives the network's logits; nothing is left behind.
    """
    require_packages(form)
    beside = [] if form == "huggingface" else [_card_beside(target)]
    for path in (target, *beside):
        check_target(path, folder=form == "huggingface", force=force)
    target.parent.mkdir(parents=True, exist_ok=True)
    clips = _clips(network, videos)
    with TemporaryDirectory(dir=target.parent, prefix=".actiongrid-export-") as folder:
        made = Path(folder) / target.name
        checked = _written(network, form, made, clips)
        (made / CARD if form == "huggingface" else _card_beside(made)).write_text(card(checked))
        for path in beside:
            Path(folder, path.name).replace(path)
        _move(made, target)
    return checked


def _card_beside(target: Path) -> Path:
    return target.with_name(f"{target.name}.md")


def check_target(path: Path, *, folder: bool, force: bool) -> None:
    """Refuse a path that may not be written to.

    Raises:
        ExportTargetError: as `export_network`.
    """
    if not os.path.lexists(path):
        return
    ours = _is_folder_of_ours(path) if folder else path.is_file()
    if path.is_symlink() or not ours:
        kind = "no folder that an export made" if folder else "no plain file"
        raise ExportTargetError(f"{kind}, and never replaced", path, "choose another path")
    if not force:
        raise ExportTargetError("it exists", path, "choose another path, or give --force to replace it")


def _is_folder_of_ours(path: Path) -> bool:
    """Whether a folder is empty or holds an export and nothing else."""
    return path.is_dir() and {one.name for one in path.iterdir()} <= {CONFIG, WEIGHTS, CARD}


def _move(made: Path, target: Path) -> None:
    """Put what was made in the place of what stands there, if anything."""
    if target.is_dir():
        aside = made.with_name("replaced")
        target.rename(aside)
    made.replace(target)


def _clips(network: VideoClassifier, videos: Sequence[Path]) -> list[torch.Tensor]:
    """Batches of clips to check with: two random ones, one, and the first view of each video."""
    size, frames = network.protocol.crop_size, network.spec.frames
    generator = torch.Generator().manual_seed(0)
    grey = torch.randint(256, (3, 3, frames, size, size), generator=generator, dtype=torch.uint8)
    random = network.compute.normalise(grey, network.normalisation)
    real = [one[:1] for one in network.clips_of_all(videos) if isinstance(one, torch.Tensor)]
    return [random[:2], random[2:], *real]


def _written(network: VideoClassifier, form: Form, path: Path, clips: list[torch.Tensor]) -> Checked:
    """Write the network in the first way that stands the check."""
    problems = []
    for attempt in _ATTEMPTS[form]:
        fitting = clips if attempt.any_batch else [one[:1] for one in clips]
        try:
            with _quiet():
                attempt.write(network, fitting[0], path)
                difference = _largest_difference(network, _opened(form, path), fitting)
        except Exception as error:
            # Exporters raise what they like; none of it is a reason not to try the next one.
            problems.append(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
            continue
        if difference <= TOLERANCE:
            return Checked(sum(map(len, fitting)), difference, attempt.any_batch)
        problems.append(f"logits differ by {difference:.1e}, {TOLERANCE:g} is allowed")
    raise ExportError("the export does not give the network's logits", form, "; ".join(problems))


def _largest_difference(network: VideoClassifier, run: Run, clips: Sequence[torch.Tensor]) -> float:
    """The largest difference of a logit; infinite where one is no number."""
    with torch.inference_mode():
        found = [(run(batch) - network.model(batch)).abs().max() for batch in clips]
    return max(float(torch.nan_to_num(one, nan=torch.inf)) for one in found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters say about their own future, and about sizes that are no part of the input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _tensors(network: VideoClassifier) -> dict[str, torch.Tensor]:
    """The weights as others store them: contiguous, each for itself."""
    state = network.model.state_dict()
    return {name: one.detach().cpu().contiguous().clone() for name, one in state.items()}


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """The hash of names, types, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        one = tensors[name].contiguous()
        digest.update(f"{name} {one.dtype} {tuple(one.shape)}\n".encode())
        digest.update(one.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def config_of(network: VideoClassifier) -> dict[str, Any]:
    """All that is known of a network but its weights, as JSON: what `load_exported` builds it from.

    No path of this machine is in it.
    """
    spec = network.spec.model_copy(
        update={
            "manifest": "",
            "run_dir": "",
            "weights_dir": None,
            "parent": None,
            "keep": KeepPolicy(),
            "frames_on_local_disk": None,
            "storage": None,
            "imports": (),
        }
    )
    size, norm = network.protocol.crop_size, network.normalisation
    return {
        "model_type": "actiongrid",
        "architectures": [spec.cell.partition("@")[0]],
        "id2label": {str(place): name for place, name in enumerate(network.classes)},
        "label2id": {name: place for place, name in enumerate(network.classes)},
        "num_frames": spec.frames,
        "image_size": size,
        "image_mean": norm.mean,
        "image_std": norm.std,
        "input": {"name": "clip", "layout": "NCTHW", "shape": [None, 3, spec.frames, size, size]},
        "actiongrid": {
            "format": _FORMAT,
            "spec": spec.model_dump(mode="json"),
            "frame_format": network.frame_format.model_dump(mode="json"),
            "weights_sha256": _digest(_tensors(network)),
        },
    }


def _config_text(network: VideoClassifier) -> str:
    return json.dumps(config_of(network), indent=2)


def _write_state(network: VideoClassifier, _clips: torch.Tensor, path: Path) -> None:
    torch.save({"model": _tensors(network), "config": _config_text(network)}, path)


def _write_folder(network: VideoClassifier, _clips: torch.Tensor, path: Path) -> None:
    from safetensors.torch import save_file

    path.mkdir(exist_ok=True)
    save_file(_tensors(network), path / WEIGHTS, {"format": "pt"})
    (path / CONFIG).write_text(_config_text(network))


def _write_script(network: VideoClassifier, clips: torch.Tensor, path: Path) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(network.model, (clips,), check_trace=False)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, str(path), _extra_files={CONFIG: _config_text(network)})


def _write_onnx(network: VideoClassifier, clips: torch.Tensor, path: Path, **how: Any) -> None:  # noqa: ANN401
    import onnx

    torch.onnx.export(
        network.model,
        (clips,),
        str(path),
        input_names=["clip"],
        output_names=["logits"],
        opset_version=18,
        external_data=False,
        verbose=False,
        **how,
    )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {"actiongrid": _config_text(network)})
    onnx.save(model, str(path))


def _write_onnx_traced(network: VideoClassifier, clips: torch.Tensor, path: Path) -> None:
    axes = {"clip": {0: "batch"}, "logits": {0: "batch"}} if len(clips) > 1 else None
    _write_onnx(network, clips, path, dynamo=False, dynamic_axes=axes)


def _write_onnx_captured(network: VideoClassifier, clips: torch.Tensor, path: Path) -> None:
    _write_onnx(network, clips, path, dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},))


# ONNX: torch's older exporter takes seconds and knows more layers; what it gets wrong (writes into views) the
# newer one, which takes minutes, gets right. With one clip at a time shapes are constants, which both know.
_ATTEMPTS: Mapping[Form, tuple[_Attempt, ...]] = {
    "state-dict": (_Attempt(_write_state),),
    "huggingface": (_Attempt(_write_folder),),
    "torchscript": (_Attempt(_write_script), _Attempt(_write_script, any_batch=False)),
    "onnx": (
        _Attempt(_write_onnx_traced),
        _Attempt(_write_onnx_captured),
        _Attempt(_write_onnx_traced, any_batch=False),
    ),
}


def _opened(form: Form, path: Path) -> Run:
    """The export as it was written, ready to run."""
    if form == "torchscript":
        script: Run = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        return script
    if form == "onnx":
        return _onnx_session(path)
    model: Run = load_exported(path, "cpu").model
    return model


def _onnx_session(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda clips: torch.from_numpy(session.run(["logits"], {"clip": clips.numpy()})[0])


def load_exported(path: str | Path, device: Device = "auto") -> VideoClassifier:
    """The network of a `state-dict` or `huggingface` export, ready for videos; needs no storage.

    Files are not trusted: no code comes from them. A network of a plug-in needs its package installed.

    Raises:
        ExportTargetError: there is no such export, or it is damaged.
        ParentMismatchError: its weights are those of another architecture.
    """
    path = Path(path)
    try:
        config, tensors = _read_folder(path) if path.is_dir() else _read_state(path)
        own = config["actiongrid"]
        spec = CellSpec.model_validate(own["spec"] | {"imports": ()})
        frame_format = FrameFormat.model_validate(own["frame_format"])
        classes = tuple(str(config["id2label"][str(place)]) for place in range(spec.num_classes))
        whole = own["format"] == _FORMAT and own["weights_sha256"] == _digest(tensors)
    except ActionGridError:
        raise
    except Exception as error:  # whatever readers of damaged files raise
        what = f"not a whole export of a network ({type(error).__name__}: {str(error)[:200]})"
        raise ExportTargetError(what, path, "export it again") from error
    if not whole:
        what = "the weights do not match their checksum, or another version of ActionGrid wrote them"
        raise ExportTargetError(what, path, "export it again")
    return VideoClassifier.of(spec, classes, frame_format, tensors, device)


def _read_folder(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    require_packages("huggingface")
    from safetensors.torch import load_file

    return json.loads((path / CONFIG).read_text()), load_file(path / WEIGHTS)


def _read_state(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    return json.loads(state["config"]), state["model"]
