"""Several experiments of one model in a drawing: words and a look for each, to tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dashboards.figures.panels import Row
from dashboards.render.plain_figure import PlainFigure, bar
from dashboards.render.theme import NEUTRAL

PATTERNS = ("", "x", ".", "-", "+", "\\", "|")
"""What bars of the first, second … experiment are filled with; published ones alone have stripes."""


class Experiments:
    """What tells one's own rows apart that stand at one place of a drawing; nothing where none do.

    `place` are the columns that say where a row is drawn, `told` those that may tell rows there apart, such
    as the study and the variant (values of other axes, recipes).
    """

    def __init__(self, rows: Iterable[Row], place: Sequence[str], told: Sequence[str]) -> None:
        own = [row for row in rows if row["source"] == "own"]
        drawn = {tuple(row[name] for name in (*place, *told)) for row in own}
        several = len({one[: len(place)] for one in drawn}) < len(drawn)
        self._told = [name for name in told if several and len({row[name] for row in own}) > 1]
        self.names = sorted({self.of(row) for row in own})

    def of(self, row: Row) -> str:
        """Return the words for a row's experiment: `lr 0.01`, of several studies with its study."""
        if row["source"] != "own":
            return ""
        return ", ".join(str(row[name]) for name in self._told if row[name])

    def pattern(self, row: Row) -> str:
        """Return the filling of a bar; published ones are striped."""
        if row["source"] != "own":
            return "/"
        return PATTERNS[self.names.index(self.of(row)) % len(PATTERNS)]

    def keys(self, figure: PlainFigure) -> None:
        """Add a legend entry an experiment, with its filling, where there are several."""
        for place, name in enumerate(self.names if len(self.names) > 1 else ()):
            marker = {"color": NEUTRAL, "pattern": {"shape": PATTERNS[place % len(PATTERNS)]}}
            figure.add_trace(
                bar(
                    x=[None],
                    y=[None],
                    name=name or "others",
                    legendgroup=f"experiment {name}",
                    showlegend=True,
                    marker=marker,
                )
            )
