"""One figure as an SVG, PDF or PNG file: drawn by a Chrome or Chromium that is on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import uuid4

from catalog.storage.errors import BAD_INPUT, ActionGridError

Format = Literal["svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
PNG_DOTS_PER_INCH = 300
PIXELS_PER_INCH = 96
SHRINK = 0.8
"""How much smaller than on a screen: 13-pixel text becomes 7.8 points."""

_DRAWING = re.compile(rb'<defs id="defs-([0-9a-f]+)"')


class BrowserError(ActionGridError):
    """There is no browser that could draw."""

    exit_code = BAD_INPUT


class DrawingError(ActionGridError):
    """The browser could not draw a figure."""


def write_image(figure: dict[str, Any], path: Path, form: Format) -> Path:
    """Draw a figure (Plotly's plain JSON, with its width and height) into a file, in one step.

    Raises:
        BrowserError: no Chrome or Chromium was found.
        DrawingError: the browser failed.
        OSError: the file cannot be written.
    """
    content = image(figure, form)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def image(figure: dict[str, Any], form: Format) -> bytes:
    """Return a figure as a file's content; the same figure gives the same SVG and PNG on one machine.

    Raises:
        BrowserError: no Chrome or Chromium was found.
        DrawingError: the browser failed.
    """
    import kaleido
    from kaleido.errors import ChromeNotFoundError

    layout = figure["layout"]
    scale = SHRINK * (PNG_DOTS_PER_INCH / PIXELS_PER_INCH if form == "png" else 1)
    size = {"width": layout["width"], "height": layout["height"], "scale": scale}
    try:
        # MathJax would be asked for on the network; no figure has formulas.
        content: bytes = kaleido.calc_fig_sync(
            figure, opts={"format": form, **size}, kopts={"mathjax": False}
        )
    except ChromeNotFoundError:
        raise BrowserError(
            "no Chrome or Chromium was found",
            "PATH",
            "install one (for example `apt install chromium`), or set BROWSER_PATH to its file",
        ) from None
    except Exception as error:
        # The browser is a program of its own: whatever happens to it is one failure here.
        raise DrawingError(
            f"the browser could not draw ({type(error).__name__}: {error})",
            form,
            "try again, or another --format",
        ) from error
    return _without_chance(content) if form == "svg" else content


def _without_chance(svg: bytes) -> bytes:
    """Plotly draws random names into its files; files of the same figure should be equal."""
    found = _DRAWING.search(svg)
    return svg if found is None else svg.replace(found.group(1), b"actiongrid")
