"""Packages of others: what they may declare, what is refused, and the versions that count in keys."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from plotly.utils import PlotlyJSONEncoder

from catalog.storage.layout import Layout
from orchestrator.datasets.built import dataset_states, with_sources_seen
from orchestrator.study.cells import expand
from orchestrator.study.errors import StudyError
from orchestrator.study.keys import cell_key, key_parts, recipe_parts
from orchestrator.study.load import load_study, parse_study
from tests.support.paths import ROOT
from tests.support.studies import CHAINS, command
from tests.support.toy import toy_spec
from trainables.data.clips.augment import Box, View, train_view
from trainables.data.datasets import PlugInDataset
from trainables.data.ingest.build import build_dataset
from trainables.models.registry import MODULES, module_info, modules, why_not
from trainables.recipe.cell_spec import require_plug_ins
from trainables.recipe.plug_ins import VARIABLE, PlugInError, plug_ins, use
from trainables.training.optimiser import build_optimiser

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


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worked example of docs/plug-ins.md, named and not installed."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "plug_in_example"))
    use(["frame_difference"])


RECIPE_OF_EXAMPLE = CHAINS.replace(
    "{init: random", "{optimiser: rmsprop, augmentation: centre_crop, init: random"
)


@pytest.mark.usefixtures("example")
def test_parts_of_a_recipe_are_values_with_versions_in_the_key() -> None:
    cell = expand(parse_study(RECIPE_OF_EXAMPLE, "study"))[0]
    assert cell.plug_ins == {
        "augmentation centre_crop": "frame_difference:1",
        "optimiser rmsprop": "frame_difference:1",
    }
    parts = recipe_parts(cell.recipe, starter=True)
    assert parts["optimiser_version"] == parts["augmentation_version"] == "frame_difference:1"
    # What a plug-in reads of the recipe nobody knows.
    assert {"momentum", "betas", "crop_scales", "short_side_range"} <= parts.keys()
    ours = recipe_parts(expand(parse_study(CHAINS, "study"))[0].recipe, starter=True)
    assert not {"optimiser", "optimiser_version", "augmentation_version"} & ours.keys()


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "{optimiser: rmsprob",
            r"recipe\.base\.optimiser: 'rmsprob' is not one of them; allowed: sgd, adamw, rmsprop",
        ),
        ("{augmentation: center_crop", r"random_short_side, centre_crop; did you mean centre_crop\?"),
    ],
)
def test_an_unknown_part_of_a_recipe_is_told_with_those_of_plug_ins(text: str, says: str) -> None:
    with pytest.raises(StudyError, match=says):
        parse_study(CHAINS.replace("{init: random", f"{text}, init: random"), "study")


@pytest.mark.usefixtures("example")
def test_a_plug_ins_optimiser_steps_and_follows_the_schedule(tmp_path: Path) -> None:
    import torch

    spec = toy_spec(tmp_path, tmp_path, optimiser="rmsprop", lr=0.1, momentum=0.0)
    layer = torch.nn.Linear(3, 1, bias=False)
    optimiser = build_optimiser(layer, spec.recipe)
    optimiser.lr = 0.05
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.full((1, 3), 2.0)
    optimiser.step()
    # RMSProp's first step is of the rate over sqrt(1 - alpha), alpha = 0.99, whatever the gradient.
    torch.testing.assert_close(before - layer.weight, torch.full((1, 3), 0.05 / 0.1), rtol=1e-2, atol=0)
    state = optimiser.state_dict()
    again = build_optimiser(layer, spec.recipe)
    again.load_state_dict(state)
    assert again.lr == pytest.approx(0.05)


@pytest.mark.usefixtures("example")
def test_a_plug_ins_augmentation_cuts_the_clips(tmp_path: Path) -> None:
    recipe = toy_spec(tmp_path, tmp_path, augmentation="centre_crop", flip=0.0).recipe
    view = train_view(48, 36, recipe, np.random.default_rng(0))
    assert view == View((48, 36), Box(6, 0, 36, 36))


NAMED_FILES = CHAINS.replace(
    "{kind: synthetic-motion, train_per_class: 8, val_per_class: 3}",
    "{kind: named_files, path: films, val_every: 3}",
)


@pytest.mark.usefixtures("example")
def test_a_plug_ins_kind_of_dataset_is_listed_and_built(toy_data: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number, path in enumerate(sorted(toy_data.rglob("*.mp4"))):
        shutil.copy(path, films / f"{'ab'[number % 2]}_{number:03}.mp4")
    (tmp_path / "study.yaml").write_text(NAMED_FILES)
    study = load_study(tmp_path / "study.yaml")
    config = study.datasets["synthetic-motion"]
    assert isinstance(config, PlugInDataset) and config.options == {"path": str(films), "val_every": 3}
    again = study.model_dump(mode="json")["datasets"]["synthetic-motion"]
    assert again["path"] == str(films) and again["kind"] == "named_files"
    manifest = build_dataset(config, "films", tmp_path / "built")
    assert manifest.classes == ("a", "b") and len(manifest.split("val")) > 0
    assert len(manifest.videos) == len(list(films.glob("*.mp4")))
    (state,) = with_sources_seen(study, dataset_states(study, Layout(tmp_path))).values()
    assert "videos, 2 classes, not built yet" in state.seen


@pytest.mark.usefixtures("example")
def test_what_a_plug_ins_dataset_lacks_is_told(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(NAMED_FILES)
    study = load_study(tmp_path / "study.yaml")
    (state,) = with_sources_seen(study, dataset_states(study, Layout(tmp_path))).values()
    assert state.problem.startswith("no video named CLASS_NUMBER.mp4") and not state.buildable
    with pytest.raises(StudyError, match=r"allowed: .*official.*and of plug-ins: named_files"):
        parse_study(NAMED_FILES.replace("named_files", "named_filez"), "study")
    with pytest.raises(StudyError, match=r"min_frames: Input should be greater than or equal to 1"):
        parse_study(NAMED_FILES.replace("val_every: 3", "min_frames: 0"), "study")


@pytest.mark.usefixtures("example")
def test_a_plan_and_the_page_of_a_cell_name_what_is_used() -> None:
    from types import SimpleNamespace

    from dashboards.pages.cell import _summary
    from orchestrator.terminal.plan_page import plug_in_lines

    cells = expand(parse_study(study_of("frame_difference"), "study"))
    (line,) = plug_in_lines(SimpleNamespace(cells=[SimpleNamespace(cell=cell) for cell in cells]))  # type: ignore[arg-type]
    version = cells[-1].plug_ins["module frame_difference"]
    assert line == f"plug-in: module frame_difference, {version}: 2 cells"
    row: dict[str, object] = dict.fromkeys(("reason", "blocked_by"))
    row |= {"cell": "x", "state": "done", "studies": ["s"], "current": True, "key": "k"}
    row["config"] = json.dumps({"plug_ins": cells[-1].plug_ins})
    shown = json.dumps(_summary(SimpleNamespace(acts=False), row), cls=PlotlyJSONEncoder)  # type: ignore[arg-type]
    assert "plug-in: module frame_difference, " in shown and version in shown
