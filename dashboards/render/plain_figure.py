"""Drawing without asking Plotly about every property: plain dictionaries that become a figure at the end.

Plotly checks each value that it is given, which takes 1.3 ms a trace and 50 ms a figure; that the values are
right is what tests are for. Methods are named and behave as those of `plotly.graph_objects.Figure`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

Trace = dict[str, Any]
"""A trace as Plotly's JSON has it."""

_NO_TEMPLATE = {"data": {"scatter": [{"type": "scatter"}]}}
_TITLE_SIZE = 16


def scatter(**values: Any) -> Trace:  # noqa: ANN401  (whatever a trace can have)
    """Return a trace of points or lines."""
    return _trace("scatter", values)


def bar(**values: Any) -> Trace:  # noqa: ANN401
    """Return a trace of bars."""
    return _trace("bar", values)


def heatmap(**values: Any) -> Trace:  # noqa: ANN401
    """Return a trace of coloured fields."""
    return _trace("heatmap", values)


class PlainFigure:
    """A figure in the making, of one panel or of `rows` × `cols`; spacings are shares of the whole."""

    def __init__(
        self,
        *traces: Trace,
        rows: int = 1,
        cols: int = 1,
        titles: Sequence[str] = (),
        horizontal_spacing: float | None = None,
        vertical_spacing: float | None = None,
    ) -> None:
        self.traces = list(traces)
        self.layout: dict[str, Any] = {}
        self._cols = cols
        self._panels = rows * cols
        # Several panels have fixed places; a single one without a title takes what there is.
        if self._panels > 1 or titles:
            across = _shares(cols, 0.2 / cols if horizontal_spacing is None else horizontal_spacing)
            room = (0.5 if titles else 0.3) / rows
            down = _shares(rows, room if vertical_spacing is None else vertical_spacing)
            self._place(across, [*reversed(down)], titles)

    def add_trace(self, trace: Trace, row: int | None = None, col: int | None = None) -> None:
        """Add a trace, to a panel where one is named."""
        if row is not None and col is not None:
            suffix = self._suffix(row, col)
            trace = {**trace, "xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        self.traces.append(trace)

    def update_layout(self, **values: Any) -> None:  # noqa: ANN401
        """Set properties of the layout; what a dictionary does not name stays."""
        _merge(self.layout, values)

    def update_xaxes(self, row: int | None = None, col: int | None = None, **values: Any) -> None:  # noqa: ANN401
        """Set properties of the x axes of all panels, or of those in a row or column."""
        self._update_axes("xaxis", row, col, values)

    def update_yaxes(self, row: int | None = None, col: int | None = None, **values: Any) -> None:  # noqa: ANN401
        """Set properties of the y axes of all panels, or of those in a row or column."""
        self._update_axes("yaxis", row, col, values)

    def add_annotation(self, row: int | None = None, col: int | None = None, **values: Any) -> None:  # noqa: ANN401
        """Write a text; its place is in data where a panel is named and `xref` or `yref` say nothing else."""
        if row is not None and col is not None:
            suffix = self._suffix(row, col)
            for letter in "xy":
                ends = " domain" if "domain" in values.get(f"{letter}ref", "") else ""
                values[f"{letter}ref"] = f"{letter}{suffix}{ends}"
        self.layout.setdefault("annotations", []).append(values)

    def add_hline(self, y: float, line: dict[str, Any], row: int = 1, col: int = 1) -> None:
        """Draw a line from the left to the right of a panel."""
        suffix = self._suffix(row, col)
        place = {"x0": 0, "x1": 1, "xref": f"x{suffix} domain", "y0": y, "y1": y, "yref": f"y{suffix}"}
        self.layout.setdefault("shapes", []).append({"type": "line", "line": line, **place})

    def add_vline(self, x: float, line: dict[str, Any], row: int = 1, col: int = 1) -> None:
        """Draw a line from the bottom to the top of a panel."""
        suffix = self._suffix(row, col)
        place = {"x0": x, "x1": x, "xref": f"x{suffix}", "y0": 0, "y1": 1, "yref": f"y{suffix} domain"}
        self.layout.setdefault("shapes", []).append({"type": "line", "line": line, **place})

    def drawn(self) -> go.Figure:
        """Return the figure."""
        layout = {"template": _NO_TEMPLATE, **self.layout}
        return go.Figure({"data": self.traces, "layout": layout}, _validate=False)

    def _place(
        self, across: Sequence[list[float]], down: Sequence[list[float]], titles: Sequence[str]
    ) -> None:
        places = [(x, y) for y in down for x in across]
        for number, (x, y) in enumerate(places, start=1):
            suffix = _suffix(number)
            self.layout[f"xaxis{suffix}"] = {"anchor": f"y{suffix}", "domain": x}
            self.layout[f"yaxis{suffix}"] = {"anchor": f"x{suffix}", "domain": y}
        for title, (x, y) in zip(titles, places, strict=False):
            self.add_annotation(
                text=title,
                font={"size": _TITLE_SIZE},
                showarrow=False,
                x=(x[0] + x[1]) / 2,
                xanchor="center",
                xref="paper",
                y=y[1],
                yanchor="bottom",
                yref="paper",
            )

    def _update_axes(self, name: str, row: int | None, col: int | None, values: dict[str, Any]) -> None:
        for number in self._numbers(row, col):
            _merge(self.layout.setdefault(f"{name}{_suffix(number)}", {}), values)

    def _numbers(self, row: int | None, col: int | None) -> Iterator[int]:
        for place in range(self._panels):
            if row in (None, place // self._cols + 1) and col in (None, place % self._cols + 1):
                yield place + 1

    def _suffix(self, row: int, col: int) -> str:
        return _suffix((row - 1) * self._cols + col)


def _trace(kind: str, values: dict[str, Any]) -> Trace:
    return {"type": kind, **{name: value for name, value in values.items() if value is not None}}


def _suffix(number: int) -> str:
    return "" if number == 1 else str(number)


def _shares(count: int, spacing: float) -> list[list[float]]:
    """Equal parts of the whole, as [start, end], with a spacing between them."""
    size = (1 - spacing * (count - 1)) / count
    starts = [place * (size + spacing) for place in range(count)]
    return [[start, min(1.0, start + size)] for start in starts]


def _merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    for name, given in values.items():
        value = {"text": given} if name == "title" and isinstance(given, str) else given
        if isinstance(value, dict):
            inner = into.setdefault(name, {})
            _merge(inner, value)
        else:
            into[name] = value
