"""What a release says of itself is one thing everywhere, and its files hold all that a user needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.running import write_study

PACKAGES = ("orchestrator", "trainables", "catalog", "dashboards")
KINDS = (".yaml", ".sql", ".csv", ".css", ".js", ".html", ".txt", ".py", ".typed")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_version_changelog_and_citation_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION
    newest = next(
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## 0")
    )
    assert newest == f"## {VERSION} – {citation['date-released']}"


def listed(*folders: str) -> list[str]:
    """The files of the checkout that git knows, below these folders."""
    found = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return found.stdout.split()


def test_every_file_of_the_packages_is_of_a_kind_that_a_wheel_takes() -> None:
    left_out = [name for name in listed(*PACKAGES) if not name.endswith(KINDS)]
    assert [name for name in left_out if not name.endswith("README.md")] == []


@dataclass(frozen=True)
class Release:
    """The files of a release."""

    source: Path
    wheel: Path


def copied(names: list[str], folder: Path) -> Path:
    """These files and folders of the checkout, elsewhere."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


def built(checkout: Path, folder: Path) -> Release:
    """What `make release` makes of a checkout; the wheel is made of the source distribution."""
    command = ["uv", "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([sys.executable, "-m", *command, "--out-dir", folder, checkout], check=True)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Release(source, wheel)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    return built(copied(listed(), folder / "checkout"), folder / "dist")


@pytest.mark.slow
def test_the_index_takes_its_files_and_nothing_is_missing_in_them(release: Release) -> None:
    subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", release.source, release.wheel], check=True
    )
    with zipfile.ZipFile(release.wheel) as wheel:
        files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert files == {name for name in listed(*PACKAGES) if name.endswith(KINDS)}
    with tarfile.open(release.source) as source:
        inside = {name.partition("/")[2] for name in source.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "requirements.lock"} <= inside
    assert not any(name.startswith("tests") for name in inside)


@pytest.fixture(scope="module")
def installed(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but the wheel, and the packages that it needs from this one's folder."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python]
    subprocess.run([sys.executable, "-m", *command, release.wheel], check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    # A path in a .pth file is a place to look in; what other .pth files there add, a checkout, is not.
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def run(program: Path, *arguments: str | Path, folder: Path) -> str:
    """What a program of the environment prints, started elsewhere and without the checkout's path."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=plain, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_alone_says_its_version_and_plans_the_demo(installed: Path, tmp_path: Path) -> None:
    shown = "; ".join(f"import {name}; print({name}.__file__)" for name in PACKAGES)
    places = run(installed / "python", "-c", shown, folder=tmp_path).split()
    assert all(Path(place).is_relative_to(installed.parent) for place in places) and len(places) == 4
    assert VERSION in run(installed / "actiongrid", "--version", folder=tmp_path)
    assert "demo: 24 cells" in run(installed / "actiongrid", "plan", "demo", folder=tmp_path)


@pytest.mark.slow
@pytest.mark.long
def test_the_wheel_alone_trains_and_reports(installed: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path, "small", "[tam]", epochs=1)
    said = run(installed / "actiongrid", "run", study, "--cpus", "1", folder=tmp_path)
    assert "1 of 1 cells done, 1 of them trained by this run" in said
    run(installed / "actiongrid", "report", "-o", "page.html", folder=tmp_path)
    assert "TAM-Tiny-f8@synthetic-motion" in (tmp_path / "page.html").read_text()


IMAGE = (ROOT / "clusters" / "Dockerfile").read_text()


def test_the_image_takes_what_an_installation_reads_and_sends_nothing_else() -> None:
    copies = re.findall(r"^COPY (.+) \S+$", IMAGE, re.MULTILINE)
    names = {name for line in copies for name in line.split()}
    assert names == {*PACKAGES, "pyproject.toml", "requirements.lock", "Makefile", "README.md", "LICENSE"}
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in sent if line.startswith("!")} == names and "*" in sent


@pytest.mark.slow
@pytest.mark.long
def test_of_what_the_image_takes_the_same_wheel_is_made(release: Release, tmp_path: Path) -> None:
    names = [name for name in (ROOT / ".dockerignore").read_text().split() if name.startswith("!")]
    again = built(copied([name[1:] for name in names], tmp_path / "image"), tmp_path / "dist")
    with zipfile.ZipFile(release.wheel) as wheel, zipfile.ZipFile(again.wheel) as other:
        assert set(wheel.namelist()) == set(other.namelist())
