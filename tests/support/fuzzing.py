"""Inputs changed at random: a fixed few of them in `make test`, new ones for minutes in `make fuzz`."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("ACTIONGRID_FUZZ_SECONDS", "0"))
"""How long each test tries new inputs; 0: the same few each time."""
EXAMPLES = 25
_AT_ONCE = 500
_MOST_GROWTH = 1_000_000
"""kB by which a test may raise the highest memory of the process."""

SEEDS = (
    b"",
    b"\n",
    b"{}",
    b"null",
    b"[" * 100_000,
    b'{"owner":' * 50_000,
    b"9" * 5000,
    b'{"epoch": 1e400}',
    b'"\\ud800"',
    b"PAR1" * 4,
    bytes(range(256)),
)
"""What was refused wrongly once, of whatever file."""
_TEXTS = st.sampled_from(
    [b'"', b"{", b"[[", b"1e999", b"-1", b"null", b"NaN", b"\\ud800", b"9" * 30, b"\x00"]
)


def fuzz(check: Callable[..., None], *inputs: st.SearchStrategy[Any], examples: int = EXAMPLES) -> None:
    """Call `check` with inputs; whatever it raises, or memory that grows without a bound, fails the test.

    `examples`: the number of inputs that a test takes without `ACTIONGRID_FUZZ_SECONDS`.
    """
    tried, before, began = 0, _highest_memory(), time.monotonic()

    def counted(values: tuple[Any, ...]) -> None:
        nonlocal tried
        if SECONDS and time.monotonic() - began > SECONDS:
            return
        tried += 1
        check(*values)

    some = settings(
        max_examples=_AT_ONCE if SECONDS else examples,
        derandomize=not SECONDS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    while True:
        some(given(st.tuples(*inputs))(counted))()
        if time.monotonic() - began >= SECONDS:
            break
    grown = _highest_memory() - before
    if SECONDS:
        print(f"\n{tried} inputs in {time.monotonic() - began:.0f} s, memory grew by {grown // 1000} MB")
    assert grown < _MOST_GROWTH


def _highest_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@st.composite
def changed(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with some bytes replaced, left out, doubled or put in; or none of it."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(found)))
        last = min(len(found), first + draw(st.integers(0, 24)))
        how = draw(st.sampled_from(["replace", "leave out", "double", "put in", "cut"]))
        if how == "cut":
            del found[first:]
        elif how == "double":
            found[first:first] = found[first:last]
        elif how == "leave out":
            del found[first:last]
        else:
            found[first : last if how == "replace" else first] = draw(st.binary(max_size=24) | _TEXTS)
    return bytes(found)


def files_like(content: bytes) -> st.SearchStrategy[bytes]:
    """The content changed, or anything short."""
    return changed(content) | st.binary(max_size=200)
