from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from trainables.data.datasets import OFFICIAL, DatasetConfig, OfficialDataset
from trainables.data.datasets.user_files import MINI_KINETICS, MINI_SSV2, mini_classes
from trainables.data.frames.frame_format import FrameFormat

ADAPTER: TypeAdapter[DatasetConfig] = TypeAdapter(DatasetConfig)


def test_the_published_numbers() -> None:
    numbers = {name: (i.num_classes, i.train_videos, i.val_videos) for name, i in OFFICIAL.items()}
    assert numbers == {
        "mini-ssv2": (87, 81_663, 11_799),
        "mini-kinetics": (200, 121_215, 9_837),
        "mini-mit": (200, 100_000, 10_002),
        "ssv2": (174, 168_913, 24_777),
        "kinetics400": (400, 240_436, 19_796),
        "mit": (339, 802_264, 33_900),
        "ucf101": (101, 9_537, 3_783),
        "hmdb51": (51, 3_570, 1_530),
        "jester": (27, 118_562, 14_787),
    }


@pytest.mark.parametrize("name", OFFICIAL)
def test_each_says_how_to_get_and_build_it(name: str) -> None:
    how = ADAPTER.validate_python({"kind": "official", "name": name}).info().how_to_get
    assert f"actiongrid data build {name} --videos DIR --annotations DIR" in how


@pytest.mark.parametrize(
    ("name", "min_frames", "short_side", "split"),
    [
        ("ssv2", 3, 256, None),
        ("mini-ssv2", 3, 256, None),
        ("kinetics400", 30, 256, None),
        ("mini-kinetics", 30, 256, None),
        ("mit", 1, None, None),
        ("mini-mit", 1, None, None),
        ("ucf101", 1, 256, 1),
        ("hmdb51", 1, 256, 1),
        ("jester", 1, 256, None),
    ],
)
def test_defaults_follow_the_protocol_by_name(
    name: str, min_frames: int, short_side: int | None, split: int | None
) -> None:
    config = ADAPTER.validate_python({"kind": "official", "name": name})
    assert isinstance(config, OfficialDataset)
    assert (config.min_frames, config.frame_format.short_side, config.split) == (
        min_frames,
        short_side,
        split,
    )
    assert config.allow_missing == 0.0
    assert ADAPTER.validate_python(config.model_dump(mode="json")) == config


def test_options_given_replace_the_defaults() -> None:
    given = {"kind": "official", "name": "mit", "min_frames": 5, "frame_format": {"quality": 90}}
    config = ADAPTER.validate_python(given)
    assert config == OfficialDataset(
        name="mit", min_frames=5, frame_format=FrameFormat(short_side=None, quality=90)
    )
    assert OfficialDataset(name="hmdb51", split=3).split == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "ucf"},
        {"name": "ssv2", "split": 2},
        {"name": "ucf101", "split": 4},
        {"name": "ucf101", "split": None},
        {"name": "ssv2", "folder": "here"},
        {},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python({"kind": "official", **wrong})


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({"name": "ucf101", "split": 1}, ""),
        ({"name": "ucf101", "split": 3}, " --split 3"),
        ({"name": "mit", "frame_format": {"short_side": 128}}, " --short-side 128"),
        (
            {"name": "ssv2", "frame_format": {"short_side": None, "quality": 92, "shard_mb": 64}},
            " --short-side none --quality 92 --shard-mb 64",
        ),
        ({"name": "ssv2", "frame_format": {"mode": "direct"}}, " --direct"),
        ({"name": "kinetics400", "min_frames": 10}, " --min-frames 10"),
    ],
)
def test_the_command_has_the_options_of_the_declaration(options: dict[str, object], flags: str) -> None:
    info = ADAPTER.validate_python({"kind": "official", **options}).info()
    assert info.how_to_get.endswith(f"--videos DIR --annotations DIR{flags}`")


def test_other_splits_have_other_numbers() -> None:
    info = OfficialDataset(name="ucf101", split=3).info()
    assert (info.train_videos, info.val_videos) == (9_624, 3_696)
    assert OfficialDataset(name="hmdb51", split=3).info().train_videos == 3_570


@pytest.mark.parametrize(
    ("file", "name", "first", "last"),
    [
        (MINI_KINETICS, "mini-kinetics", "air drumming", "yoga"),
        (MINI_SSV2, "mini-ssv2", "Approaching something with your camera", "Unfolding something"),
    ],
)
def test_the_class_lists_of_the_mini_sets(file: str, name: str, first: str, last: str) -> None:
    classes = mini_classes(file)
    assert (classes[0], classes[-1]) == (first, last)
    assert classes == tuple(sorted(set(classes)))
    assert len(classes) == OFFICIAL[name].num_classes
