"""The official datasets in small, as their publishers distribute them: real annotation files, real videos.

Every class has one training and one validation video, all of them one clip under many names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from trainables.data.datasets import DatasetFolders, Entry
from trainables.data.datasets.user_files import MINI_KINETICS, MINI_SSV2, mini_classes
from trainables.data.ingest.synthetic_videos import write_h264
from trainables.recipe.fields import Split

FRAMES = 12
# Containers other than .mp4: the codec that the publishers use in them, or the nearest that comes with PyAV.
_CODECS = {".webm": "libvpx-vp9", ".avi": "mpeg4", ".mkv": "libx264"}

# In Kinetics and Something-Something, with classes of the mini sets and others: an order of its own.
KINETICS_CLASSES = tuple(
    sorted([*mini_classes(MINI_KINETICS), *(f"{'az'[n % 2]} pastime (no. {n})" for n in range(200))])
)
SSV2_CLASSES = tuple(sorted([*mini_classes(MINI_SSV2), *(f"Turning something {n} times" for n in range(87))]))
JESTER_CLASSES = ("Swiping Left", "Doing other things", *(f"Gesture {n}" for n in range(25)))
UCF_CLASSES = ("ApplyEyeMakeup", "HandstandPushups", *(f"Sport{n}" for n in range(99)))
HMDB_CLASSES = ("brush_hair", "climb", "climb_stairs", *(f"deed_{n:02d}" for n in range(48)))


@dataclass(frozen=True)
class DatasetFiles:
    """A dataset as a user has it: `videos` and `annotations`, and the clip that all videos are."""

    root: Path
    clip: Path

    @property
    def videos(self) -> Path:
        return self.root / "videos"

    @property
    def annotations(self) -> Path:
        return self.root / "annotations"

    @property
    def sources(self) -> DatasetFolders:
        return DatasetFolders(self.videos, self.annotations)

    def place(self, *names: str) -> None:
        """Put the clip under these names, relative to the folder of videos."""
        for name in names:
            path = self.videos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.clip, path)

    def move(self, old: str, new: str) -> None:
        (self.videos / new).parent.mkdir(parents=True, exist_ok=True)
        (self.videos / old).rename(self.videos / new)

    def remove(self, name: str) -> str:
        (self.videos / name).unlink()
        return str(self.videos / name)

    def write(self, name: str, lines: Iterable[str], ending: str = "\n") -> Path:
        """An annotation file; `name` is relative to the folder of annotations."""
        path = self.annotations / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}{ending}" for line in lines), newline="")
        return path

    def add(self, name: str, *lines: str) -> None:
        with (self.annotations / name).open("a") as stream:
            stream.writelines(f"{line}\n" for line in lines)

    def entries(self, split: Split, names: Iterable[str]) -> tuple[Entry, ...]:
        """Entries in label order, one a class."""
        return tuple(Entry(self.videos / name, split, label) for label, name in enumerate(names))


def write_clip(path: Path) -> Path:
    """A short video of noise, in the codec that the suffix calls for."""
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, 32, 48, 3), np.uint8)
    if path.suffix == ".mp4":
        write_h264(frames, 12, FRAMES, path)
        return path
    with av.open(path, "w") as container:
        stream = container.add_stream(_CODECS[path.suffix], rate=12)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def frames_in(path: Path) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def kinetics_row(label: str, name: str, start: int, split: str) -> str:
    quoted = f'"{label}"' if "(" in label else label
    return f"{quoted},{name},{start},{start + 10},{split}"


def kinetics_id(split: str, number: int) -> str:
    """As YouTube's: 11 characters, the first one often no letter."""
    return f"{'-_a'[number % 3]}{split:_<5}{number:05d}"


def write_kinetics(files: DatasetFiles) -> None:
    """As DeepMind's archive: `train.csv`, `validate.csv`, `test.csv`; videos `train/ID_start_end.mp4`."""
    header = "label,youtube_id,time_start,time_end,split"
    for split, word in (("train", "train"), ("val", "validate")):
        rows = [
            kinetics_row(label, kinetics_id(split, number), number, word)
            for number, label in enumerate(KINETICS_CLASSES)
        ]
        files.write(f"kinetics400/{word}.csv", [header, *reversed(rows)])
        files.place(*(kinetics_video(split, number) for number in range(len(KINETICS_CLASSES))))
    files.write("kinetics400/test.csv", [header, kinetics_row("yoga", "test_______", 0, "test")])


def kinetics_video(split: str, number: int) -> str:
    return f"{split}/{kinetics_id(split, number)}_{number:06d}_{number + 10:06d}.mp4"


def ssv2_item(number: int, template: str) -> dict[str, object]:
    label = template.replace("[something]", "a cup").lower()
    return {"id": str(number), "label": label, "template": template, "placeholders": ["a cup"]}


def write_ssv2(files: DatasetFiles) -> None:
    """As Qualcomm's archives; videos `1000.webm` and on (train), `2000.webm` and on (val)."""
    labels = {name: str(index) for index, name in enumerate(SSV2_CLASSES)}
    # Not in the order of the indices, and in brackets whatever stood in them.
    files.write("labels/labels.json", [json.dumps(dict(reversed(labels.items())))])
    for first, split in ((1000, "train"), (2000, "validation")):
        templates = [
            name.replace("something", "[something]").replace("number of", "[number of]")
            for name in SSV2_CLASSES
        ]
        items = [ssv2_item(first + index, template) for index, template in enumerate(templates)]
        files.write(f"labels/{split}.json", [json.dumps(items)])
        files.place(*(f"20bn-something-something-v2/{item['id']}.webm" for item in items))
    files.write("labels/test.json", [json.dumps([{"id": "9"}])])


def mit_classes(number: int) -> tuple[str, ...]:
    """In the publisher's order, which is not the alphabet's."""
    return tuple(f"adult+female+singing+{n}" if n % 2 else f"clapping{n}" for n in range(number, 0, -1))


def write_mit(files: DatasetFiles, num_classes: int) -> None:
    """As MIT's archive; the same file name stands for other videos in other classes and splits."""
    classes = mit_classes(num_classes)
    files.write("moments_categories.txt", [f"{name},{index}" for index, name in enumerate(classes)])
    for file, folder in (("trainingSet.csv", "training"), ("validationSet.csv", "validation")):
        files.write(file, [f"{name}/yt-abc_5.mp4,{name},3,1" for name in classes])
        files.place(*(f"{folder}/{name}/yt-abc_5.mp4" for name in classes))


def ucf_file(label: str, group: int) -> str:
    # The publisher's own slip: the folder's name and the files' name of this class differ.
    spelt = "HandStandPushups" if label == "HandstandPushups" else label
    return f"{label}/v_{spelt}_g{group:02d}_c01.avi"


def write_ucf101(files: DatasetFiles) -> None:
    """As UCF's archives, with Windows' line ends; split N tests group N and trains on the next one."""
    folder = "ucfTrainTestlist"
    indices = [f"{index} {name}" for index, name in enumerate(UCF_CLASSES, 1)]
    files.write(f"{folder}/classInd.txt", indices, "\r\n")
    for number in (1, 2, 3):
        train = [f"{ucf_file(name, number % 3 + 1)} {index}" for index, name in enumerate(UCF_CLASSES, 1)]
        files.write(f"{folder}/trainlist{number:02d}.txt", train, "\r\n")
        test = [ucf_file(name, number) for name in UCF_CLASSES]
        files.write(f"{folder}/testlist{number:02d}.txt", test, "\r\n")
        files.place(*(f"UCF-101/{name}" for name in test))


def hmdb_file(label: str, number: int) -> str:
    return f"#20_(Rad)Schlag!_{label}_u_nm_np1_ba_goo_{number}.avi"


def write_hmdb51(files: DatasetFiles) -> None:
    """As Brown's archives; in split N video N is for testing, the next for training, the third unused."""
    for label in HMDB_CLASSES:
        for split in (1, 2, 3):
            marks = {split: 2, split % 3 + 1: 1, (split + 1) % 3 + 1: 0}
            lines = [f"{hmdb_file(label, number)} {marks[number]} " for number in (1, 2, 3)]
            files.write(f"testTrainMulti_7030_splits/{label}_test_split{split}.txt", lines)
        files.place(*(f"{label}/{hmdb_file(label, number)}" for number in (1, 2, 3)))


def write_jester(files: DatasetFiles) -> None:
    """As Qualcomm's archive of labels; videos `100.webm` (train) and `200.webm` (val)."""
    files.write("labels/labels.csv", JESTER_CLASSES)
    for first, split in ((100, "train"), (200, "validation")):
        files.write(f"labels/{split}.csv", [f"{first + n};{name}" for n, name in enumerate(JESTER_CLASSES)])
        files.place(*(f"20bn-jester-v1/{first + n}.webm" for n in range(len(JESTER_CLASSES))))
    files.write("labels/test.csv", ["9"])
