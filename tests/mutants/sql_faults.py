"""Small faults in SQL: in the views, and in the queries that stand as texts in Python modules."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tests.mutants.faults import Fault, numbered

SLIPS: tuple[tuple[str, str, str], ...] = (
    ("comparison", r"(?<=\s)<=(?=\s)", "<"),
    ("comparison", r"(?<=\s)>=(?=\s)", ">"),
    ("comparison", r"(?<=\s)<(?=\s)", "<="),
    ("comparison", r"(?<=\s)>(?=\s)", ">="),
    ("comparison", r"(?<=\s)=(?=\s)", "<>"),
    ("comparison", r"(?<=\s)<>(?=\s)", "="),
    ("aggregate", r"\bavg(?=\()", "max"),
    ("aggregate", r"\bstddev_samp(?=\()", "stddev_pop"),
    ("aggregate", r"\bmax(?=\()", "min"),
    ("aggregate", r"\bmin(?=\()", "max"),
    ("aggregate", r"\bsum(?=\()", "max"),
    ("aggregate", r"\barg_max(?=\()", "arg_min"),
    ("aggregate", r"\barg_min(?=\()", "arg_max"),
    ("distinct", r"\bDISTINCT\s+(?!ON)", ""),
    ("boolean", r"\bAND\b", "OR"),
    ("boolean", r"\bOR\b(?! REPLACE)", "AND"),
    ("boolean", r"\bNOT\s+(?=EXISTS|IN\b|[a-z(])", ""),
    ("boolean", r"\bIS NOT NULL\b", "IS NULL"),
    ("boolean", r"\bIS NULL\b", "IS NOT NULL"),
    ("join", r"\bLEFT JOIN\b", "JOIN"),
    ("join", r"\bSEMI JOIN\b", "ANTI JOIN"),
    ("join", r"\bANTI JOIN\b", "SEMI JOIN"),
    ("arithmetic", r"(?<!SELECT )(?<!DISTINCT )(?<=\w |\)\ )\*(?= [\w(])", "/"),
    ("arithmetic", r"(?<=\w |\)\ )/(?= [\w(])", "*"),
    ("arithmetic", r"(?<=\w |\)\ )\+(?= [\w(])", "-"),
    ("arithmetic", r"(?<=\w |\)\ )-(?= [\w(])", "+"),
    ("constant", r"(?<![\w.'$\[{:-])\d+(?:\.\d+)?(?![\w.'\]}])", "+1"),
    ("constant", r"'val'", "'train'"),
    ("constant", r"'last'", "'best'"),
    ("order", r"\bDESC\b", "ASC"),
)
_BETWEEN = re.compile(r"\bBETWEEN\b(?:(?!\bAND\b).)*$", re.DOTALL)
_IS_QUERY = re.compile(r"\b(SELECT|FROM|WHERE|JOIN|ORDER BY|GROUP BY)\b")


def view_faults(path: str, source: bytes) -> list[Fault]:
    """All faults that are known for a file of SQL."""
    return numbered(list(_slips(path, source.decode(), 0, "")))


def query_faults(path: str, source: bytes) -> list[Fault]:
    """All faults that are known for the queries in a Python module; docstrings are none."""
    text = source.decode()
    functions = _functions(text)
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    found: list[Fault] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.STRING or token.start[0] in functions.docstrings:
            continue
        if _IS_QUERY.search(token.string):
            row, column = token.start
            start = starts[row - 1] + len(lines[row - 1][:column].encode())
            found += _slips(path, token.string, start, functions.around(row))
    return numbered(found)


class _functions:  # noqa: N801
    """Where the functions and docstrings of a module stand."""

    def __init__(self, text: str) -> None:
        self.docstrings: set[int] = set()
        self._spans: list[tuple[int, int, str]] = []
        self._read(ast.parse(text), "")

    def _read(self, node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}" if name else child.name
            if isinstance(child, ast.FunctionDef):
                self._spans.append((child.lineno, child.end_lineno or child.lineno, inner))
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                self.docstrings.add(child.lineno)
            self._read(child, inner)

    def around(self, line: int) -> str:
        inside = [span for span in self._spans if span[0] <= line <= span[1]]
        return inside[-1][2] if inside else ""


def _slips(path: str, text: str, offset: int, function: str) -> Iterator[Fault]:
    comments = [match.span() for match in re.finditer(r"--[^\n]*", text)]
    for kind, pattern, instead in SLIPS:
        for match in re.finditer(pattern, text):
            if any(start <= match.start() < end for start, end in comments):
                continue
            if instead == "OR" and _BETWEEN.search(text[: match.start()]):
                continue
            line = text.rfind("\n", 0, match.start()) + 1
            end = text.find("\n", match.end())
            end = len(text) if end < 0 else end
            changed = _next_number(match[0]) if instead == "+1" else instead
            yield Fault(
                path,
                function,
                kind,
                text[line:end],
                text[line : match.start()] + changed + text[match.end() : end],
                offset + len(text[:line].encode()),
                offset + len(text[:end].encode()),
            )


def _next_number(text: str) -> str:
    return str(float(text) * 2) if "." in text else str(int(text) + 1)
