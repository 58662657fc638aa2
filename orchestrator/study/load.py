"""The study file: found by path or shipped name, read with the safe loader, validated → `Study`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from catalog.claims.load import ClaimsError, claim_problems, load_claims, shipped_claims, taken_names
from catalog.field_errors import Problem, choices, closest_spelling
from catalog.storage.atomic import user_path
from catalog.yaml_source import Document, field_problems, json_data, parse_yaml
from orchestrator.study.checks import check_study
from orchestrator.study.errors import StudyError
from orchestrator.study.model import Study, StudyWithoutCells
from orchestrator.study.other_axes import FIELDS
from trainables.data.datasets import OFFICIAL, plug_in_kinds
from trainables.models.registry import backbones, modules
from trainables.recipe.cell_spec import AUGMENTATIONS, OPTIMISERS
from trainables.recipe.plug_ins import (
    AugmentationInfo,
    OptimiserInfo,
    PlugInError,
    named_packages,
    plug_ins_of,
    use,
    use_only,
)

SHIPPED = Path(__file__).parent.parent / "studies"


def load_study(source: str | Path, children: tuple[Path, ...] = ()) -> Study:
    """Read a study by the path of its file or by the name of a shipped one (`demo`, `deep-analysis`).

    Relative paths in any field count from the study file's directory, `~` is the home folder. `children` are
    the files of studies that start from it.

    Raises:
        StudyError: no such file, not YAML, or a wrong field; one line for each problem.
    """
    path = _find(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError.of(str(path), [Problem((), f"cannot be read: {error}")]) from error
    study = parse_study(text, _shown_name(path), path.parent, (*children, path.resolve()))
    return _anchored(study, path.parent.resolve())


def parse_study(text: str, source: str, folder: Path = Path(), children: tuple[Path, ...] = ()) -> Study:
    """Validate a study file's text; `source` names the file in errors, `folder` is where it lies.

    `children` are the files of the studies that are being read: this one and those that start from it.

    Raises:
        StudyError: as `load_study`.
    """
    document = parse_yaml(text, source, StudyError, "name, axes and recipe")
    if not isinstance(document.data, dict):
        what = "should be fields with values at the top level (name: …, axes: …, recipe: …)"
        raise StudyError.of(source, [Problem((), what, 1)])
    fields = _with_claims(document.data, source, document, folder)
    _import_plug_ins(fields.get("plug_ins"), source, document)
    try:
        # JSON mode is strict about types (no `epochs: "75"`, no `epochs: yes`) and takes lists for tuples.
        kind = StudyWithoutCells if "axes" not in fields and fields.get("evaluates") else Study
        study = kind.model_validate_json(json.dumps(json_data(fields)), strict=True)
    except ValidationError as error:
        problems = field_problems(Study, error, document, tagged="datasets")
        raise StudyError.of(source, [_with_hint(one, fields) for one in problems]) from error
    if study.parents is not None:
        study = study.with_parent_study(
            _parent_study(study.parents.study, source, document, folder, children)
        )
    _check(study, source, document)
    return study


def _parent_study(
    named: str, source: str, document: Document, folder: Path, children: tuple[Path, ...]
) -> Study:
    """The study whose cells another one starts from, by its path from the study file's folder or its name.

    Raises:
        StudyError: there is none, it has faults itself, or it starts from cells of the other one.
    """
    file = folder / user_path(named)
    where = ("parents", "study")
    try:
        found = _find(file if file.is_file() else named)
        if found.resolve() in children:
            raise StudyError.of(
                source, [Problem(where, f"{named} starts from this study", document.line(where))]
            )
        return load_study(found, children)
    except StudyError as error:
        if file.is_file() or named in shipped_studies():
            raise
        raise StudyError.of(source, [Problem(where, str(error), document.line(where))]) from error


def _with_hint(problem: Problem, fields: Mapping[Any, Any]) -> Problem:
    """The problem; with how to name what was meant, where a recipe's field or an official dataset was."""
    if problem.location[:1] == ("axes",) and problem.location[-1] in FIELDS:
        return replace(problem, what=f"{problem.what}; did you mean recipe.{problem.location[-1]}?")
    return _with_official(problem, fields)


def _import_plug_ins(named: object, source: str, document: Document) -> None:
    """Import the packages that a study names: what else it says may be theirs.

    Raises:
        StudyError: one of them, or one that is installed or named otherwise, cannot be used.
    """
    packages = [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
    before = named_packages()
    use(packages)
    try:
        modules(), backbones(), plug_in_kinds()
        plug_ins_of(OptimiserInfo, OPTIMISERS), plug_ins_of(AugmentationInfo, AUGMENTATIONS)
    except PlugInError as error:
        use_only(before)  # studies that are read later do not name them
        problem = Problem(("plug_ins",), str(error), document.line(("plug_ins",)))
        raise StudyError.of(source, [problem]) from error


def _with_official(problem: Problem, fields: Mapping[Any, Any]) -> Problem:
    """The problem; where an official dataset's name was given as a kind, with how to name that."""
    if problem.location[:1] != ("datasets",) or problem.location[2:] != ("kind",):
        return problem
    declared: Any = json_data(fields)
    close = closest_spelling(declared["datasets"][problem.location[1]].get("kind"), OFFICIAL)
    hint = f"; or did you mean the official one, {{kind: official, name: {close}}}?" if close else ""
    others = plug_in_kinds()
    known = f"; and of plug-ins: {', '.join(others)}" if others else ""
    return replace(problem, what=problem.what + known + hint)


def _with_claims(
    fields: Mapping[object, object], source: str, document: Document, folder: Path
) -> Mapping[Any, object]:
    """A study's fields; where `claims` names a file, with what that holds in its place."""
    claims = fields.get("claims", [])
    line = document.line(("claims",))
    if isinstance(claims, list):
        return fields
    if not isinstance(claims, str):
        what = f"should be a file of claims or a list of claims, got {claims!r}"
        raise StudyError.of(source, [Problem(("claims",), what, line)])
    file = folder / user_path(claims)
    if not file.is_file():
        what = f"no such file: {file}; give its path from the study file's folder, or a list of claims"
        raise StudyError.of(source, [Problem(("claims",), what, line)])
    try:
        found = load_claims(file)
    except ClaimsError as error:
        raise StudyError(str(error)) from error
    return {**fields, "claims": [claim.model_dump(mode="json") for claim in found]}


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
        make = shlex.join(("actiongrid", "init", str(source)))
        what = f"is a directory; give the study's YAML file; of a folder of videos one is made by: {make}"
        raise StudyError.of(str(source), [Problem((), what)])
    what = f"no such file, and no shipped study of this name; {choices(path.stem, shipped)}"
    raise StudyError.of(str(source), [Problem((), what)])


def _shown_name(path: Path) -> str:
    return path.name if path.parent == SHIPPED else str(path)


def _check(study: Study, source: str, document: Document) -> None:
    problems = [*check_study(study), *claim_problems(study.claims)]
    problems += taken_names(shipped_claims(), study.claims) if study.claims else []
    if problems:
        with_lines = [Problem(one.location, one.what, document.line(one.location)) for one in problems]
        raise StudyError.of(source, sorted(with_lines, key=lambda problem: problem.line or 0))


def _anchored(study: Study, directory: Path) -> Study:
    """The study with its paths made absolute: `~` is the home folder, relative ones count from the file."""
    datasets = {}
    for name, config in study.datasets.items():
        fields = {field: getattr(config, field, None) for field in ("path", "root", "videos", "annotations")}
        moved = {
            field: type(value)(directory / user_path(value))
            for field, value in fields.items()
            if isinstance(value, (str, Path))
        }
        datasets[name] = config.model_copy(update=moved)
    local = study.frames_on_local_disk
    moved_disk = None if local is None else str(directory / user_path(local))
    return study.model_copy(update={"datasets": datasets, "frames_on_local_disk": moved_disk})
