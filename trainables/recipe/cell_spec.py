"""The frozen, typed configuration of one cell: its model, recipe, evaluation protocol and parent.

Values not given follow the reference protocol (docs/protocol.md §§6–9).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from catalog.storage.errors import BAD_INPUT, ActionGridError
from trainables.recipe.fields import ChooseOn, Fraction, Frozen, NotNegativeInt, PositiveInt, Split
from trainables.recipe.keep import Keep, KeepPolicy
from trainables.recipe.plug_ins import PlugInError, use, versions_of
from trainables.recipe.switches import Execution, Precision

Average = Literal["logits", "softmax"]
"""What is averaged over the views of a video before its classes are ranked."""
Which = Literal["best", "last"]
"""Which of a cell's checkpoints."""


OPTIMISERS = ("sgd", "adamw")
AUGMENTATIONS = ("multi_scale_crop", "random_short_side")
"""ActionGrid's own; plug-ins add theirs (`trainables.recipe.plug_ins`)."""


class Recipe(Frozen):
    """How one cell is trained. `batch_size` counts clips per optimiser step over all workers.

    `precision`: `auto` is bf16 on a GPU and fp32 on a CPU; tf32 is of GPUs only. `betas` are AdamW's, which
    decays no tensor of one dimension; `layer_decay` is by how much its rate falls from each layer to the one
    before. `warmup_epochs` of a rate that rises linearly come before the schedule,
    which `schedule_by` steps. `mixup` is the alpha of its Beta distribution; 0: off. `rand_augment`: how many
    of RandAugment's operations a clip gets; 0: off. `repeated_augmentation`: clips of one video in a batch.
    `drop_path`: the last block's chance to be left out, in transformers. `optimiser` and `augmentation` may
    be plug-ins' names.
    """

    epochs: PositiveInt = 75
    batch_size: PositiveInt = 72
    accumulate: PositiveInt = 1
    sync_bn: bool = False
    optimiser: str = "sgd"
    lr: Annotated[float, Field(gt=0)] = 0.01
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    momentum: Fraction = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    nesterov: bool = False
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    schedule: Literal["cosine", "multistep", "constant"] = "cosine"
    milestones: tuple[PositiveInt, ...] = (15, 30, 45)
    gamma: Annotated[float, Field(gt=0)] = 0.1
    warmup_epochs: NotNegativeInt = 0
    schedule_by: Literal["epoch", "iteration"] = "epoch"
    label_smoothing: Fraction = 0.0
    mixup: Annotated[float, Field(ge=0)] = 0.0
    rand_augment: NotNegativeInt = 0
    rand_augment_magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0
    repeated_augmentation: PositiveInt = 1
    dropout: Fraction = 0.5
    drop_path: Fraction = 0.0
    init: Literal["imagenet", "kinetics", "random"] = "imagenet"
    inflation: Literal["repeat", "divide"] = "repeat"
    pooling_method: Literal["max", "avg"] = "max"
    inherit: Literal["last", "best"] = "best"
    sampling: Literal["uniform", "uniform_shared_offset", "dense"] = "uniform"
    sampling_rate: PositiveInt = 2
    crop_size: Annotated[int, Field(ge=16)] = 224
    augmentation: str = "multi_scale_crop"
    crop_scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0, 0.875, 0.75, 0.66)
    short_side_range: tuple[PositiveInt, PositiveInt] = (256, 320)
    flip: Fraction = 0.5
    precision: Precision = "auto"
    speed: Execution = Execution()

    @property
    def moments(self) -> int:
        """How many numbers the optimiser keeps for each weight."""
        return int(self.momentum > 0) if self.optimiser == "sgd" else 2


class Evaluation(Frozen):
    """A clip-level evaluation protocol (docs/protocol.md §9): 1 uniform clip, 1 centre crop by default."""

    sampling: Literal["uniform", "dense"] = "uniform"
    sampling_rate: PositiveInt = 2
    clips: PositiveInt = 1
    crops: Literal[1, 3, 5, 10] = 1
    crop_size: Annotated[int, Field(ge=16)] = 224
    short_side: Annotated[int, Field(ge=16)] = 256
    batch_size: PositiveInt = 72


class ProtocolError(ActionGridError):
    """A protocol that no video can be measured with."""

    exit_code = BAD_INPUT


def resolved_protocol(own: Evaluation, given: Mapping[str, Any]) -> Evaluation:
    """The cell's own protocol with the given fields.

    Raises:
        ProtocolError: a field's value is not allowed, or a crop does not fit into the picture.
    """
    try:
        protocol = Evaluation.model_validate(own.model_dump() | dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        what = first["msg"].replace("Input should", "should")
        raise ProtocolError(f"{option} {what}, is {first['input']!r}", "evaluation", "change it") from None
    if protocol.crop_size > protocol.short_side:
        raise ProtocolError(
            f"a crop of {protocol.crop_size} pixels is larger than a shorter side of {protocol.short_side}",
            "evaluation",
            "raise --short-side or lower --crop-size",
        )
    return protocol


class ParentCheckpoint(Frozen):
    """The checkpoint that a cell starts from, and what was recorded about it.

    `recheck_videos` is how many evaluation videos are measured again before training (0: none). A parent on
    another dataset has its `manifest` and number of classes: the child's head is new then.
    """

    key: str
    cell: str
    path: str
    sha256: str
    frames: PositiveInt
    epoch: PositiveInt
    evaluation: Evaluation
    predictions_path: str
    recheck_videos: Annotated[int, Field(ge=0)]
    manifest: str | None = None
    num_classes: PositiveInt | None = None


class StorageAddress(Frozen):
    """A storage in a bucket: its URL, and its root on the machine that made the paths beside this."""

    url: str
    root: str


class CellSpec(Frozen):
    """All that a Ray Train worker needs to train one cell. `run_dir` receives checkpoints and history.

    `frames_on_local_disk`: a folder of each machine's own disk that frame stores are copied to first. A
    worker of `attempt` stops as soon as a later attempt was let into `run_dir` (`Storage.raise_fence`).
    `keep` says which checkpoints are kept. Where memory was short, `accumulation` shares each piece of a
    batch among so many passes: the optimiser sees the same batch, BN smaller ones. `storage`: where these
    paths are to be had on other machines; None: all machines share them. `choose_on`: the share of the
    training videos that is held out of training to choose the best epoch on; None: validation chooses it.
    `plug_ins`: those of other packages that it needs, with their versions; `imports`: packages to import.
    """

    cell: str
    key: str
    module: str
    backbone: str
    temporal_pooling: bool
    frames: PositiveInt
    dataset: str
    seed: int
    num_classes: PositiveInt
    recipe: Recipe
    evaluation: Evaluation
    manifest: str
    run_dir: str
    workers: PositiveInt = 1
    threads: PositiveInt = 1
    weights_dir: str | None = None
    parent: ParentCheckpoint | None = None
    keep: Keep = KeepPolicy()
    frames_on_local_disk: str | None = None
    attempt: int | None = None
    accumulation: PositiveInt = 1
    storage: StorageAddress | None = None
    choose_on: ChooseOn = None
    plug_ins: dict[str, str] = Field(default_factory=dict)
    imports: tuple[str, ...] = ()


def plug_ins_used(module: str, backbone: str, recipe: Recipe) -> dict[str, str]:
    """The plug-ins that a training uses, such as `module shift`, with their versions."""
    parts = {"augmentation": recipe.augmentation, "optimiser": recipe.optimiser}
    return versions_of({"module": module, "backbone": backbone, **parts})


def require_plug_ins(spec: CellSpec) -> None:
    """Import what a cell needs of other packages, as it was where the cell was planned.

    Raises:
        PlugInError: a package cannot be used; or a plug-in is not here, or another version of it is.
    """
    if not spec.plug_ins:
        return
    use(spec.imports)
    here = plug_ins_used(spec.module, spec.backbone, spec.recipe)
    for label, version in spec.plug_ins.items():
        if here.get(label) != version:
            found = f"is {here[label]} here" if label in here else "is not installed here"
            what = f"{label} {found}, but {spec.cell} was planned with {version}"
            raise PlugInError(what, sys.prefix, "install the same package on all machines")


class EvaluationSpec(Frozen):
    """What a worker needs to evaluate a finished cell. `cell.evaluation` is the protocol to measure with.

    `checkpoint` with `sha256` is the one of epoch `epoch`; `videos_hash` identifies the videos of `split`;
    `identity` names the evaluation: cell, protocol, videos, `average` and `which` checkpoint.
    """

    cell: CellSpec
    identity: str
    checkpoint: str
    sha256: str
    which: Which
    epoch: PositiveInt
    average: Average
    split: Split
    videos_hash: str
