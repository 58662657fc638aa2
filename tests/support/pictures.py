"""Reference pictures of pages and figures, at an eighth of their size, and how far today's are from them.

`ACTIONGRID_PICTURES=write` makes today's the reference. At this size a letter is a grey field: what tells is
where things stand, how large they are and their colours. Other fonts move everything, so that pictures are
compared where the fonts are those that the reference was drawn with.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

REFERENCE = ROOT / "tests" / "browser" / "reference"
FONTS = REFERENCE / "fonts.json"
SCALE = 8
MEAN_AT_MOST = 2.0
"""Mean distance of all fields, of 255."""
FAR, FAR_AT_MOST = 40, 0.02
"""So many fields (a share) may be further apart than that."""

_MEASURE = """() => ['system-ui', 'sans-serif', 'monospace'].map((family) => {
    const canvas = document.createElement('canvas').getContext('2d');
    return ['400', '700'].map((weight) => {
        canvas.font = `${weight} 100px ${family}`;
        return Math.round(canvas.measureText('TAM-ResNet50-tp-f16 67.6 %').width);
    });
})"""


def writing() -> bool:
    """Whether today's pictures are to become the reference."""
    return os.environ.get("ACTIONGRID_PICTURES") == "write"


def same_fonts(page: Page) -> bool:
    """Whether this browser draws with the fonts of the reference, by the widths of a line."""
    widths = page.evaluate(_MEASURE)
    if writing():
        REFERENCE.mkdir(exist_ok=True)
        FONTS.write_text(json.dumps(widths) + "\n")
    return FONTS.exists() and json.loads(FONTS.read_text()) == widths


def difference(picture: bytes | Path, name: str) -> str:
    """Say how a picture (PNG) differs from the reference `name`; nothing where it does not."""
    image = Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture).convert("RGB")
    small = image.resize((image.width // SCALE, image.height // SCALE), Image.Resampling.BOX)
    path = REFERENCE / f"{name}.png"
    if writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        small.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return compared(small, Image.open(path).convert("RGB")) if path.exists() else "no reference picture"


def compared(small: Image.Image, reference: Image.Image) -> str:
    """Say how two small pictures differ; nothing where they do not."""
    if abs(small.height - reference.height) > 1 or small.width != reference.width:
        return f"{small.width} × {small.height} fields, not {reference.width} × {reference.height}"
    height = min(small.height, reference.height)
    one, other = (np.asarray(image, np.int16)[:height] for image in (small, reference))
    away = np.abs(one - other).max(axis=2)
    mean, far = float(away.mean()), float((away > FAR).mean())
    if mean <= MEAN_AT_MOST and far <= FAR_AT_MOST:
        return ""
    return f"fields differ by {mean:.1f} of 255, {100 * far:.1f} % by more than {FAR}"
