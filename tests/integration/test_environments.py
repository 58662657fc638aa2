"""A whole run where less is allowed: an ordinary user, few open files, little shared memory, a C locale."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.running import write_study
from tests.support.studies import command

pytestmark = pytest.mark.slow

USER = "nobody"
END_SECONDS = 400
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}


@dataclass(frozen=True)
class Place:
    """Words before a command, variables in its environment, and why it cannot be tried here, or ""."""

    prefix: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    missing: Callable[[], str] = lambda: ""


def _no_user() -> str:
    words = [*_AS_USER, "sh", "-c", f"{sys.executable} -c 1"]
    with tempfile.TemporaryDirectory() as folder:
        variables = os.environ | {"TMPDIR": folder}
        tried = subprocess.run(words, capture_output=True, text=True, check=False, env=variables)
    return "" if tried.returncode == 0 else f"nobody runs this Python as {USER}: {tried.stderr.strip()}"


def _no_mounts() -> str:
    tried = subprocess.run([*_SMALL_MEMORY, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no file system can be mounted: {tried.stderr.strip()}"


_USER = ("setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups")
# A Python that lies in root's own home is shown at its place in an empty one that others may enter.
_IN_ROOTS_HOME = """
kept=$(mktemp -d) && mount --bind "$0" "$kept" && mount -t tmpfs -o mode=755 tmpfs /root &&
mkdir -p "$0" && mount --bind "$kept" "$0" && exec "$@"
"""
_SHOWN = ("unshare", "--mount", "sh", "-c", _IN_ROOTS_HOME, sys.base_prefix)
_AS_USER = (*(_SHOWN if Path(sys.base_prefix).is_relative_to("/root") else ()), *_USER)
_SMALL_MEMORY = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"',
    "sh",
)
PLACES = {
    "an ordinary user": Place(_AS_USER, missing=_no_user),
    "256 open files": Place(("sh", "-c", 'ulimit -n 256 && exec "$@"', "sh")),
    "64 MB of shared memory": Place(_SMALL_MEMORY, missing=_no_mounts),
    "a C locale": Place(variables=C_LOCALE),
    "a C locale without Python's UTF-8 mode": Place(variables=C_LOCALE | {"PYTHONUTF8": "0"}),
}


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the ordinary user may enter and write, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="environment-"))
    if os.getuid() == 0:
        folder.chmod(0o755)
        found = pwd.getpwnam(USER)
        os.chown(folder, found.pw_uid, found.pw_gid)
    yield folder
    shutil.rmtree(folder)


def environment(home: Path, variables: dict[str, str]) -> dict[str, str]:
    left_out = ("LANG", "PYTHONUTF8", "PYTHONIOENCODING", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in left_out and name[:3] != "LC_"}
    own = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(ROOT),
        "ACTIONGRID_CACHE": str(home / "c"),
    }
    return kept | own | variables


def said(place: Place, home: Path, *arguments: str | Path) -> str:
    """What a command prints there; it has to succeed."""
    done = subprocess.run(
        [*place.prefix, *command(*arguments)],
        capture_output=True,
        timeout=END_SECONDS,
        check=False,
        env=environment(home, place.variables),
        cwd=home,
    )
    output, errors = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, f"exit {done.returncode}\n{output[-3000:]}\n{errors[-3000:]}"
    assert "Traceback" not in errors
    return output


@pytest.mark.long
@pytest.mark.parametrize("name", PLACES)
def test_a_study_is_run_and_reported(name: str, home: Path) -> None:
    place = PLACES[name]
    if reason := place.missing():
        pytest.skip(reason)
    study, storage = write_study(home, "tiny", "[tsn]"), home / "storage"
    said(place, home, "run", study, "--storage", storage, "--cpus", "1")
    assert "TSN-Tiny-f8@synthetic-motion" in said(place, home, "status", "--storage", storage)
    said(place, home, "report", "--storage", storage)
    assert "1 done, 0 to run" in said(place, home, "plan", study, "--storage", storage)


def test_an_ascii_locale_changes_no_text(home: Path) -> None:
    """`plan` reads the catalog's SQL, the help prints what ASCII does not have."""
    ascii_only = PLACES["a C locale without Python's UTF-8 mode"]
    for words in (("plan", "demo", "--storage", home / "größe"), ("run", "--help")):
        usual = said(Place(), home, *words)
        assert said(ascii_only, home, *words) == usual
    assert not usual.isascii()
