"""Asks a catalog several questions at the same time: most of a small answer is planning it, on one core."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

Question = Callable[[], "pa.Table"]


def at_once(*questions: Question) -> list[pa.Table]:
    """Return the answers in the order of the questions.

    Raises:
        Exception: what the first question that fails raises, after all have ended.
    """
    with ThreadPoolExecutor(len(questions)) as pool:
        return [answer.result() for answer in [pool.submit(question) for question in questions]]
