"""What travels with a job: ActionGrid's own rooms, the study file, and the command that runs it there."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp

from catalog.storage.errors import BAD_INPUT, ActionGridError
from catalog.yaml_source import json_data, parse_yaml
from orchestrator.study.errors import StudyError
from orchestrator.study.load import load_study, parse_study, shipped_studies
from orchestrator.study.model import Study
from trainables.recipe.plug_ins import named_packages

# Nothing else is needed there, and no storage, environment or data set can slip in.
ROOMS = ("orchestrator", "trainables", "catalog", "dashboards")
STUDIES = "submitted"


class SubmitError(ActionGridError):
    """A study or an option that cannot travel to a cluster."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class JobFolder:
    """A folder to send, the study's name, and its file inside the folder (or a shipped study's name)."""

    folder: Path
    study: str
    study_file: str


@contextmanager
def job_folder(study: str) -> Iterator[JobFolder]:
    """A temporary folder with the rooms and the study file.

    Raises:
        StudyError: the study file is missing or wrong.
        SubmitError: the study names a folder relative to its own place.
    """
    name = load_study(study).name
    # Not TemporaryDirectory: on a disk that refuses everything its removal calls itself without end.
    folder = Path(mkdtemp(prefix="actiongrid-job-"))
    try:
        root = Path(__file__).parents[2]
        for room in ROOMS:
            shutil.copytree(root / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
        yield JobFolder(folder, name, _copied_study(study, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copied_study(study: str, folder: Path) -> str:
    source = Path(study)
    if not source.is_file():
        return source.stem if source.stem in shipped_studies() else study
    text = source.read_text(encoding="utf-8-sig")
    parsed = parse_study(text, study, source.parent)
    _refuse_relative(parsed, study)
    target = folder / STUDIES / source.name
    if target.exists():
        what, way_out = "two study files of one name cannot travel together", "rename one of them"
        raise SubmitError(what, str(source), way_out)
    target.parent.mkdir(exist_ok=True)
    target.touch()
    fields = parse_yaml(text, study, StudyError, "name, axes and recipe").data
    if isinstance(fields, dict) and (named := _named_files(fields, source, parsed, folder)):
        text = json.dumps(json_data({**fields, **named}), indent=1)  # JSON is YAML too
    target.write_text(text, encoding="utf-8")
    return f"{STUDIES}/{source.name}"


def _named_files(
    fields: Mapping[object, object], source: Path, study: Study, folder: Path
) -> dict[str, object]:
    """The fields that name files, as a job has them: claims in place, the parents' study beside this one."""
    changed: dict[str, object] = {}
    if isinstance(fields.get("claims"), str):
        changed["claims"] = [claim.model_dump(mode="json") for claim in study.claims]
    parents = fields.get("parents")
    if isinstance(parents, dict) and (file := source.parent / str(parents["study"])).is_file():
        changed["parents"] = {**parents, "study": PurePosixPath(_copied_study(str(file), folder)).name}
    return changed


def _refuse_relative(study: Study, source: str) -> None:
    for name, dataset in study.datasets.items():
        for field in ("path", "root", "videos", "annotations"):
            value = getattr(dataset, field, None)
            if value is not None and not PurePosixPath(str(value)).is_absolute():
                raise SubmitError(
                    f"{value} is relative to this machine's file",
                    f"{source}: datasets.{name}.{field}",
                    "give the path that all machines of the cluster see",
                )


def run_command(study_file: str, storage: str | None, weights_dir: str | None) -> str:
    """The shell command that runs the study inside the job.

    Raises:
        SubmitError: a path that is not absolute: the job starts in a directory that Ray deletes.
    """
    imports = [word for package in named_packages() for word in ("--import", package)]
    words = ["python", "-m", "orchestrator.cli", *imports, "run", study_file, "--address", "auto"]
    for option, value in (("--storage", storage), ("--weights-dir", weights_dir)):
        if value is None:
            continue
        if "://" not in value and not PurePosixPath(value).is_absolute():
            raise SubmitError(
                "a relative path means nothing on a cluster",
                f"{option} {value}",
                "give the absolute path of a directory that all machines share",
            )
        words += [option, value]
    return shlex.join(words)
