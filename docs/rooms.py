"""For the pages of the Python reference: griffe reads folders without an `__init__.py`, as most rooms are."""

from __future__ import annotations

from pathlib import Path

import griffe


class Rooms(griffe.Extension):
    """Adds the modules of such folders to the package that griffe has read."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: object) -> None:
        """Read what lies below a package's folder and is not one of its modules yet."""
        _add_folder(pkg, Path(pkg.filepath).parent, loader)  # type: ignore[arg-type]


def _add_folder(parent: griffe.Module, folder: Path, loader: griffe.GriffeLoader) -> None:
    for path in sorted(folder.iterdir()):
        name = path.stem
        if path.is_dir() and not name.startswith("_"):
            if name not in parent.modules:
                init = path / "__init__.py"
                module = _read(init, name, parent, loader) if init.is_file() else _empty(path, name, parent)
                parent.set_member(name, module)
            _add_folder(parent.modules[name], path, loader)
        elif path.suffix == ".py" and not name.startswith("_") and name not in parent.modules:
            parent.set_member(name, _read(path, name, parent, loader))


def _empty(folder: Path, name: str, parent: griffe.Module) -> griffe.Module:
    return griffe.Module(name, filepath=[folder], parent=parent)


def _read(path: Path, name: str, parent: griffe.Module, loader: griffe.GriffeLoader) -> griffe.Module:
    return griffe.visit(
        name,
        path,
        path.read_text(encoding="utf-8"),
        parent=parent,
        docstring_parser=loader.docstring_parser,
        docstring_options=loader.docstring_options,
        lines_collection=loader.lines_collection,
        modules_collection=loader.modules_collection,
    )
