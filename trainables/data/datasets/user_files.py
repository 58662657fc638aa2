"""What lies in the folders that a user names: videos by name, annotation files, folders of pictures.

A folder is read once and whole: asking for each of Kinetics' 240,000 files by itself would take hours on
network storage.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from trainables.data.datasets.base import DatasetError, Sources
from trainables.data.datasets.folder import VIDEO_SUFFIXES

_DOCUMENT_SUFFIXES = frozenset({".csv", ".json", ".txt"})
_PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class UserFiles:
    """One folder of the user's, with all folders below it; hidden files and folders are ignored.

    `videos` has the paths of all videos by their name without suffix, `picture_folders` the names of folders
    that hold pictures.
    """

    root: Path
    videos: Mapping[str, tuple[str, ...]]
    documents: tuple[Path, ...]
    picture_folders: frozenset[str]

    def document(self, *names: str) -> Path:
        """The one file with one of these names (in lower case), the nearest to the root.

        Raises:
            DatasetError: there is none, or two are equally near.
        """
        found = sorted(path for path in self.documents if path.name.lower() in names)
        nearest = min((len(path.parts) for path in found), default=0)
        nearest_found = [path for path in found if len(path.parts) == nearest]
        if not nearest_found:
            others = f" (or {', '.join(names[1:])})" if names[1:] else ""
            raise DatasetError(
                f"annotation file {names[0]}{others} not found; {self.root}; "
                "give the folder of the publisher's annotation files with --annotations"
            )
        if len(nearest_found) > 1:
            listed = " and ".join(str(path.relative_to(self.root)) for path in nearest_found)
            raise DatasetError(
                f"two files could be meant: {listed}; {self.root}; give the folder of the right one "
                "with --annotations"
            )
        return nearest_found[0]


def stem_of(file_name: str) -> str:
    """A file's name without any video suffix; downloaders leave two of them (`ID.mp4.mkv`)."""
    name = file_name if file_name.isascii() else normalize("NFC", file_name)
    while (dot := name.rfind(".")) > 0 and name[dot:].lower() in VIDEO_SUFFIXES:
        name = name[:dot]
    return name


def read_sources(sources: Sources, how_to_get: str) -> tuple[UserFiles, UserFiles]:
    """The folder of videos and the folder of annotations, which is the same one where none is given.

    Raises:
        DatasetError: no folder of videos is given, or a folder is not there or cannot be read.
    """
    if sources.videos is None:
        raise DatasetError(f"no folder of videos given; --videos; {how_to_get}")
    videos = read_folder(sources.videos.absolute(), "videos")
    if sources.annotations is None or sources.annotations.absolute() == videos.root:
        return videos, videos
    return videos, read_folder(sources.annotations.absolute(), "annotations")


def read_folder(root: Path, option: str) -> UserFiles:
    """Read a folder and all below it.

    Raises:
        DatasetError: it is no folder or cannot be read; names the command's option.
    """
    if not root.is_dir():
        raise DatasetError(f"folder not found; {root}; give an existing folder with --{option}")
    videos: defaultdict[str, list[str]] = defaultdict(list)
    documents: list[Path] = []
    picture_folders: set[str] = set()
    try:
        for item in _walk(root):
            dot = item.name.rfind(".")
            suffix = item.name[dot:].lower() if dot > 0 else ""
            if suffix in VIDEO_SUFFIXES:
                if item.is_file():
                    videos[stem_of(item.name)].append(item.path)
            elif suffix in _DOCUMENT_SUFFIXES:
                documents.append(Path(item.path))
            elif suffix in _PICTURE_SUFFIXES:
                picture_folders.add(Path(item.path).parent.name)
    except OSError as error:
        raise DatasetError(
            f"folder cannot be read ({error.strerror}); {error.filename or root}; make it readable"
        ) from error
    by_name = {stem: tuple(paths) for stem, paths in videos.items()}
    return UserFiles(root, by_name, tuple(documents), frozenset(picture_folders))


def _walk(root: Path) -> Iterator[os.DirEntry[str]]:
    """All that is not a folder; what begins with a dot is left out.

    Every folder is read once, wherever links lead: linked ones after all others, and not if read before.
    """
    folders = [(str(root), os.path.realpath(root))]
    linked: list[str] = []
    read: set[str] = set()
    while folders or linked:
        if not folders:
            linked.sort(reverse=True)
            link = linked.pop()
            folders.append((link, os.path.realpath(link)))
        folder, real = folders.pop()
        if real in read:
            continue
        read.add(real)
        with os.scandir(folder) as items:
            for item in items:
                if item.name.startswith("."):
                    continue
                if not item.is_dir():
                    yield item
                elif item.is_symlink():
                    linked.append(item.path)
                else:
                    folders.append((item.path, f"{real}{os.sep}{item.name}"))
