"""Claims as YAML: those that come with ActionGrid, a storage's, a study's, and a user's own files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from catalog.claims.model import MEASURE, MEASURES, AxisValue, Claim, ClaimFile
from catalog.field_errors import FieldsError, Location, Problem, choices
from catalog.names import OTHER_AXES_WRITTEN, is_other_axis
from catalog.yaml_source import Document, field_problems, json_data, parse_yaml

if TYPE_CHECKING:
    from catalog.storage.storage import Storage

_NEEDS = "claims: a list with name, statement and expect each"
_KINDS: dict[str, tuple[type, str]] = {
    "temporal_pooling": (bool, "true or false"),
    "frames": (int, "a whole number"),
    "clips": (int, "a whole number"),
    "crops": (int, "a whole number"),
    "crop_size": (int, "a whole number"),
}


class ClaimsError(FieldsError):
    """A file of claims that cannot be used. Its text has one line for each of its problems."""


@cache
def shipped_claims() -> tuple[Claim, ...]:
    """Return the statements of Chen et al. 2021 (catalog/claims/paper.yaml)."""
    text = (resources.files("catalog.claims") / "paper.yaml").read_text(encoding="utf-8")
    return parse_claims(text, "paper.yaml")


@cache
def published_values() -> Mapping[str, tuple[AxisValue, ...]]:
    """Return the datasets and numbers of frames of the published results that claims of a grid are about."""
    text = (resources.files("catalog") / "published" / "mini_results.csv").read_text(encoding="utf-8")
    rows = [*csv.DictReader(text.splitlines())]
    frames = sorted({int(row["frames"]) for row in rows})
    return {"dataset": tuple(sorted({row["dataset"] for row in rows})), "frames": tuple(frames)}


def load_claims(path: Path) -> tuple[Claim, ...]:
    """Read the claims of a file.

    Raises:
        ClaimsError: no such file, not YAML, or a wrong field; one line for each problem.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ClaimsError.of(str(path), [Problem((), f"cannot be read: {error.strerror}")]) from error
    return parse_claims(_text(content, str(path)), str(path))


def claims_for(storage: Storage, files: Sequence[Path] = ()) -> tuple[Claim, ...]:
    """Return the paper's claims, those of the storage's `claims.yaml`, and those of the files.

    Raises:
        ClaimsError: a file cannot be used, or a name is in two of them.
    """
    found = shipped_claims()
    content = storage.read(storage.layout.claims)
    if content is not None:
        source = storage.named(storage.layout.claims)
        found = together(found, parse_claims(_text(content, source), source), source)
    for file in files:
        found = together(found, load_claims(file), str(file))
    return found


def _text(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClaimsError.of(source, [Problem((), f"cannot be read: {error}")]) from error


def parse_claims(text: str, source: str) -> tuple[Claim, ...]:
    """Return the claims that a text in YAML holds; `source` names it in errors.

    Raises:
        ClaimsError: as `load_claims`.
    """
    document = parse_yaml(text, source, ClaimsError, _NEEDS)
    if not isinstance(document.data, dict):
        raise ClaimsError.of(source, [Problem((), f"should hold {_NEEDS}", 1)])
    try:
        file = ClaimFile.model_validate_json(json.dumps(json_data(document.data)), strict=True)
    except ValidationError as error:
        raise ClaimsError.of(source, field_problems(ClaimFile, error, document)) from error
    problems = claim_problems(file.claims)
    problems += [] if file.claims else [Problem(("claims",), "has no claim; give one or take the file away")]
    if problems:
        raise ClaimsError.of(source, _in_order(problems, document))
    return file.claims


def claim_problems(claims: Sequence[Claim]) -> list[Problem]:
    """Return what well-formed claims of one file get wrong, each at its place in the list `claims`."""
    wrong = [one for number, claim in enumerate(claims) for one in _problems(claim, number)]
    return wrong + _twice([claim.name for claim in claims])


def taken_names(claims: Sequence[Claim], more: Sequence[Claim]) -> list[Problem]:
    """Return a problem for each of `more` that has the name of one of `claims`."""
    names = {claim.name for claim in claims}
    return [
        Problem(("claims", number, "name"), f"{claim.name!r} is taken by another claim; choose another")
        for number, claim in enumerate(more)
        if claim.name in names
    ]


def together(claims: Sequence[Claim], more: Sequence[Claim], source: str) -> tuple[Claim, ...]:
    """Return both; `source` names where the second ones come from.

    Raises:
        ClaimsError: a name is in both.
    """
    wrong = taken_names(claims, more)
    if wrong:
        raise ClaimsError.of(source, wrong)
    return (*claims, *more)


def _in_order(problems: Sequence[Problem], document: Document) -> list[Problem]:
    placed = [Problem(one.location, one.what, document.line(one.location)) for one in problems]
    return sorted(placed, key=lambda problem: problem.line or 0)


def _twice(names: Sequence[str]) -> list[Problem]:
    return [
        Problem(("claims", number, "name"), f"{name!r} stands above already; choose another")
        for number, name in enumerate(names)
        if name in names[:number]
    ]


def _problems(claim: Claim, number: int) -> Iterator[Problem]:
    """What the fields of a claim get wrong together."""
    at: Location = ("claims", number)
    compared = {axis: claim.compared(axis) for axis in claim.compare}
    allowed = claim.axes if claim.results == "printed" else (*claim.axes, *OTHER_AXES_WRITTEN)
    yield from _wrong_axes((*at, "where"), claim.where, allowed)
    yield from _wrong_axes((*at, "without"), claim.without, allowed)
    yield from _wrong_axes((*at, "compare"), compared, (*allowed, MEASURE))
    for axis in claim.average_over:
        if not _is_allowed(axis, allowed):
            what = f"{axis!r} is no axis of these results; {choices(axis, allowed)}"
            yield Problem((*at, "average_over"), what)
    for field in ("where", "without", "average_over"):
        for axis in claim.compare:
            if axis in getattr(claim, field):
                yield Problem((*at, field), f"{axis!r} is what it compares along; keep it in one of them")
    for axis in claim.compare:
        for first, second in claim.pairs(axis):
            if first == second:
                what = f"{first!r} is compared with itself; give two values that differ"
                yield Problem((*at, "compare", axis), what)
    if claim.relative and len(claim.compare) != 1:
        yield Problem((*at, "relative"), "needs `compare` with one axis")
    yield from _wrong_measures(claim, at)


def _wrong_axes(
    at: Location, axes: Mapping[str, Sequence[AxisValue]], allowed: Sequence[str]
) -> Iterator[Problem]:
    for axis, values in axes.items():
        if not _is_allowed(axis, allowed):
            yield Problem((*at, axis), f"no axis of these results; {choices(axis, allowed)}")
        elif not values:
            wanted = "two values: the first minus the second" if at[-1] == "compare" else "a value"
            yield Problem((*at, axis), f"needs {wanted}")
        else:
            yield from _wrong_values((*at, axis), axis, values)


def _is_allowed(axis: str, allowed: Sequence[str]) -> bool:
    """Whether results can have an axis: of those that only their study knows, any that is named so."""
    return axis in allowed or (is_other_axis(axis) and OTHER_AXES_WRITTEN[0] in allowed)


def _wrong_measures(claim: Claim, at: Location) -> Iterator[Problem]:
    allowed = MEASURES[claim.results]
    place = ("compare", MEASURE) if MEASURE in claim.compare else (MEASURE,)
    for one in sorted(claim.measures):
        if one not in allowed:
            yield Problem((*at, *place), f"{one!r} is not one of them; {choices(one, allowed)}")


def _wrong_values(at: Location, axis: str, values: Sequence[AxisValue]) -> Iterator[Problem]:
    kind, words = _KINDS.get(axis, (str, "text"))
    for value in values:
        if type(value) is not kind:
            yield Problem(at, f"{value!r} should be {words}")
