"""The lines that a figure shows, one by one: a trace can hold several, with a gap between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go


@dataclass(frozen=True)
class Point:
    hover: str
    x: float
    y: float
    symbol: str

    @property
    def name(self) -> str:
        """The cell's, which every hover text begins with."""
        return self.hover.split("</b>")[0].removeprefix("<b>")


@dataclass(frozen=True)
class Line:
    """Points that are joined, and the trace that they are a part of."""

    points: tuple[Point, ...]
    trace: Any


def drawn_lines(figure: go.Figure, mode: str = "lines+markers") -> list[Line]:
    """All lines of the traces with this mode, but for the legend's."""
    traces = [trace for trace in figure.data if trace.mode == mode and trace.customdata is not None]
    return [Line(tuple(points), trace) for trace in traces for points in _parts(trace)]


def _parts(trace: Any) -> list[list[Point]]:
    symbols = trace.marker.symbol
    symbols = [symbols] * len(trace.x) if isinstance(symbols, str) else symbols
    parts: list[list[Point]] = [[]]
    for x, y, hover, symbol in zip(trace.x, trace.y, trace.customdata, symbols, strict=True):
        if x is None:
            assert y is None and hover is None
            parts.append([])
        else:
            parts[-1].append(Point(hover, x, y, symbol))
    return parts


def is_bar(trace: Any) -> bool:
    """Return whether a trace is one of bars, and not of the numbers beyond them."""
    return trace.type == "bar" and trace.hoverinfo != "skip"
