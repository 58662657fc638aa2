"""The official datasets by name: what their publishers say of them, and the options they are built with."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from trainables.data.datasets.base import DatasetFolders, DatasetInfo
from trainables.data.frames.frame_format import FrameFormat
from trainables.recipe.fields import Fraction, Frozen

OfficialName = Literal[
    "mini-ssv2",
    "mini-kinetics",
    "mini-mit",
    "ssv2",
    "kinetics400",
    "mit",
    "ucf101",
    "hmdb51",
    "jester",
]

_COMMAND = "actiongrid data build {} --videos DIR --annotations DIR"
_SSV2 = "request Something-Something V2 from its publisher (Qualcomm)"
_KINETICS = "fetch the Kinetics-400 videos and annotations with the CVDF scripts"
_MIT = "request Moments in Time from its publisher (MIT)"


def _info(name: str, classes: int, train: int, val: int, source: str) -> DatasetInfo:
    return DatasetInfo(classes, train, val, f"{source}, then run `{_COMMAND.format(name)}`")


# Classes: docs/protocol.md §7. Videos of the mini sets: the lists published by the study's
# authors; with them the 288 cells cost the documented 608 EFLOP. Full sets: as published by their owners;
# UCF101 and HMDB51: their split 1.
OFFICIAL: MappingProxyType[str, DatasetInfo] = MappingProxyType(
    {
        "mini-ssv2": _info("mini-ssv2", 87, 81_663, 11_799, _SSV2),
        "mini-kinetics": _info("mini-kinetics", 200, 121_215, 9_837, _KINETICS),
        "mini-mit": _info("mini-mit", 200, 100_000, 10_002, f"{_MIT}, its official mini set"),
        "ssv2": _info("ssv2", 174, 168_913, 24_777, _SSV2),
        "kinetics400": _info("kinetics400", 400, 240_436, 19_796, _KINETICS),
        "mit": _info("mit", 339, 802_264, 33_900, _MIT),
        "ucf101": _info(
            "ucf101", 101, 9_537, 3_783, "fetch UCF101 and its recognition splits from its publisher (UCF)"
        ),
        "hmdb51": _info(
            "hmdb51", 51, 3_570, 1_530, "fetch HMDB51 and its splits from its publisher (Brown University)"
        ),
        "jester": _info("jester", 27, 118_562, 14_787, "request Jester from its publisher (Qualcomm)"),
    }
)

# docs/protocol.md §7: videos with fewer frames are dropped.
_MIN_FRAMES = MappingProxyType({"ssv2": 3, "mini-ssv2": 3, "kinetics400": 30, "mini-kinetics": 30})
_AS_THEY_ARE = frozenset({"mit", "mini-mit"})  # docs/protocol.md §7: frames are kept in their own size
_WITH_SPLITS = frozenset({"ucf101", "hmdb51"})
# Training and test videos of UCF101's other splits; HMDB51's have the same numbers in all three.
_UCF101_VIDEOS = MappingProxyType({2: (9_586, 3_734), 3: (9_624, 3_696)})


class OfficialDataset(Frozen):
    """An official dataset; where its files lie is said when it is built, or by `videos` and `annotations`.

    `allow_missing` is the share of listed videos that may be missing or unusable: none unless the user
    decides otherwise. Videos with fewer than `min_frames` frames are quarantined. `split` is the publisher's
    split of UCF101 and HMDB51, whose test videos are our validation. Defaults follow section 7 by name.
    """

    kind: Literal["official"] = "official"
    name: OfficialName
    split: Literal[1, 2, 3] | None = None
    allow_missing: Fraction = 0.0
    min_frames: Annotated[int, Field(ge=1)] = 1
    frame_format: FrameFormat = FrameFormat()
    videos: Annotated[str, Field(min_length=1)] | None = None
    annotations: Annotated[str, Field(min_length=1)] | None = None

    @property
    def sources(self) -> DatasetFolders | None:
        """Where the files lie, if the declaration says so; no part of what the dataset is."""
        if self.videos is None and self.annotations is None:
            return None
        return DatasetFolders(*(Path(text) if text else None for text in (self.videos, self.annotations)))

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: object) -> object:
        """Defaults that depend on the name, so that leaving them out and spelling them out are the same."""
        if not isinstance(given, dict):
            return given
        name = str(given.get("name"))
        defaults: dict[str, Any] = {"min_frames": _MIN_FRAMES.get(name, 1)}
        if name in _WITH_SPLITS:
            defaults["split"] = 1
        filled = {**defaults, **given}
        frames = filled.get("frame_format", {})
        if name in _AS_THEY_ARE and isinstance(frames, dict):
            filled["frame_format"] = {"short_side": None, **frames}
        return filled

    @model_validator(mode="after")
    def _check_split(self) -> Self:
        if (self.split is None) == (self.name in _WITH_SPLITS):
            raise ValueError(f"split is for {' and '.join(sorted(_WITH_SPLITS))}; {self.name}; leave it out")
        return self

    def info(self) -> DatasetInfo:
        """Classes and numbers of videos as published, and the command that builds it with these options."""
        info = OFFICIAL[self.name]
        command = _COMMAND.format(self.name)
        how = info.how_to_get.replace(command, " ".join((command, *self._flags())))
        train, val = info.train_videos, info.val_videos
        if self.name == "ucf101" and self.split is not None:
            train, val = _UCF101_VIDEOS.get(self.split, (train, val))
        return DatasetInfo(info.num_classes, train, val, how)

    def _flags(self) -> list[str]:
        """The command's options for what differs from this dataset's defaults."""
        default, frames = OfficialDataset(name=self.name), self.frame_format
        flags = [f"--split {self.split}"] if self.split != default.split else []
        if frames.mode == "direct":
            flags.append("--direct")
        if frames.short_side != default.frame_format.short_side:
            flags.append(f"--short-side {frames.short_side or 'none'}")
        if frames.quality != default.frame_format.quality:
            flags.append(f"--quality {frames.quality}")
        if self.min_frames != default.min_frames:
            flags.append(f"--min-frames {self.min_frames}")
        if frames.shard_mb != default.frame_format.shard_mb:
            flags.append(f"--shard-mb {frames.shard_mb}")
        return flags
