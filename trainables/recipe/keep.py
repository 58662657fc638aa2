"""Which of a cell's checkpoints are kept: `last 2, best`, `last, best, every 10` … (pure)."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

_TERM = re.compile(r"(?:(last)(?:\s+([1-9]\d*))?|(best)|(every)\s+([1-9]\d*))")
_ALLOWED = "allowed: last, last N, best, every N, such as 'last, best, every 10'"
# Where the newest checkpoint is damaged, the one before it is used.
_LAST_WHILE_TRAINING = 2


class KeepPolicy(BaseModel):
    """The last `last` checkpoints, the `best` one, and those of every `every`-th epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    last: Annotated[int, Field(ge=0)] = 2
    best: bool = True
    every: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _keeps_a_checkpoint_of_every_cell(self) -> KeepPolicy:
        if not self.last and not self.best:
            raise ValueError(f"keeps neither the last checkpoint nor the best; {_ALLOWED}")
        return self

    @classmethod
    def parse(cls, value: object) -> KeepPolicy:
        """The policy that a text or a list of its terms means.

        Raises:
            ValueError: no such term, a term twice, or neither the last nor the best one is kept.
        """
        if isinstance(value, KeepPolicy):
            return value
        terms = value.split(",") if isinstance(value, str) else value
        if not isinstance(terms, (list, tuple)):
            raise ValueError(f"{value!r} does not say what to keep; {_ALLOWED}")
        fields: dict[str, Any] = {}
        for term in terms:
            name, number = _read(str(term).strip())
            if name in fields:
                raise ValueError(f"'{name}' is given twice; {_ALLOWED}")
            fields[name] = name == "best" or number
        return cls(**{"last": 0, "best": False} | fields)

    def __str__(self) -> str:
        last = (f"last {self.last}" if self.last > 1 else "last") if self.last else ""
        terms = (last, "best" if self.best else "", f"every {self.every}" if self.every else "")
        return ", ".join(term for term in terms if term)

    def epochs(self, done: int, best: int) -> frozenset[int]:
        """The epochs (1-based) whose checkpoints are kept after `done` of them."""
        return self._fixed(done) | ({best} if self.best else frozenset())

    def while_training(self, done: int, best: int) -> frozenset[int]:
        """The same while a cell trains: never fewer than a resumption, its result and a child may need."""
        wider = KeepPolicy(last=max(self.last, _LAST_WHILE_TRAINING), every=self.every)
        return wider.epochs(done, best)

    def most(self, epochs: int) -> int:
        """How many checkpoints a finished cell of so many epochs leaves at most."""
        return min(epochs, len(self._fixed(epochs)) + self.best)

    def _fixed(self, done: int) -> frozenset[int]:
        every = range(self.every, done + 1, self.every) if self.every else ()
        return frozenset((*range(max(1, done - self.last + 1), done + 1), *every))


def _read(term: str) -> tuple[str, int]:
    found = _TERM.fullmatch(term)
    if found is None:
        raise ValueError(f"{term!r} is nothing that can be kept; {_ALLOWED}")
    last, count, best, every, step = found.groups()
    return last or best or every, int(count or step or 1)


Keep = Annotated[
    KeepPolicy,
    BeforeValidator(KeepPolicy.parse, json_schema_input_type=str | list[str]),
    PlainSerializer(str),
]
"""A policy as study files and other JSON have it: text, or a list of its terms."""
