"""What people look at: figures, the report, the live app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dashboards.report.paper import draw_figure, figure_titles

__all__ = ["draw_figure", "figure_titles"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (the module protocol's own signature)
    """Load a public name at its first use: it brings Plotly."""
    if name not in __all__:
        raise AttributeError(f"module 'dashboards' has no attribute {name!r}")
    from dashboards.report import paper

    return getattr(paper, name)
