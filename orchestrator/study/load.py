"""The study file: found by path or shipped name, read with the safe loader, validated → `Study`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.study.checks import check_study
from orchestrator.study.errors import Location, Problem, StudyError, choices, closest_spelling
from orchestrator.study.model import Study
from orchestrator.study.yaml_source import Document, parse_yaml

SHIPPED = Path(__file__).parent.parent / "studies"


def load_study(source: str | Path) -> Study:
    """Read a study by the path of its file or by the name of a shipped one (`demo`, `deep-analysis`).

    Relative paths of `folder` and `csv` datasets count from the study file's directory.

    Raises:
        StudyError: no such file, not YAML, or a wrong field; one line for each problem.
    """
    path = _find(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError.of(str(path), [Problem((), f"cannot be read: {error}")]) from error
    study = parse_study(text, _shown_name(path))
    return _anchored(study, path.parent.resolve())


def parse_study(text: str, source: str) -> Study:
    """Validate a study file's text; `source` names the file in errors.

    Raises:
        StudyError: as `load_study`.
    """
    document = parse_yaml(text, source)
    if not isinstance(document.data, dict):
        what = "should be fields with values at the top level (name: …, axes: …, recipe: …)"
        raise StudyError.of(source, [Problem((), what, 1)])
    try:
        # JSON mode is strict about types (no `epochs: "75"`, no `epochs: yes`) and takes lists for tuples.
        study = Study.model_validate_json(json.dumps(_as_json(document.data)), strict=True)
    except ValidationError as error:
        raise StudyError.of(source, field_problems(Study, error, document)) from error
    _check(study, source, document)
    return study


def shipped_studies() -> dict[str, Path]:
    """The studies that come with ActionGrid, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    shipped = shipped_studies()
    name = str(source).removesuffix(".yaml").removesuffix(".yml")
    if name in shipped:
        return shipped[name]
    if path.is_dir():
        raise StudyError.of(str(source), [Problem((), "is a directory; give the study's YAML file")])
    what = f"no such file, and no shipped study of this name; {choices(path.stem, shipped)}"
    raise StudyError.of(str(source), [Problem((), what)])


def _shown_name(path: Path) -> str:
    return path.name if path.parent == SHIPPED else str(path)


def _check(study: Study, source: str, document: Document) -> None:
    problems = check_study(study)
    if problems:
        with_lines = [Problem(one.location, one.what, document.line(one.location)) for one in problems]
        raise StudyError.of(source, sorted(with_lines, key=lambda problem: problem.line or 0))


def _as_json(data: object) -> object:
    """Data as JSON can hold it: text for keys and for what YAML made dates or bytes of."""
    if isinstance(data, dict):
        return {str(key): _as_json(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_as_json(value) for value in data]
    return data if data is None or isinstance(data, (str, int, float)) else str(data)


def _anchored(study: Study, directory: Path) -> Study:
    """The study with its datasets' relative paths made absolute."""
    datasets = {}
    for name, config in study.datasets.items():
        fields = {field: getattr(config, field, None) for field in ("path", "root")}
        moved = {
            field: type(value)(directory / Path(value).expanduser())
            for field, value in fields.items()
            if isinstance(value, (str, Path))
        }
        datasets[name] = config.model_copy(update=moved)
    return study.model_copy(update={"datasets": datasets})


def field_problems(model: type[BaseModel], error: ValidationError, document: Document) -> list[Problem]:
    """One problem for each of pydantic's, in the file's order."""
    details = error.errors()
    misspelt = {meant for detail in details if (meant := _meant(model, detail)) is not None}
    told = [one for one in details if one["type"] != "missing" or tuple(one["loc"]) not in misspelt]
    problems = [_problem(model, detail, document) for detail in told]
    return sorted(problems, key=lambda problem: problem.line or 0)


def _meant(model: type[BaseModel], detail: ErrorDetails) -> Location | None:
    """The field that an unknown one was probably meant to be: no need to call that one missing too."""
    if detail["type"] != "extra_forbidden":
        return None
    around, name = detail["loc"][:-1], detail["loc"][-1]
    close = closest_spelling(name, _fields_at(model, around))
    return None if close is None else (*around, close)


def _problem(model: type[BaseModel], detail: ErrorDetails, document: Document) -> Problem:
    full = tuple(detail["loc"])
    location = _as_written(full, document)
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == "extra_forbidden":
        what = f"unknown field; {choices(full[-1], _fields_at(model, full[:-1]))}"
    elif kind == "missing":
        what = "missing, and it has no default; add it"
    elif kind in ("literal_error", "enum"):
        what = (
            f"{_shown(detail['input'])} is not one of them; {_expected(detail['input'], context['expected'])}"
        )
    elif kind == "union_tag_invalid":
        location = (*location, "kind")
        what = f"{context['tag']!r} is not one of them; {_expected(context['tag'], context['expected_tags'])}"
    elif kind == "union_tag_not_found":
        location = (*location, "kind")
        what = f"missing; {choices('', _kinds(model))}"
    else:
        what = _in_words(detail)
    return Problem(location, what, document.line(location))


def _in_words(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "model_type":
        return f"should be fields with values, got {_shown(detail['input'])}"
    return f"{detail['msg'].replace('Input should', 'should')}, got {_shown(detail['input'])}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _expected(given: object, expected: str) -> str:
    options = [text or number for text, number in re.findall(r"'([^']*)'|(\d+)", expected)]
    return choices(given, options)


def _as_written(location: Location, document: Document) -> Location:
    """Without what pydantic adds: a dataset's kind, and the index of a value written without a list."""
    if location[:1] == ("datasets",) and len(location) > 3 and location[:3] not in document.lines:
        location = (*location[:2], *location[3:])
    if location and isinstance(location[-1], int) and location not in document.lines:
        location = location[:-1]
    return location


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """The field names that the model at this place of the file may have."""
    found = [model]
    for part in location:
        inside = [inner for outer in found for inner in _step(outer, part)]
        found = inside or found
    return list(dict.fromkeys(name for one in found for name in one.model_fields))


def _step(model: type[BaseModel], part: str | int) -> list[type[BaseModel]]:
    if isinstance(part, str) and part in model.model_fields:
        return list(_models_in(model.model_fields[part].annotation))
    return [model] if part == _kind_of(model) else []


def _kinds(model: type[BaseModel]) -> list[str]:
    kinds = (_kind_of(one) for one in _models_in(model.model_fields["datasets"].annotation))
    return [kind for kind in kinds if kind is not None]


def _kind_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return str(get_args(field.annotation)[0]) if field is not None and get_args(field.annotation) else None


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Every model in an annotation, through unions, tuples, dicts and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
