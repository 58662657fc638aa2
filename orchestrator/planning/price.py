"""What a GPU costs an hour, as the command line says it."""

from __future__ import annotations

import re

_PRICE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(?:/\s*(?:gpu-)?(?:hour|h))?", re.IGNORECASE)


class PriceError(ValueError):
    """A price that cannot be read."""


def parse_price(text: str) -> float:
    """The price of a GPU-hour, in whatever currency: `2.5` or `2.5/gpu-hour`.

    Raises:
        PriceError: it is neither.
    """
    found = _PRICE.fullmatch(text.strip())
    if found is None:
        raise PriceError(f"price not understood; --price '{text}'; write 2.5 or 2.5/gpu-hour")
    return float(found[1])
