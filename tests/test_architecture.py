"""The rooms of the house stay apart (CONTRIBUTING.md): import rules, checked on the syntax of every file."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("orchestrator", "trainables", "catalog", "dashboards")
# Each room imports only what stands before it, and itself.
ORDER = (
    "dashboards.statistics",
    "catalog.storage",
    "catalog",
    "catalog.claims",
    "trainables.recipe",
    "trainables.data",
    "trainables.models",
    "trainables.training",
    "trainables.inference",
    "orchestrator.study",
    "orchestrator.clusters",
    "orchestrator.scheduling",
    "orchestrator.coordination",
    "orchestrator.ray_runtime",
    "orchestrator.evaluation",
    "orchestrator.datasets",
    "orchestrator.planning",
    "orchestrator.running",
    "orchestrator.terminal",
    "orchestrator.run",
    "dashboards.claims",
    "dashboards.render",
    "dashboards.figures",
    "dashboards.report",
    "dashboards.pages",
    "dashboards.app",
    "orchestrator.commands",
    "orchestrator.cli",
)
# Of the rooms before them, these import only these.
ONLY = {"trainables": ("catalog.storage", "trainables"), "dashboards": ("catalog", "dashboards")}
SQL_FREE = {"orchestrator", "dashboards"}
MOST_MODULES = 16
# 230 when the rooms were made; raise it for what is new, not for fragments of what is there. Figures and
# models are one file each and not counted.
MOST_FILES = 265
ONE_FILE_EACH = ("dashboards/figures", "trainables/models/modules", "trainables/models/backbones")
# What only these files may import.
RESERVED = {
    "duckdb": {"catalog/catalog.py"},
    "obstore": {"catalog/storage/bucket.py"},
    "ray.tune": {"orchestrator/ray_runtime/tune_adapter.py"},
    "ray.train": {
        "trainables/training/workers.py",
        "orchestrator/ray_runtime/ray_compat.py",
        "orchestrator/ray_runtime/train_run.py",
        "trainables/training/train_cell.py",
    },
}
# Only this file uses what Ray does not promise: names with an underscore, generated code, a trial's insides.
RAY_COMPAT = ROOT / "orchestrator" / "ray_runtime" / "ray_compat.py"
RAYS_PRIVATE = re.compile(r"\bray\.(\w+\.)*(_(?!_)\w+|core\b)|\btemporary_state\b")
PURE_CORE = (
    "orchestrator.study",
    "orchestrator.scheduling",
    "orchestrator.planning.cost",
    "orchestrator.planning.eta",
    "orchestrator.planning.forecast",
    "orchestrator.planning.plan",
    "orchestrator.planning.rates",
)
LIGHT_MODULES = (
    "orchestrator.study.load",
    "orchestrator.study.cells",
    "orchestrator.planning.plan",
    "orchestrator.scheduling.schedule",
    "orchestrator.scheduling.retry",
    "trainables.recipe.cell_spec",
    "trainables.models.registry",
    "trainables.data.datasets",
    "catalog",
)


def _files() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


FILES = _files()
NAMES = {path: path.relative_to(ROOT).as_posix() for path in FILES}


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in FILES}


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _nodes(tree: ast.AST, *, types: bool) -> Iterator[ast.AST]:
    """All nodes; without `types`, leaving out what only a type checker sees."""
    for child in ast.iter_child_nodes(tree):
        if not types and _for_types_only(child):
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield other
                yield from _nodes(other, types=types)
            continue
        yield child
        yield from _nodes(child, types=types)


def imported(path: Path, source: str, *, types: bool = True) -> set[str]:
    """The modules that a file imports anywhere, those inside functions included, as full dotted names."""
    found: set[str] = set()
    for node in _nodes(ast.parse(source), types=types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = _module(path).split(".")
                package = package if path.name == "__init__.py" else package[:-1]
                parents = package[: len(package) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            # `from ray import tune` imports ray.tune; a name that is no module does no harm here.
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


IMPORTS = {path: imported(path, path.read_text()) for path in FILES}


def room(module: str) -> str | None:
    """The room of the list in which a module lies; None for the top packages themselves."""
    return max((one for one in ORDER if f"{module}.".startswith(f"{one}.")), key=len, default=None)


def forbidden(path: Path, names: set[str]) -> list[str]:
    """The imports of a file that the house does not allow."""
    module, name = _module(path), path.relative_to(ROOT).as_posix()
    own = room(module)
    wrong = []
    for one in names:
        other = room(one)
        if other is None or own is None:
            continue
        only = ONLY.get(module.split(".")[0])
        late = ORDER.index(other) > ORDER.index(own)
        if late or (only and not any(f"{one}.".startswith(f"{begin}.") for begin in only)):
            wrong.append(one)
    for reserved, owners in RESERVED.items():
        if name not in owners:
            wrong += [one for one in names if f"{one}.".startswith(f"{reserved}.")]
    return sorted(wrong)


def test_every_module_has_a_room() -> None:
    assert sorted(one for one in MODULES if room(one) is None) == sorted(
        {"orchestrator", "trainables", "dashboards"}
    )


@pytest.mark.parametrize("path", FILES, ids=NAMES.get)
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    assert forbidden(path, IMPORTS[path]) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("trainables/data/x.py", "import orchestrator.study.cells"),
        ("trainables/x.py", "def f():\n    from ray import tune"),
        ("catalog/x.py", "from trainables.recipe.cell_spec import Recipe"),
        ("catalog/x.py", "import duckdb"),
        ("orchestrator/study/x.py", "def f():\n    import obstore"),
        ("dashboards/figures/x.py", "from trainables.recipe import keep"),
        ("orchestrator/running/x.py", "import dashboards.report.page"),
        ("orchestrator/running/x.py", "import ray.train as train"),
        ("trainables/data/x.py", "from catalog.codec import decode"),
        ("orchestrator/study/x.py", "from orchestrator.planning import plan"),
        (
            "orchestrator/ray_runtime/train_run.py",
            "from ray.tune.integration.ray_train import TuneReportCallback",
        ),
        ("trainables/models/x.py", "from ...orchestrator.study import cells"),
    ],
)
def test_the_rules_catch_what_they_should(file: str, line: str) -> None:
    path = ROOT / file
    assert forbidden(path, imported(path, line)) != []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("orchestrator/ray_runtime/tune_adapter.py", "from ray import tune"),
        ("orchestrator/commands/x.py", "def f():\n    from dashboards.report import page"),
        ("catalog/catalog.py", "import duckdb"),
        ("trainables/training/train_cell.py", "import ray.train"),
    ],
)
def test_the_rules_let_the_owners_through(file: str, line: str) -> None:
    path = ROOT / file
    assert forbidden(path, imported(path, line)) == []


_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def private_names_of_ray(path: Path, source: str) -> set[str]:
    """Private names of Ray's: imported, reached as attributes, or in a string that is no docstring."""
    tree = ast.parse(source)
    names = imported(path, source)
    told = {ast.get_docstring(one, clean=False) for one in ast.walk(tree) if isinstance(one, _WITH_DOCSTRING)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.add(ast.unparse(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in told:
            names.add(node.value)
    return {one for one in names if RAYS_PRIVATE.search(one)}


@pytest.mark.parametrize("path", FILES, ids=NAMES.get)
def test_rays_private_names_are_in_one_module(path: Path) -> None:
    assert bool(private_names_of_ray(path, path.read_text())) == (path == RAY_COMPAT)


@pytest.mark.parametrize(
    "line",
    [
        "from ray._private.state import state",
        "from ray.train.v2._internal.callbacks import datasets",
        "import ray\nray._private.services.get_node_ip_address()",
        "import importlib\nimportlib.import_module('ray.train.v2._internal.state')",
        "actor = trial.temporary_state.ray_actor",
        "actor = getattr(trial, 'temporary_state')",
        "from ray.core.generated.gcs_pb2 import PlacementGroupTableData",
        "from ray.autoscaler._private import util",
    ],
)
def test_private_names_are_found(line: str) -> None:
    assert private_names_of_ray(ROOT / "orchestrator/ray_runtime/x.py", line) != set()


@pytest.mark.parametrize("name", PURE_CORE)
def test_the_pure_core_reaches_no_ray_and_no_database(name: str) -> None:
    inside = [module for module in MODULES if f"{module}.".startswith(f"{name}.")]
    reached = {one for module in inside for one in _reachable(module)}
    outside = {one.split(".")[0] for module in reached for one in IMPORTS[MODULES[module]]}
    assert inside and outside.isdisjoint({"ray", "duckdb", "dashboards"})


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    assert circle({module: _imports(module, types=True) for module in MODULES}) is None


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "a"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


def test_the_longest_chain_of_imports_is_short() -> None:
    graph = {module: _imports(module, types=True) for module in MODULES}
    assert len(longest_chain(graph)) <= 16, longest_chain(graph)


def test_the_longest_chain_is_found() -> None:
    assert longest_chain({"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": {"c"}}) == ["a", "b", "c"]


def test_the_house_stays_small_enough_to_be_known() -> None:
    listed = [path for path in FILES if not str(path.relative_to(ROOT)).startswith(ONE_FILE_EACH)]
    assert len(listed) <= MOST_FILES
    own = [path for path in (ROOT / "orchestrator").glob("*.py") if path.name != "__init__.py"]
    assert len(own) <= 4
    folders = {path.parent for path in FILES} - {ROOT / folder for folder in ONE_FILE_EACH}
    assert {
        folder.name: n for folder in folders if (n := len(list(folder.glob("*.py")))) > MOST_MODULES
    } == {}


def test_functions_stay_short() -> None:
    assert statistics.median(function_lengths()) <= 8


def function_lengths() -> list[int]:
    """Lines of every function and method of the product, decorators left out."""
    trees = [ast.parse(path.read_text()) for path in FILES]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parts[len(ROOT.parts)] in SQL_FREE], ids=NAMES.get
)
def test_sql_lives_in_the_catalog(path: Path) -> None:
    assert [line for line in path.read_text().splitlines() if re.search("SELECT |FROM ", line)] == []


@pytest.mark.parametrize("path", FILES, ids=NAMES.get)
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("module", [one for one in LIGHT_MODULES if one in MODULES])
def test_light_modules_load_no_heavy_library(module: str) -> None:
    """The command line starts fast only if these stay light."""
    heavy = "[name for name in ('torch', 'ray', 'decord', 'duckdb', 'pyarrow', 'av') if name in sys.modules]"
    code = f"import sys, {module}; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def _imports(module: str, *, types: bool) -> set[str]:
    path = MODULES[module]
    found = imported(path, path.read_text(), types=types) & set(MODULES)
    # A package that gathers names from its own modules, and they from it, is one unit.
    return {one for one in found if one != module and not module.startswith(f"{one}.")}


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    """The longest path of a graph without circles."""
    known: dict[str, list[str]] = {}

    def longest_from(node: str) -> list[str]:
        if node not in known:
            known[node] = [node, *max((longest_from(one) for one in graph[node]), key=len, default=[])]
        return known[node]

    return max(map(longest_from, graph), key=len, default=[])


def _reachable(module: str) -> set[str]:
    seen: set[str] = set()
    open_modules = [module]
    while open_modules:
        one = open_modules.pop()
        if one not in seen:
            seen.add(one)
            open_modules.extend(_imports(one, types=False))
    return seen


def circle(graph: dict[str, set[str]]) -> list[str] | None:
    """The first circle of a directed graph as a path that ends where it starts, or None."""
    finished: set[str] = set()

    def walk(node: str, trail: list[str]) -> list[str] | None:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in finished:
            return None
        for child in sorted(graph[node]):
            found = walk(child, [*trail, node])
            if found:
                return found
        finished.add(node)
        return None

    return next((found for node in sorted(graph) if (found := walk(node, []))), None)
