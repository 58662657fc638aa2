"""Packages of others: what they may declare, what is refused, and the versions that count in keys."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.study.errors import StudyError
from orchestrator.study.keys import cell_key, key_parts
from orchestrator.study.load import load_study, parse_study
from tests.support.studies import CHAINS, command
from tests.support.toy import toy_spec
from trainables.models.registry import MODULES, module_info, modules, why_not
from trainables.recipe.plug_ins import VARIABLE, PlugInError, plug_ins, require_plug_ins, use

DECLARES = "from trainables.models.registry import BackboneInfo, ModuleInfo\n"
SHIFT = 'ModuleInfo("{name}", "{paper}", "trainables.models.modules.tsm:TSM"{more})'


Package = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Writes a package of plug-ins, importable in this test alone; returns its name."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, source: str, entry: str = "") -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(source)
        if entry:
            metadata = tmp_path / f"{name}-1.dist-info"
            metadata.mkdir()
            (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
            (metadata / "entry_points.txt").write_text(entry)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def shift(name: str = "shift", paper: str = "Shift", more: str = "") -> str:
    return f"{DECLARES}ACTIONGRID = ({SHIFT.format(name=name, paper=paper, more=more)},)\n"


def study_of(module: str) -> str:
    return CHAINS.replace("[tsn, tam]", f"[tsn, {module}]")


def refused(name: str) -> str:
    use([name])
    with pytest.raises(PlugInError) as error:
        modules()
    text = str(error.value)
    assert name in text and "\n" not in text and text.count("; ") >= 2, "what; where; what to do"
    return text


def test_a_named_package_is_one_more_value_of_the_axis(package: Package, tmp_path: Path) -> None:
    use([package("shifts_a", shift())])
    assert module_info("shift").target == "trainables.models.modules.tsm:TSM"
    assert list(modules()) == [*MODULES, "shift"] and why_not("shift", "tiny", False, 8) is None
    with pytest.raises(
        StudyError, match=r"unknown module 'shfit'; allowed: tsn, .*, shift; did you mean shift"
    ):
        parse_study(study_of("shfit"), "study")
    study = parse_study(study_of("shift"), "study")
    assert study.axes.module == ("tsn", "shift")


def test_a_study_file_names_the_packages_that_it_needs(package: Package) -> None:
    name = package("shifts_b", shift())
    text = study_of("shift") + f"plug_ins: [{name}]\n"
    assert parse_study(text, "study").plug_ins == (name,)
    assert os.environ[VARIABLE] == name, "processes that this one starts import it too"


def test_an_installed_package_needs_no_naming(package: Package) -> None:
    entry = "[actiongrid.models]\nany = installed_shifts:MODULES\n"
    source = f"{DECLARES}MODULES = [{SHIFT.format(name='shift', paper='Shift', more='')}]\n"
    package("installed_shifts", source, entry)
    assert "shift" in modules()
    use(["installed_shifts"])
    assert "declares no plug-ins" in refused("installed_shifts")


def test_one_package_found_both_ways_is_one(package: Package) -> None:
    package("both_ways", shift(), "[actiongrid.models]\nshift = both_ways:ACTIONGRID\n")
    use(["both_ways"])
    assert [one.label for one in plug_ins()] == ["module shift"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (shift("tam"), "module tam has the name of one of ActionGrid's own"),
        (shift(paper="TAM"), "would name its cells TAM, as tam does"),
        (shift("a/b"), "wrong name 'a/b' of a module"),
        (shift() + "ACTIONGRID *= 2\n" + "ACTIONGRID = (*ACTIONGRID[:1], 'text')\n", "declares 'text'"),
        (shift() + "raise RuntimeError('no\\nluck')", "(RuntimeError: no luck)"),
        (shift() + "raise SystemExit(3)", "(SystemExit: 3)"),
        ("import no_such_library", "No module named 'no_such_library'"),
        ("def broken(:", "SyntaxError"),
        ("", "declares no plug-ins"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_the_package(
    package: Package, source: str, says: str, request: pytest.FixtureRequest
) -> None:
    number = request.node.callspec.indices["source"]
    assert says in refused(package(f"refused_{number}", source))


def test_a_package_that_is_not_there_is_named_with_the_way_out(package: Package) -> None:
    assert refused("no_such_package").endswith("install it, or put its folder on PYTHONPATH")


def test_two_packages_with_one_name_are_both_named(package: Package) -> None:
    use([package("first_shifts", shift())])
    text = refused(package("second_shifts", shift(paper="Other")))
    assert text.startswith("module shift is declared twice; packages first_shifts and second_shifts")


def test_an_entry_point_says_what_it_may_be(package: Package) -> None:
    package("wrong_group", shift(), "[actiongrid.datasets]\nshift = wrong_group:ACTIONGRID\n")
    with pytest.raises(PlugInError, match=r"wrong_group declares ModuleInfo.*, which is no dataset kind"):
        modules()


def test_a_target_that_is_not_there_is_the_packages_fault(package: Package) -> None:
    source = f"{DECLARES}ACTIONGRID = ModuleInfo('gone', 'Gone', 'without_code.gone:Gone')\n"
    use([package("without_code", source)])
    from trainables.models import build_model

    with pytest.raises(
        PlugInError, match=r"package without_code of plug-ins cannot be imported .*without_code.gone"
    ):
        build_model(module="gone", backbone="tiny", temporal_pooling=False, frames=8, num_classes=2)


def version(package: Package, name: str, source: str) -> str:
    use([package(name, source)])
    return next(one.declaration.version for one in plug_ins() if one.package == name)


def test_the_version_is_the_declared_one_or_the_sources_hash(package: Package, tmp_path: Path) -> None:
    assert version(package, "declared", shift(more=', version="7"')) == "declared:7"
    hashed = version(package, "hashed", shift("other", "Other"))
    assert hashed.startswith("hashed:source-") and len(hashed) == len("hashed:source-") + 16
    # Another process, so that nothing is kept: a file beside counts, bytecode and data do not.
    seen = [_in_another_process(tmp_path, "hashed")]
    (tmp_path / "hashed" / "weights.bin").write_bytes(b"1")
    seen.append(_in_another_process(tmp_path, "hashed"))
    (tmp_path / "hashed" / "layers.py").write_text("WIDTH = 3\n")
    seen.append(_in_another_process(tmp_path, "hashed"))
    (tmp_path / "hashed" / "layers.py").write_text("WIDTH = 4\n")
    seen.append(_in_another_process(tmp_path, "hashed"))
    assert seen[0] == seen[1] == hashed and len(set(seen)) == 3


def _in_another_process(folder: Path, name: str) -> str:
    code = "from trainables.recipe.plug_ins import plug_ins; print(plug_ins()[0].declaration.version)"
    path = os.pathsep.join([str(folder), *sys.path])
    environment = os.environ | {VARIABLE: name, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_version_is_part_of_the_key(package: Package) -> None:
    from orchestrator.study.cells import expand

    use([package("keyed", shift(more=', version="7"'))])
    cells = {cell.module: cell for cell in expand(parse_study(study_of("shift"), "study"))}
    parts = key_parts(cells["shift"], num_classes=4, train_hash="t", val_hash="v", parent_key="p")
    assert parts["model"]["module_version"] == "keyed:7"
    assert cells["shift"].plug_ins == {"module shift": "keyed:7"} and cells["tsn"].plug_ins == {}
    other = {**parts, "model": {**parts["model"], "module_version": "keyed:8"}}
    assert cell_key(parts) != cell_key(other)


def test_a_worker_refuses_another_version_than_was_planned(package: Package, tmp_path: Path) -> None:
    name = package("travelling", shift(more=', version="7"'))
    spec = toy_spec(
        tmp_path, tmp_path, module="shift", plug_ins={"module shift": "travelling:7"}, imports=[name]
    )
    require_plug_ins(spec)
    require_plug_ins(toy_spec(tmp_path, tmp_path))
    other = spec.model_copy(update={"plug_ins": {"module shift": "travelling:6"}})
    with pytest.raises(
        PlugInError, match="module shift is travelling:7 here, but TAM-Tiny-f8@toy was planned"
    ):
        require_plug_ins(other)
    lacking = spec.model_copy(update={"plug_ins": {"module lost": "travelling:6"}})
    with pytest.raises(PlugInError, match="module lost is not installed here"):
        require_plug_ins(lacking)


def test_our_own_names_are_found_without_looking_for_packages(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "no_such_package")
    assert why_not("tam", "tiny", False, 8) is None


def test_the_command_tells_a_broken_package_in_one_line(package: Package, tmp_path: Path) -> None:
    name = package("broken_here", "raise ValueError('not today')")
    study = tmp_path / "study.yaml"
    study.write_text(CHAINS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    words = command("--import", name, "plan", study, "--storage", tmp_path / "storage")
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and f"package {name} of plug-ins cannot be imported" in line
    assert "(ValueError: not today)" in line


def test_a_study_without_plug_ins_is_as_before(tmp_path: Path) -> None:
    assert load_study("demo").plug_ins == ()
