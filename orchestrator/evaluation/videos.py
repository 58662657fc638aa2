"""The built datasets of a storage by name, each manifest read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.layout import Layout

if TYPE_CHECKING:
    from trainables.data.frames.manifest import Manifest


@dataclass(frozen=True)
class VideoSet:
    """A manifest, where it stands, and the identities of its splits."""

    path: Path
    manifest: Manifest
    train_hash: str
    val_hash: str


class VideoSets:
    """Reads manifests when they are asked for; a dataset can have several, by declaration."""

    def __init__(self, layout: Layout) -> None:
        self.folder = layout.datasets
        self._layout = layout
        self._sets: dict[str, tuple[VideoSet, ...]] = {}
        self._problems: dict[str, str] = {}

    def of(self, dataset: str) -> tuple[VideoSet, ...]:
        """The readable manifests of a dataset, the one that was written last at the end."""
        if dataset not in self._sets:
            self._sets[dataset] = tuple(self._read(dataset))
        return self._sets[dataset]

    def problems(self, dataset: str) -> str:
        """Why manifests of a dataset could not be read; empty where all could."""
        return self._problems.get(dataset, "")

    def _read(self, dataset: str) -> list[VideoSet]:
        from trainables.data.frames.manifest import ManifestError, read_manifest

        found = []
        for path in sorted(self._layout.manifests(dataset), key=lambda path: (path.stat().st_mtime, path)):
            try:
                manifest = read_manifest(path)
            except ManifestError as error:
                self._problems[dataset] = str(error)
                continue
            found.append(VideoSet(path, manifest, manifest.hash("train"), manifest.hash("val")))
        return found
