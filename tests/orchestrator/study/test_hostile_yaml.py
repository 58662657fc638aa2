"""Study files that PyYAML, JSON or a terminal would trip over: one line each, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.study.errors import StudyError
from orchestrator.study.load import load_study

REST = """
axes: {module: [tsn], backbone: [tiny], frames: [8], dataset: [synthetic-motion]}
datasets: {synthetic-motion: {kind: synthetic-motion}}
recipe: {base: {init: random}}
"""
LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("first", "what"),
    [
        ("name: 2024-99-99", "1: not YAML: '2024-99-99' is no timestamp"),
        ("name: !!int x", "1: not YAML: 'x' is no int"),
        ("name: !!float x", "1: not YAML: 'x' is no float"),
        ("name: !!bool x", "1: not YAML: 'x' is no bool"),
        ("name: !!timestamp x", "1: not YAML: 'x' is no timestamp"),
        ("name: !!binary '\\\\\\'", ""),
        ("name: !!null x\nretries: !!int ''", ""),
        ('name: "\\ud800"', "1: not YAML: half a character"),
        ('"\\ud800": 1\nname: a', "1: not YAML: half a character"),
        ('name: "\\UFFFFFFFF"', "not YAML: "),
        (f"name: a\nretries: {'9' * 5000}", "2: not YAML: '9999"),
        ("name: a\nretries: 99999999999999999999999", "2: not YAML: '99999999999999999999999' is too large"),
        (f"name: a\nretries: 0x{'f' * 5000}", "2: not YAML: "),
        (f"name: a\nretries: {'1:' * 3000}1", "2: "),
        ("name: a\nretries: 1:99999999999999999999:1", "2: "),
        (f"name: a\nretries: {'[' * 100}{']' * 100}", "2: nested too deeply"),
        ("name: a\n? {a: 1}\n: 2", ""),
        ("name: !!set {a, b}", ""),
        ("name: !!omap [a]", ""),
        (f"name: {LONG} {LONG}", "name: "),
        (f"name: a\n{LONG}: 1", "not YAML: could not find expected"),
        (f"name: a\nrecipe: {{base: {{init: {LONG}}}}}\nx: 1", ""),
        (f"name: a\ninclude: [{{module: {LONG}}}]", "unknown module"),
        (f"name: a\ndatasets: {{d: {{kind: {LONG}}}}}\nx: 1", ""),
        (f"name: !!{LONG} a", "could not determine a constructor"),
        ("name: a\ndatasets: {d: {kind: mini-ssv3}}\nx: 1", ""),
        ("name: a\nretries: 010", "2: not YAML: '010' would be read as 8; write 8, or put it into quotes"),
        ("name: a\nretries: 1:30", "2: not YAML: '1:30' would be read as 90"),
        ("name: a\nretries: 1:30.5", "2: not YAML: '1:30.5' would be read as 90.5"),
        ("\n".join(["name: a", *(f"k{number}: 1" for number in range(5000))]), "and 4950 more"),
    ],
)
def test_every_scalar_that_is_none_gets_a_line(first: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(first + REST)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    lines = caught.value.lines
    assert any(what in line for line in lines), lines
    for line in lines:
        assert line.startswith(str(path))
        assert len(line) <= 1010
        line.encode()


def test_an_unknown_kind_of_dataset_is_said(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: a" + REST.replace("kind: synthetic-motion", "kind: mini-ssv3"))
    with pytest.raises(
        StudyError, match=r"datasets.synthetic-motion.kind: 'mini-ssv3' is not one of them; allo"
    ) as caught:
        load_study(tmp_path / "s.yaml")
    assert "kind: official, name: mini-ssv2}" in str(caught.value)


def test_a_grid_beyond_what_a_storage_holds_is_refused_at_once(tmp_path: Path) -> None:
    seeds = ", ".join(map(str, range(30_000)))
    text = "name: a" + REST.replace("frames: [8]", f"frames: [8, 16, 24, 32, 40, 48, 56], seed: [{seeds}]")
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(StudyError, match=r"axes: 210,000 cells before `exclude`, more than 200,000"):
        load_study(tmp_path / "s.yaml")
