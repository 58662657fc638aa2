"""Small faults in Python code: one place of a module changed as a slip of the hand would change it."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
MESSAGES = ("logger.", "logging.", "warnings.", "print(")
NOT_CODE = {"__repr__", "__all__", "__slots__"}


@dataclass(frozen=True)
class Fault:
    """One place of one file, and what stands there instead.

    `function`: the qualified name of the function around it, '' where the module itself runs it; `start` and
    `end`: bytes of the file.
    """

    path: str
    function: str
    kind: str
    original: str
    instead: str
    start: int
    end: int
    occurrence: int = 1

    @property
    def name(self) -> str:
        """What the fault is, without line numbers: it stays the same when other places change."""
        again = f" [{self.occurrence}]" if self.occurrence > 1 else ""
        change = f"{_one_line(self.original)} => {_one_line(self.instead)}"
        return f"{self.path} {self.function or '(module)'}: {change}{again}"

    def applied(self, source: bytes) -> bytes:
        """The file with the fault in it."""
        return source[: self.start] + self.instead.encode() + source[self.end :]


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:117]}..."


def numbered(faults: list[Fault]) -> list[Fault]:
    """Faults of one file, so that two equal ones in one function have different names."""
    seen: Counter[str] = Counter()
    result = []
    for fault in sorted(faults, key=lambda one: (one.start, one.end, one.instead)):
        seen[fault.name] += 1
        result.append(replace(fault, occurrence=seen[fault.name]))
    return result


def python_faults(path: str, source: bytes) -> list[Fault]:
    """All faults that are known for a module."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    return numbered(finder.found)


class _Finder(ast.NodeVisitor):
    """Visits what decides results: no annotations, docstrings, imports for types, messages of errors."""

    def __init__(self, path: str, source: bytes) -> None:
        self.found: list[Fault] = []
        self._path, self._source = path, source
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._around: list[str] = []
        self._function = ""

    def _add(self, node: ast.expr | ast.stmt, kind: str, instead: str) -> None:
        start = self._lines[node.lineno - 1] + node.col_offset
        end = self._lines[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        original = self._source[start:end].decode()
        if _one_line(original) != _one_line(instead):
            self.found.append(Fault(self._path, self._function, kind, original, instead, start, end))

    def _add_all(self, node: ast.expr, kind: str, instead: Iterator[ast.expr]) -> None:
        for one in instead:
            text = ast.unparse(ast.fix_missing_locations(one))
            self._add(node, kind, text if isinstance(one, ast.Constant | ast.Call) else f"({text})")

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in NOT_CODE:
            return
        outer, self._around = self._around, [*self._around, node.name]
        outer_function, self._function = self._function, ".".join(self._around)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)
        self._around, self._function = outer, outer_function

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self._around = self._around, [*self._around, node.name]
        for statement in node.body:
            self.visit(statement)
        self._around = outer

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """What an error says decides no number."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts; and Python 3.11 does not know where their parts stand."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Never true in a right program."""

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self._negate(node.test)
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        # Comparisons and negations are faults of their own.
        if not isinstance(test, ast.Compare | ast.UnaryOp):
            self._add(test, "condition", f"(not ({ast.unparse(test)}))")

    def visit_Compare(self, node: ast.Compare) -> None:
        self._add_all(node, "comparison", _other_comparisons(node))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        other = ARITHMETIC.get(type(node.op))
        if other is not None and not _is_text(node.left) and not _is_text(node.right):
            self._add_all(node, "arithmetic", iter([ast.BinOp(node.left, other(), node.right)]))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self._add_all(node, "boolean", iter([ast.BoolOp(other, node.values)]))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self._add_all(node, "sign" if isinstance(node.op, ast.USub) else "boolean", iter([node.operand]))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        self._add_all(node, "constant", _other_constants(node.value))

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            if not (isinstance(node.value, ast.Constant) and node.value.value is None):
                self._add(node, "return", "return None")
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        self._add_all(node, "call", _other_calls(node))
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg != "strict":  # of zip: an assertion
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) or ast.unparse(node).startswith(MESSAGES):
            return  # a docstring, or what a person is told
        if isinstance(node.value, ast.Call):
            self._add(node, "deleted call", "pass")
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(isinstance(target, ast.Name) and target.id in NOT_CODE for target in node.targets):
            return
        if self._function and any(isinstance(target, ast.Attribute) for target in node.targets):
            self._add(node, "deleted assignment", "pass")
        self.visit(node.value)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def _other_comparisons(node: ast.Compare) -> Iterator[ast.Compare]:
    for at, operator in enumerate(node.ops):
        ops = list(node.ops)
        ops[at] = COMPARISONS[type(operator)]()
        yield ast.Compare(node.left, ops, node.comparators)


def _other_constants(value: object) -> Iterator[ast.Constant]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        if value == 1:
            yield ast.Constant(0)
    elif isinstance(value, float):
        yield ast.Constant(value * 2 if value else 1.0)


def _other_calls(node: ast.Call) -> Iterator[ast.Call]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    ordered = len(node.args) >= 2 and name not in FUNCTIONS
    if ordered and not any(isinstance(one, ast.Starred) for one in node.args[:2]):
        swapped = copy.copy(node)
        swapped.args = [node.args[1], node.args[0], *node.args[2:]]
        yield swapped
    if name in FUNCTIONS:
        other = copy.deepcopy(node)
        if isinstance(other.func, ast.Attribute):
            other.func.attr = FUNCTIONS[name]
        elif isinstance(other.func, ast.Name):
            other.func.id = FUNCTIONS[name]
        yield other
