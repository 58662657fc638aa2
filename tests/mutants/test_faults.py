"""The tool itself: which faults it knows, that it leaves texts alone, that its equivalents exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mutants.__main__ import _test_files, equivalent, known_results, names_of, sample
from tests.mutants.faults import python_faults
from tests.mutants.processes import Tree
from tests.mutants.rooms import ROOMS
from tests.mutants.sql_faults import query_faults, view_faults
from tests.support.paths import ROOT


def changes(source: str, path: str = "m.py") -> set[str]:
    """The lines that a fault gives a source of one line."""
    found = python_faults(path, source.encode())
    return {fault.applied(source.encode()).decode() for fault in found}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"(a <= b)"}),
        ("a is b", {"(a is not b)"}),
        ("a + b", {"(a - b)"}),
        ("a // b", {"(a * b)"}),
        ("'a' + b", set()),
        ("a and b", {"(a or b)"}),
        ("not a", {"(a)"}),
        ("-a", {"(a)"}),
        ("x = 3", {"x = 4"}),
        ("x = 1", {"x = 2", "x = 0"}),
        ("x = 0.5", {"x = 1.0"}),
        ("x = True", {"x = False"}),
        ("x = f(a, b)", {"x = f(b, a)"}),
        ("f(a)", {"pass"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = max(a, b)", {"x = min(a, b)"}),
        ("x = a if b else c", {"x = a if (not (b)) else c"}),
        ("def f(): return a", {"def f(): return None"}),
        ("def f(): a.b = c", {"def f(): pass"}),
        ("x: int = 3", {"x: int = 4"}),
    ],
)
def test_a_slip_of_the_hand(source: str, expected: set[str]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring of 3 lines."""',
        "x = f'{a + 1}'",
        "raise ValueError(3)",
        "assert a < b",
        "logger.info('%d', 3)",
        "if TYPE_CHECKING: x = 3",
        "x = zip(a, strict=True)",
        "def f(a: Literal[3]) -> Literal[4]: ...",
    ],
)
def test_what_decides_no_number_is_left_alone(source: str) -> None:
    assert changes(source) <= {source.replace("...", "pass")}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("SELECT avg(a) FROM b", {"SELECT max(a) FROM b"}),
        ("FROM a WHERE b = c", {"FROM a WHERE b <> c"}),
        ("a AND b", {"a OR b"}),
        ("a BETWEEN b AND c", set()),
        ("a LEFT JOIN b", {"a JOIN b"}),
        ("stddev_samp(a)", {"stddev_pop(a)"}),
        ("count(DISTINCT a)", {"count(a)"}),
        ("a IS NOT NULL", {"a IS NULL"}),
        ("SELECT * EXCLUDE (a) FROM b", set()),
        ("-- a = 3", set()),
        ("ORDER BY a DESC", {"ORDER BY a ASC"}),
        ("round(a, 2)", {"round(a, 3)"}),
    ],
)
def test_a_slip_in_sql(source: str, expected: set[str]) -> None:
    found = view_faults("v.sql", source.encode())
    assert {fault.applied(source.encode()).decode() for fault in found} == expected


def test_queries_in_python_are_found_and_docstrings_are_not() -> None:
    source = 'def f():\n    """SELECT a = b."""\n    return q("SELECT é FROM a\\nWHERE b = c")\n'
    (fault,) = query_faults("q.py", source.encode())
    assert fault.function == "f"
    assert fault.applied(source.encode()).decode() == source.replace("b = c", "b <> c")


def test_names_do_not_move_with_other_lines() -> None:
    source = "def f():\n    g(1 + 2)\n    g(1 + 2)\n"
    names = {fault.name for fault in python_faults("m.py", source.encode())}
    assert names == {fault.name for fault in python_faults("m.py", f"# more\n\n{source}".encode())}
    assert {"m.py f: 1 + 2 => (1 - 2)", "m.py f: 1 + 2 => (1 - 2) [2]"} <= names


def test_a_tree_is_as_before_after_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text("a")
    before = file.stat().st_mtime_ns
    tree = Tree(tmp_path)
    tree.change("m.py", b"b")
    assert file.read_text() == "b"
    assert int(file.stat().st_mtime) != before // 10**9, "old bytecode would be taken for the fault's"
    tree.restore()
    assert (file.read_text(), file.stat().st_mtime_ns) == ("a", before)


def test_a_sample_is_spread_over_the_rooms_and_always_the_same() -> None:
    trials = sample(list(ROOMS), 1.0, 1)
    assert [t.fault.name for t in trials] == [t.fault.name for t in sample(list(ROOMS), 1.0, 1)]
    assert len(trials) >= 300
    assert {trial.room for trial in trials} == set(ROOMS)
    assert {trial.fault.name for trial in trials} != {t.fault.name for t in sample(list(ROOMS), 1.0, 2)}


def test_a_result_counts_while_its_file_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    same, other = sample(["clips"], 0.05, 1)[:2]
    lines = [
        {"name": same.fault.name, "digest": same.digest, "outcome": "killed"},
        {"name": other.fault.name, "digest": same.digest, "outcome": "killed"},
    ]
    kept = tmp_path / "results.jsonl"
    kept.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    monkeypatch.setattr("tests.mutants.__main__.KEPT", kept)
    monkeypatch.setattr("tests.mutants.__main__.RESULTS", tmp_path / "none")
    assert known_results([same, other]) == {same.fault.name: lines[0]}


def test_a_view_is_known_by_what_reads_it() -> None:
    assert {"cell_costs", "queries.training"} <= names_of(Path("catalog/views/cell_costs.sql"))
    assert names_of(Path("catalog/queries/training.py")) == {"training"}


@pytest.mark.parametrize("name", ROOMS)
def test_each_room_has_code_and_tests(name: str) -> None:
    assert ROOMS[name].files(ROOT) and any(_test_files(pattern) for pattern in ROOMS[name].tests)


def test_each_equivalent_fault_is_there_and_has_a_reason() -> None:
    known = {trial.fault.name for trial in sample(list(ROOMS), 1e9, 1)}
    assert [name for name in equivalent() if name not in known] == []
    assert all(len(reason.split()) >= 4 for reason in equivalent().values())
