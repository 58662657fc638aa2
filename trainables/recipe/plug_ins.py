"""Packages of others that declare modules, backbones, dataset kinds, augmentations and optimisers.

They are found by their entry points, or named by `actiongrid --import` and a study's `plug_ins`
(docs/plug-ins.md). Nothing here imports torch: a declaration names its code, imported when it is used.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from catalog.storage.errors import BAD_INPUT, ActionGridError, FailureKind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUPS: Mapping[str, tuple[str, ...]] = {
    "actiongrid.models": ("module", "backbone"),
    "actiongrid.datasets": ("dataset kind",),
    "actiongrid.augmentations": ("augmentation",),
    "actiongrid.optimisers": ("optimiser",),
}
"""Groups of entry points, and the kinds of declarations that each may name."""
DECLARATIONS = "ACTIONGRID"
"""The attribute of an imported package that holds its declarations."""
VARIABLE = "ACTIONGRID_IMPORT"
"""Environment variable with the packages to import, by comma: processes that this one starts inherit it."""
_OURS = frozenset({"catalog", "dashboards", "orchestrator", "trainables"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST = 300  # characters of what a package's own error says


class PlugInError(ActionGridError):
    """A package of plug-ins that cannot be used."""

    exit_code = BAD_INPUT
    failure_kind = FailureKind.CONFIGURATION


class Declaration(Protocol):
    """What packages declare: a frozen dataclass. `version` "" means: the hash of its package's source.

    `target` is `package.module:attribute`; None where there is nothing to import.
    """

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """What study files call it."""

    @property
    def target(self) -> str | None:
        """Where its code is."""

    @property
    def version(self) -> str:
        """Part of the keys of the cells that use it."""


_Declared = TypeVar("_Declared", bound=Declaration)


@dataclass(frozen=True)
class OptimiserInfo:
    """An optimiser. `target` is a function of a model and its recipe that returns a `torch.optim.Optimizer`.

    It takes rates, momenta and decay from the recipe; the schedule scales the rates that it starts with.
    """

    kind: ClassVar[str] = "optimiser"
    name: str
    target: str
    version: str = ""


@dataclass(frozen=True)
class AugmentationInfo:
    """A way to cut training clips. `target` is a function (width, height, recipe, rng) of a video's pictures.

    It returns a `trainables.data.clips.augment.View`, the same for all frames of a clip, and draws from `rng`
    alone.
    """

    kind: ClassVar[str] = "augmentation"
    name: str
    target: str
    version: str = ""


@dataclass(frozen=True)
class DatasetKindInfo:
    """A kind of dataset. `target` is a function that lists the videos of one with their splits and labels.

    It is given a `trainables.data.datasets.plug_in.PlugInDataset`, with all that a study says of the dataset,
    and returns a `trainables.data.datasets.base.Listing`; it raises `DatasetError` where it cannot.
    """

    kind: ClassVar[str] = "dataset kind"
    name: str
    target: str
    version: str = ""


@dataclass(frozen=True)
class PlugIn:
    """A declaration of another package's, with the version that counts in keys."""

    package: str
    declaration: Any

    @property
    def label(self) -> str:
        """Its kind and name, such as `module shift`."""
        return f"{self.declaration.kind} {self.declaration.name}"


def use(packages: Iterable[str]) -> None:
    """Let this process, and those that it starts from now on, import these packages' plug-ins."""
    use_only([*named_packages(), *packages])


def use_only(packages: Iterable[str]) -> None:
    """Let this process and later ones import these packages' plug-ins and no other named ones."""
    os.environ[VARIABLE] = ",".join(dict.fromkeys(packages))


def named_packages() -> tuple[str, ...]:
    """The packages that were named, in their order."""
    return tuple(filter(None, os.environ.get(VARIABLE, "").split(",")))


def plug_ins() -> tuple[PlugIn, ...]:
    """All plug-ins that are installed or named.

    Raises:
        PlugInError: a package cannot be imported, declares nothing or nothing that fits, or a name twice.
    """
    return _loaded(named_packages(), tuple(sys.path))


def plug_ins_of(kind: type[_Declared], taken: Iterable[str] = ()) -> dict[str, _Declared]:
    """The plug-ins of a kind by name; `taken` are the names of ours.

    Raises:
        PlugInError: as `plug_ins`; or a name is taken.
    """
    ours = frozenset(taken)
    for one in plug_ins():
        if isinstance(one.declaration, kind) and one.declaration.name in ours:
            what = f"{one.label} has the name of one of ActionGrid's own"
            raise PlugInError(what, f"package {one.package}", "give it another name")
    return {one.declaration.name: one.declaration for one in plug_ins() if isinstance(one.declaration, kind)}


def code_at(target: str) -> Any:  # noqa: ANN401 - whatever it is
    """Import and return what `target`, a text `package.module:attribute`, names.

    Raises:
        PlugInError: it is another package's, and cannot be imported.
    """
    module, _, attribute = target.partition(":")
    package = module.partition(".")[0]
    try:
        code = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        if package in _OURS:
            raise
        raise _not_importable(package, error, target) from error
    return code


def code_of(kind: type[_Declared], name: str) -> Any:  # noqa: ANN401 - whatever it is
    """Import and return the code of a plug-in.

    Raises:
        PlugInError: as `plug_ins` and `code_at`; or there is none of this name.
    """
    found = plug_ins_of(kind).get(name)
    if found is None or found.target is None:
        raise PlugInError(
            f"{kind.kind} {name} is not here", sys.prefix, "install its package, or --import it"
        )
    return code_at(found.target)


def versions_of(names: Mapping[str, str]) -> dict[str, str]:
    """Those of `names` (by kind) that are plug-ins, such as `module shift`, with their versions."""
    wanted = {f"{kind} {name}" for kind, name in names.items()}
    return {one.label: one.declaration.version for one in plug_ins() if one.label in wanted}


@lru_cache(maxsize=16)
def _loaded(named: tuple[str, ...], _path: tuple[str, ...]) -> tuple[PlugIn, ...]:
    """The plug-ins of one environment: `_path` decides which packages are found."""
    found: dict[str, PlugIn] = {}
    for one in (*_installed(), *(one for package in named for one in _imported(package))):
        other = found.setdefault(one.label, one)
        if other != one:
            where = f"packages {other.package} and {one.package}"
            raise PlugInError(f"{one.label} is declared twice", where, "rename one, or uninstall a package")
    return tuple(found.values())


def _installed() -> Iterator[PlugIn]:
    """Those that entry points name: each is a declaration, or several in a tuple or list."""
    from importlib.metadata import entry_points

    for group, kinds in GROUPS.items():
        for entry in sorted(entry_points(group=group)):
            package = entry.module.partition(".")[0]
            yield from _declared(package, _load(entry), kinds, f"{group}: {entry.value}")


def _load(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except (Exception, SystemExit) as error:
        raise _not_importable(entry.module.partition(".")[0], error, entry.value) from error


def _imported(package: str) -> Iterator[PlugIn]:
    """Those that a package's `ACTIONGRID` holds."""
    try:
        module = importlib.import_module(package)
    except (Exception, SystemExit) as error:
        raise _not_importable(package, error, "--import or plug_ins") from error
    if not hasattr(module, DECLARATIONS):
        file = getattr(module, "__file__", None) or package
        way_out = f"let it have a tuple {DECLARATIONS} of them (docs/plug-ins.md)"
        raise PlugInError(f"package {package} declares no plug-ins", file, way_out)
    kinds = tuple(kind for several in GROUPS.values() for kind in several)
    yield from _declared(package.partition(".")[0], getattr(module, DECLARATIONS), kinds, DECLARATIONS)


def _not_importable(package: str, error: BaseException, where: str) -> PlugInError:
    told = " ".join(str(error).split())[:_LONGEST]
    what = f"package {package} of plug-ins cannot be imported ({type(error).__name__}: {told})"
    known = isinstance(error, ModuleNotFoundError) and error.name == package.partition(".")[0]
    way_out = "install it, or put its folder on PYTHONPATH" if known else "mend or uninstall it"
    return PlugInError(what, where, way_out)


def _declared(package: str, loaded: object, kinds: tuple[str, ...], where: str) -> Iterator[PlugIn]:
    for one in loaded if isinstance(loaded, (tuple, list)) else (loaded,):
        kind, name = getattr(one, "kind", None), getattr(one, "name", None)
        if kind not in kinds or not isinstance(name, str):
            what = f"package {package} declares {one!r:.80}, which is no {' or '.join(kinds)}"
            raise PlugInError(what, where, "see docs/plug-ins.md")
        if not _NAME.fullmatch(name):
            way_out = "use letters, digits, '.', '_' and '-' only"
            raise PlugInError(f"wrong name {name!r} of a {kind}", f"package {package}", way_out)
        yield PlugIn(package, _with_version(package, one))


def _with_version(package: str, declaration: Any) -> Any:  # noqa: ANN401 - any dataclass with a version
    """The declaration with its package's name before its version: others may declare the same one."""
    return replace(declaration, version=f"{package}:{declaration.version or _source(package, declaration)}")


def _source(package: str, declaration: Declaration) -> str:
    """The hash of the source of a declaration's package, and of its code's where that is another one."""
    code = (declaration.target or package).partition(":")[0].partition(".")[0]
    digest = hashlib.sha256()
    for one in sorted({package, code} - _OURS):
        for name, path in _source_files(one):
            content = path.read_bytes()
            digest.update(f"{one}/{name} {len(content)}\n".encode())
            digest.update(content)
    return f"source-{digest.hexdigest()[:16]}"


def _source_files(package: str) -> list[tuple[str, Path]]:
    """A package's Python files by their names inside it, in the names' order."""
    found = find_spec(package)
    folders = [Path(folder) for folder in (found and found.submodule_search_locations) or ()]
    if found is not None and not folders and found.origin is not None:
        return [(package, Path(found.origin))]
    files = [(path.relative_to(at).as_posix(), path) for at in folders for path in at.rglob("*.py")]
    if not files:
        what = f"package {package} has no Python files to make a version of"
        raise PlugInError(what, ", ".join(map(str, folders)), "declare a version for its plug-ins")
    return sorted(files)
