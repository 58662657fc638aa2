"""No wait inside a lock: what the product does while a thread holds one, followed through its own code.

A call in a `with self._lock` is harmless where it is one of `HARMLESS` or a function of the product that
makes harmless calls alone. Everything else (files, network, processes, Ray, DuckDB, sleep, what nobody knows)
needs a line in `JUSTIFIED` with its reason. Locks between processes (`catalog.storage.locks`) are another
thing: they are held for as long as the work lasts that they protect, and who waits for one has a limit.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.paths import ROOT

ROOMS = ("orchestrator", "trainables", "catalog", "dashboards")
LOCKS = ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore")
_HARMLESS_NAMES = """
    add append clear copy count discard difference endswith extend get index intersection items join
    keys insert bisect_left fnmatchcase move_to_end partition pop popitem popleft remove removeprefix
    removesuffix rpartition setdefault split startswith strip union update values issubset issuperset
    isdisjoint format lower encode decode rsplit fits less _clock Counter Future OrderedDict defaultdict
    deque partial replace attrgetter itemgetter field heappush heappop done is_set monotonic time
    fullmatch match sub isfinite
"""
HARMLESS = frozenset(_HARMLESS_NAMES.split())
"""Methods of what lies in memory, clocks, and names of the standard library that neither read nor wait."""
BUILTINS = frozenset(vars(builtins)) - {"open", "input", "print", "exec", "eval", "__import__"}

_ONE_CONNECTION = "DuckDB's connection is one; what it reads lies on this machine, or is a journal's end"
JUSTIFIED = {
    "orchestrator.running.attempt_files.AttemptStorage.once": "a single try: journal and leases take one "
    "caller at a time; the wait for a storage that takes nothing is outside",
    "catalog.catalog.Catalog.refresh": _ONE_CONNECTION,
    "catalog.catalog.Catalog.compare": _ONE_CONNECTION,
    "catalog.catalog.Catalog.close": _ONE_CONNECTION,
    "catalog.catalog.Catalog._filled": _ONE_CONNECTION,
    "catalog.catalog.Catalog._write": _ONE_CONNECTION,
    "catalog.journal.Journal.append_all": "lines stand in the order in which they were acknowledged",
    "catalog.journal.Journal.close": "no line is being written when the file is closed",
    "catalog.queries.sql_process.SqlProcess.start": "one process is started, not several",
}
_WAITS_NAMES = """
    sleep wait join result acquire flock exclusive connect_ex urlopen recv below fetch fetch_missing
    _fetch refresh_journals retry_reading retry_until_available until_available communicate check_output
"""
WAITS = frozenset(_WAITS_NAMES.split())
"""What waits for others, for a time that nobody knows: not in justified blocks either."""


@dataclass
class Scope:
    """A function of the product, with what its names stand for."""

    place: str
    node: ast.FunctionDef
    owner: ast.ClassDef | None
    module: Module


@dataclass
class Module:
    """A file of the product; `imported` are the names that come from other files of it."""

    path: Path
    tree: ast.Module
    functions: dict[str, Scope] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(path: Path) -> Module:
    module = Module(path, ast.parse(path.read_text()))
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef):
            module.classes[node.name] = node
    for owner in (None, *module.classes.values()):
        for node in module.tree.body if owner is None else owner.body:
            if isinstance(node, ast.FunctionDef):
                name = node.name if owner is None else f"{owner.name}.{node.name}"
                module.functions[name] = Scope(f"{_module_name(path)}.{name}", node, owner, module)
    for one in ast.walk(module.tree):
        if isinstance(one, ast.ImportFrom) and (one.module or "").partition(".")[0] in ROOMS:
            for alias in one.names:
                module.imported[alias.asname or alias.name] = (one.module or "", alias.name)
    return module


MODULES = {_module_name(path): _read(path) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))}


def _named(call: ast.expr) -> str:
    """The last part of a called name."""
    return call.attr if isinstance(call, ast.Attribute) else call.id if isinstance(call, ast.Name) else ""


def _locks_of(owner: ast.ClassDef) -> frozenset[str]:
    """The attributes of a class that are locks."""
    found = set()
    for node in ast.walk(owner):
        made = node.value if isinstance(node, ast.Assign) else None
        if isinstance(made, ast.Call) and isinstance(node, ast.Assign) and _named(made.func) in LOCKS:
            found |= {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
    return frozenset(found)


def _attribute_class(scope: Scope, attribute: str) -> tuple[Module, str] | None:
    """The product's class that `self.attribute` is made of in its own class."""
    for node in ast.walk(scope.owner) if scope.owner is not None else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            names = {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
            if attribute in names and isinstance(node.value.func, ast.Name):
                return _class(scope.module, node.value.func.id)
    return None


def _class(module: Module, name: str) -> tuple[Module, str] | None:
    if name in module.classes:
        return module, name
    home, original = module.imported.get(name, ("", ""))
    return _class(MODULES[home], original) if home in MODULES else None


def _function(module: Module, name: str) -> Scope | None:
    if name in module.functions:
        return module.functions[name]
    home, original = module.imported.get(name, ("", ""))
    return _function(MODULES[home], original) if home in MODULES else None


def _called(call: ast.Call, scope: Scope) -> list[Scope]:
    """The product's functions that a call may mean; none: it is not the product's."""
    function = call.func
    if isinstance(function, ast.Name):
        found = _function(scope.module, function.id)
        made = _class(scope.module, function.id)
        if found is None and made is not None:
            return [one for one in map(made[0].functions.get, [f"{made[1]}.__init__"]) if one is not None]
        return [found] if found is not None else []
    if not isinstance(function, ast.Attribute):
        return []
    receiver = function.value
    if isinstance(receiver, ast.Name) and receiver.id in ("self", "cls") and scope.owner is not None:
        found = scope.module.functions.get(f"{scope.owner.name}.{function.attr}")
        return [found] if found is not None else []
    if isinstance(receiver, ast.Attribute) and isinstance(receiver.value, ast.Name):
        made = _attribute_class(scope, receiver.attr)
        if made is not None:
            found = made[0].functions.get(f"{made[1]}.{function.attr}")
            return [found] if found is not None else []
    return []


def _is_harmless(call: ast.Call, scope: Scope) -> bool:
    name = _named(call.func)
    if name == "join" and isinstance(call.func, ast.Attribute):
        # A text's, not a thread's.
        return isinstance(call.func.value, ast.Constant) or _named(call.func.value) == "pathsep"
    if name == "get":
        return bool(call.args) and "ray" not in ast.unparse(call.func)  # a mapping's, not a queue's
    if isinstance(call.func, ast.Name):
        return name in BUILTINS or name in HARMLESS or _class(scope.module, name) is not None
    return name in HARMLESS


def _harmful(nodes: list[ast.AST], scope: Scope, seen: set[str]) -> Iterator[str]:
    """The calls below some nodes that are not known to be harmless, with the way to them."""
    for node in nodes:
        for one in ast.walk(node):
            if not isinstance(one, ast.Call):
                continue
            functions = [] if _named(one.func) in HARMLESS else _called(one, scope)
            for function in functions:
                if function.place not in seen:
                    seen.add(function.place)
                    below = _harmful(list(function.node.body), function, seen)
                    yield from (f"{_named(one.func)}() > {text}" for text in below)
            if not functions and not _is_harmless(one, scope):
                yield ast.unparse(one.func)


def _blocks() -> Iterator[tuple[str, list[str]]]:
    """Every block of the product under a lock, by its place, with what is not harmless in it."""
    for module in MODULES.values():
        for scope in module.functions.values():
            locks = _locks_of(scope.owner) if scope.owner is not None else frozenset()
            for node in ast.walk(scope.node):
                if isinstance(node, ast.With):
                    held = [item.context_expr for item in node.items]
                    taken = [one for one in held if isinstance(one, ast.Attribute) and one.attr in locks]
                    if taken:
                        others = [one for one in held if one not in taken]
                        yield scope.place, list(_harmful([*others, *node.body], scope, set()))


def test_no_wait_inside_a_lock() -> None:
    found: dict[str, list[str]] = {}
    for place, calls in _blocks():
        found.setdefault(place, []).extend(calls)
    assert len(found) > 20, "the locks are not found any more"
    waiting = {place: calls for place, calls in found.items() if calls and place not in JUSTIFIED}
    assert not waiting, "\n".join(f"{place}: {calls}" for place, calls in waiting.items())
    for place, calls in found.items():
        worst = [call for call in calls if call.rpartition(".")[2].rpartition(" ")[2] in WAITS]
        assert not worst, f"{place} waits for others: {worst}"
    stale = {place for place in JUSTIFIED if not found.get(place)}
    assert not stale, f"no wait there any more: {sorted(stale)}"


def test_who_asks_for_a_lock_by_hand_does_not_wait_for_ever() -> None:
    asked = [
        (scope.place, {keyword.arg for keyword in node.keywords})
        for module in MODULES.values()
        for scope in module.functions.values()
        for node in ast.walk(scope.node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "acquire"
    ]
    assert len(asked) >= 3
    assert not [place for place, given in asked if not given & {"blocking", "timeout"}]
