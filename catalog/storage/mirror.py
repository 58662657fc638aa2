"""The local directory that stands for a bucket: the same layout, and a mark that says which bucket it is.

Whatever is in the bucket is the truth; the mirror is a copy of some of it and can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from catalog.storage.atomic import replaced_atomically
from catalog.storage.bucket import Bucket, checked_url

MARK = ".actiongrid-bucket.json"
CACHE_VARIABLE = "ACTIONGRID_CACHE"
_DEPTH = 5  # of a file below a mirror


@dataclass(frozen=True)
class Mirror:
    """A bucket and its local directory."""

    root: Path
    bucket: Bucket

    def name(self, path: Path) -> str:
        """The object's name for a path of the mirror."""
        return path.relative_to(self.root).as_posix()

    def path(self, name: str) -> Path:
        """Where an object lies in the mirror, once it is there."""
        return self.root / name


def open_mirror(url: str) -> Mirror:
    """The mirror of a bucket on this machine, made where there is none yet; asks the bucket nothing.

    Raises:
        AddressError: Not an address of a bucket.
        OSError: The cache folder cannot be used.
    """
    url = checked_url(url)
    root = mirror_folder(url, os.environ)
    if mirror_at(root) is None:
        with replaced_atomically(root / MARK) as temporary:
            temporary.write_text(json.dumps({"url": url}))
    return Mirror(root, _bucket(url))


def mirror_folder(url: str, environment: Mapping[str, str]) -> Path:
    """Where a bucket's mirror lies: below `ACTIONGRID_CACHE`, or the user's cache folder."""
    given = environment.get(CACHE_VARIABLE)
    general = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(given).expanduser() if given else Path(general) / "actiongrid"
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", url.split("://")[1])[:60]
    return folder.absolute() / f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def mirror_at(root: Path) -> Mirror | None:
    """The mirror whose root this directory is, or None where it is a storage by itself."""
    try:
        url = json.loads((root / MARK).read_text())["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Mirror(root, _bucket(url))


def mirror_around(path: Path) -> Mirror | None:
    """The mirror in which a path lies, or None."""
    for folder in (path, *path.parents[:_DEPTH]):
        mirror = mirror_at(folder)
        if mirror is not None:
            return mirror
    return None


@cache
def _bucket(url: str) -> Bucket:
    # Its client keeps connections open.
    return Bucket(url)
