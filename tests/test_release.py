"""What a release says of itself is one thing everywhere, and its files hold all that a user needs."""

from __future__ import annotations

import subprocess
import tomllib

import yaml

from tests.support.paths import ROOT

PACKAGES = ("orchestrator", "trainables", "catalog", "dashboards")
KINDS = (".yaml", ".sql", ".csv", ".css", ".js", ".html", ".txt", ".py", ".typed")


def test_version_changelog_and_citation_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    newest = next(
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## 0")
    )
    assert newest == f"## {version} – {citation['date-released']}"


def test_every_file_of_the_packages_is_of_a_kind_that_a_wheel_takes() -> None:
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    left_out = [name for name in listed.stdout.split() if not name.endswith(KINDS)]
    assert [name for name in left_out if not name.endswith("README.md")] == []
