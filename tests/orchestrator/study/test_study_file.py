from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from catalog.field_errors import closest_spelling
from catalog.storage.errors import PathError
from orchestrator.study.errors import StudyError
from orchestrator.study.load import load_study, parse_study, shipped_studies
from trainables.models import build_model
from trainables.models.registry import MODULES, why_not
from trainables.recipe.plug_ins import named_packages

STUDY = """\
name: small
axes:
  module: [tsn, i3d]
  backbone: [tiny]
  temporal_pooling: [false, true]
  frames: [8, 16]
  dataset: [synthetic-motion]
  seed: [0, 1]
exclude:
  - {module: i3d, seed: 1}
datasets:
  synthetic-motion: {kind: synthetic-motion}
recipe:
  base: {init: random, crop_size: 32, batch_size: 12}
  starter: {epochs: 5}
  finetune: {epochs: 2, schedule: multistep}
  overrides:
    - where: {dataset: synthetic-motion, stage: starter}
      set: {epochs: 7}
evaluation: {crop_size: 32, short_side: 36}
resources:
  default: {workers: 1}
  overrides:
    - where: {frames: [16, 32]}
      set: {workers: 2}
"""


def problems(old: str, new: str) -> tuple[str, ...]:
    assert STUDY.count(old) >= 1
    with pytest.raises(StudyError) as caught:
        parse_study(STUDY.replace(old, new, 1), "s.yaml")
    return caught.value.lines


def the_problem(old: str, new: str) -> str:
    lines = problems(old, new)
    assert len(lines) == 1, lines
    assert "\n" not in lines[0]
    return lines[0]


def test_a_good_study_is_read_as_written() -> None:
    study = parse_study(STUDY, "s.yaml")
    assert study.axes.seed == (0, 1)
    assert study.recipe.base.model_fields_set == {"init", "crop_size", "batch_size"}
    assert (study.parent_check, study.retries) == (True, 2)


@pytest.mark.parametrize(
    ("old", "new", "start", "hint"),
    [
        (
            "epochs: 7",
            "epoch: 7",
            "s.yaml:19: recipe.overrides[0].set.epoch: unknown field",
            "did you mean epochs?",
        ),
        (
            "epochs: 5",
            "learning_rate: 5",
            "s.yaml:15: recipe.starter.learning_rate: unknown field",
            "allowed: epochs",
        ),
        ("axes:", "axis:", "s.yaml:2: axis: unknown field", "did you mean axes?"),
        (
            "multistep",
            "multi-step",
            "s.yaml:16: recipe.finetune.schedule: 'multi-step'",
            "did you mean multistep?",
        ),
        ("[tsn, i3d]", "[tsn, i3]", "s.yaml:3: axes.module: unknown module 'i3'", "did you mean i3d?"),
        ("[tiny]", "[resnet52]", "s.yaml:4: axes.backbone: unknown backbone", "did you mean resnet50?"),
        (
            "[synthetic-motion]",
            "[mini-ssv]",
            "s.yaml:7: axes.dataset: unknown dataset",
            "did you mean mini-ssv2?",
        ),
        (
            "{module: i3d,",
            "{module: i3,",
            "s.yaml:10: exclude[0].module: unknown module",
            "did you mean i3d?",
        ),
        (
            "stage: starter}",
            "stage: start}",
            "s.yaml:18: recipe.overrides[0].where.stage: 'start'",
            "starter?",
        ),
        (
            "stage: starter}",
            "stages: starter}",
            "s.yaml:18: recipe.overrides[0].where.stages:",
            "did you mean stage?",
        ),
        (
            "[16, 32]",
            "[16, 30]",
            "s.yaml:24: resources.overrides[0].where.frames[1]: ",
            "multiple of 8, got 30",
        ),
        (
            "set: {workers: 2}",
            "set: {worker: 2}",
            "s.yaml:25: resources.overrides[0].set.worker: ",
            "workers?",
        ),
        ("frames: [8, 16]", "frames: [8, 12]", "s.yaml:6: axes.frames[1]: ", "multiple of 8, got 12"),
        ("frames: [8, 16]", "frames: [8, 16, 8]", "s.yaml:6: axes.frames: 8 given more than once", "once"),
        ("frames: [8, 16]", "frames: []", "s.yaml:6: axes.frames: ", "at least 1 item"),
        (
            "{kind: synthetic-motion}",
            "{kind: folders}",
            "s.yaml:12: datasets.synthetic-motion.kind: ",
            "folder?",
        ),
        (
            "{kind: synthetic-motion}",
            "{}",
            "s.yaml:12: datasets.synthetic-motion.kind: missing",
            "synthetic-motion",
        ),
        (
            "{kind: synthetic-motion}",
            "{kind: synthetic-motion, fsp: 1}",
            "s.yaml:12: datasets.",
            "did you mean fps?",
        ),
        ("epochs: 5", 'epochs: "5"', "s.yaml:15: recipe.starter.epochs: ", "valid integer, got '5'"),
        ("epochs: 5", "epochs: yes", "s.yaml:15: recipe.starter.epochs: ", "valid integer, got True"),
        ("epochs: 5", "lr: .nan", "s.yaml:15: recipe.starter.lr: ", "not a usable number"),
        ("epochs: 5", "epochs: 0", "s.yaml:15: recipe.starter.epochs: ", "greater than or equal to 1, got 0"),
        ("name: small", "name: a/b", "s.yaml:1: name: ", "letters, digits"),
        ("{module: i3d, seed: 1}", "{}", "s.yaml:10: exclude[0]: names no axis", "allowed: module"),
        (
            "{module: i3d, seed: 1}",
            "{module: , seed: 1}",
            "s.yaml:10: exclude[0]: module has no value",
            "give",
        ),
        ("{module: i3d, seed: 1}", "{backbone: tiny}", "s.yaml:9: exclude: leaves no cell", "relax exclude"),
        (
            "init: random, ",
            "",
            "s.yaml:14: recipe.base.init: imagenet, but backbone tiny",
            "say init: random",
        ),
        (
            "init: random",
            "init: imagenet",
            "s.yaml:14: recipe.base.init: imagenet",
            "(6 cells, first TSN-Tiny-f8@",
        ),
        ("batch_size: 12", "batch_size: 1", "s.yaml:14: recipe.base.batch_size: 1 clips", "2 or more"),
        ("batch_size: 12", "batch_size: 13", "s.yaml:14: recipe.base.batch_size: 13 clips", "multiples of 2"),
        (
            "short_side: 36",
            "short_side: 30",
            "s.yaml:20: evaluation.crop_size: 32 is larger",
            "short_side (30)",
        ),
        ("epochs: 5", "crop_scales: []", "s.yaml:15: recipe.starter.crop_scales: empty", "1.0"),
        (
            "schedule: multistep",
            "schedule: multistep, milestones: [3, 2]",
            "s.yaml:16: recipe.finetune.milestones",
            "rise",
        ),
        (
            "workers: 2",
            "workers: 2, gpus_per_worker: 1.5",
            "s.yaml:25: resources.overrides[0].set.gpus_per",
            "whole",
        ),
        (
            "synthetic-motion: {",
            '"a@b": {kind: synthetic-motion}\n  synthetic-motion: {',
            "s.yaml:12: datasets.a@b",
            "rename",
        ),
    ],
)
def test_a_wrong_field_gets_one_clear_line(old: str, new: str, start: str, hint: str) -> None:
    line = the_problem(old, new)
    assert line.startswith(start)
    assert hint in line


def test_a_problem_counts_the_cells_of_all_seeds_where_nothing_tells_them_apart() -> None:
    """Eight starters: two modules, with and without temporal pooling, two seeds."""
    edited = STUDY.replace("init: random", "init: imagenet").replace("seed: 1}", "frames: 16}")
    with pytest.raises(StudyError) as raised:
        parse_study(edited, "s.yaml")
    assert "(8 cells, first TSN-Tiny-f8@synthetic-motion)" in str(raised.value)


def test_average_pooling_of_two_frames_is_refused_only_where_pytorch_refuses_it() -> None:
    line = the_problem("init: random,", "init: random, pooling_method: avg,")
    assert "avg cannot pool tsn at 8 frames" in line
    assert "(2 cells, first TSN-Tiny-tp-f8@" in line
    longer = STUDY.replace("init: random,", "init: random, pooling_method: avg,").replace("[8, 16]", "[16]")
    parse_study(longer, "s.yaml")


def test_sync_bn_of_several_workers_needs_gpus() -> None:
    assert "sync_bn" in the_problem("init: random,", "init: random, sync_bn: true,")
    parse_study(
        STUDY.replace("init: random,", "init: random, sync_bn: true,").replace("workers: 2", "workers: 1"),
        "s",
    )


def test_every_wrong_field_is_reported_in_the_order_of_the_file() -> None:
    lines = problems("epochs: 5}\n  finetune: {epochs: 2", "epoch: 5}\n  finetune: {epochs: two")
    assert [line.split(": ")[1] for line in lines] == ["recipe.starter.epoch", "recipe.finetune.epochs"]


def test_override_of_a_value_outside_the_axes_is_allowed() -> None:
    """A study cut down to some axis values keeps its overrides for the others."""
    assert len(parse_study(STUDY.replace("frames: [8, 16]", "frames: [8]"), "s.yaml").axes.frames) == 1


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", "s.yaml: the file is empty"),
        ("# only a comment\n", "s.yaml: the file is empty"),
        ("- a\n", "s.yaml:1: should be fields"),
        (
            "name: [a\nb: 1\n",
            "s.yaml:2: not YAML: a [ that opens in line 1 is not closed by ]",
        ),
        (
            "name: {a: 1\nb: 1\n",
            "s.yaml:2: not YAML: a { that opens in line 1 is not closed by }",
        ),
        ('name: "a\nb: 1\n', "s.yaml:3: not YAML: a quote that opens in line 1 is not closed"),
        ("a:\n\tb: 1\n", "s.yaml:2: not YAML: a tab; indent with spaces"),
        ("a: b: c\n", "s.yaml:1: not YAML: a second ': ' in one line; put the value into quotes"),
        ("a: 1\n  b: 2\n", "s.yaml:2: not YAML: indented further than the line above, which has a value"),
        ("a:\n    b: 2\n  c: 1\n", "s.yaml:3: not YAML: does not fit what stands above it: another indent"),
        ("a 1\nb: 2\n", "s.yaml:2: not YAML: line 1 has no ':' between a field's name and its value"),
        ("name: a\nname: b\n", "s.yaml:2: name: given twice, first in line 1"),
        ("a:\n  b: {c: 1, c: 2}\n", "s.yaml:2: a.b.c: given twice"),
        ("a: &x [*x]\n", "s.yaml:1: a[0]: the file refers to itself"),
        ("a: !!python/object/apply:os.getcwd []\n", "s.yaml:1: not YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "s.yaml:2: not YAML"),
        ("a: \x00\n", "s.yaml: not YAML"),
        ("[" * 1500, "s.yaml: nested too deeply"),
    ],
)
def test_a_file_that_is_no_study_gets_one_clear_line(text: str, start: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(text, "s.yaml")
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(start)


def test_aliases_cannot_blow_up_memory() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
    )
    with pytest.raises(StudyError, match="too large"):
        parse_study(bomb, "s.yaml")


def test_exponents_without_a_dot_are_numbers() -> None:
    assert (
        parse_study(STUDY.replace("init: random", "init: random, lr: 5e-2"), "s.yaml").recipe.base.lr == 0.05
    )


def test_anchors_and_merge_keys_work() -> None:
    merged = STUDY.replace("starter: {epochs: 5}", "starter: &s {epochs: 5}").replace(
        "finetune: {epochs: 2, ", "finetune: {<<: *s, "
    )
    assert parse_study(merged, "s.yaml").recipe.finetune.epochs == 5


def test_a_missing_file_names_the_nearest_shipped_study() -> None:
    with pytest.raises(
        StudyError,
        match=r"dmeo: no such file.*allowed: clips, .*deep-analysis, demo, .*; did you mean demo\?",
    ):
        load_study("dmeo")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    for path in (tmp_path / "latin.yaml", tmp_path):
        with pytest.raises(StudyError) as caught:
            load_study(path)
        assert caught.value.lines[0].startswith(str(path))


def test_dataset_paths_count_from_the_study_file(tmp_path: Path) -> None:
    text = STUDY.replace("{kind: synthetic-motion}", "{kind: csv, path: clips.csv, root: ../videos}")
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8-sig")
    config = load_study(tmp_path / "s.yaml").datasets["synthetic-motion"].model_dump()
    assert config["path"] == str(tmp_path / "clips.csv")
    assert config["root"] == str(tmp_path / "../videos")
    assert config["kind"] == "csv"


def test_paths_mean_the_same_in_every_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    official = "{kind: official, name: ucf101, videos: ~/ucf, annotations: lists}"
    text = STUDY.replace("{kind: synthetic-motion}", official) + "frames_on_local_disk: ~/x\n"
    (tmp_path / "s.yaml").write_text(text)
    study = load_study(tmp_path / "s.yaml")
    fields = study.datasets["synthetic-motion"].model_dump()
    assert (fields["videos"], fields["annotations"]) == (str(tmp_path / "home/ucf"), str(tmp_path / "lists"))
    assert study.frames_on_local_disk == str(tmp_path / "home/x")


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "file:///data", "$SCRATCH/x", '"a\\0b"'])
@pytest.mark.parametrize(
    "field",
    [
        "datasets: {synthetic-motion: {kind: folder, path: PATH}}",
        "datasets: {synthetic-motion: {kind: csv, path: PATH}}",
        "datasets: {synthetic-motion: {kind: csv, path: t.csv, root: PATH}}",
        "datasets: {synthetic-motion: {kind: official, name: mit, videos: PATH}}",
        "datasets: {synthetic-motion: {kind: official, name: mit, annotations: PATH}}",
        "frames_on_local_disk: PATH",
        "claims: PATH",
    ],
)
def test_a_path_that_means_no_folder_is_refused_in_every_field(field: str, path: str, tmp_path: Path) -> None:
    declared = "datasets:\n  synthetic-motion: {kind: synthetic-motion}\n"
    text = STUDY.replace(declared, "") if field.startswith("datasets") else STUDY
    (tmp_path / "s.yaml").write_text(f"{text}{field.replace('PATH', path)}\n")
    with pytest.raises(PathError, match="path"):
        load_study(tmp_path / "s.yaml")


@pytest.mark.parametrize("name", shipped_studies())
def test_shipped_studies_load_by_name_and_by_path(name: str) -> None:
    assert load_study(name) == load_study(shipped_studies()[name]) == load_study(f"{name}.yaml")


@pytest.mark.parametrize("backbone", ["tiny", "inception_v1", "resnet18"])
@pytest.mark.parametrize("module", MODULES)
def test_average_pooling_is_refused_exactly_where_no_model_can_be_built(module: str, backbone: str) -> None:
    text = STUDY.replace("init: random,", "init: random, pooling_method: avg,")
    text = text.replace("[tsn, i3d]", f"[{module}]").replace("[tiny]", f"[{backbone}]")
    text = text.replace("[false, true]", "[true]").replace("{module: i3d, seed: 1}", "{seed: 1}")
    if (reason := why_not(module, backbone, True, 8)) is not None:
        with pytest.raises(StudyError, match=re.escape(f"axes.module: {reason}, or leave the others out")):
            parse_study(text, "s.yaml")
        return
    try:
        with torch.device("meta"):
            build_model(
                module=module,
                backbone=backbone,
                temporal_pooling=True,
                frames=8,
                num_classes=2,
                pooling_method="avg",
            )
    except ValueError:
        with pytest.raises(StudyError, match="pooling_method: avg cannot pool"):
            parse_study(text, "s.yaml")
    else:
        parse_study(text, "s.yaml")


def test_what_chooses_no_cell_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from orchestrator.commands.common import checked_study

    path = tmp_path / "small.yaml"
    path.write_text(STUDY)
    checked_study(str(path))
    assert capsys.readouterr().err == ""
    changed = STUDY.replace("{module: i3d, seed: 1}", "{module: i3d, seed: 7}")
    changed = changed.replace("frames: [16, 32]", "frames: [32, 64]").replace(
        "stage: starter}", "frames: 16, stage: starter}"
    )
    path.write_text(changed)
    checked_study(str(path))
    said = capsys.readouterr().err.splitlines()
    places = ("exclude[0]", "recipe.overrides[0].where", "resources.overrides[0].where")
    whats = ("module: i3d, seed: 7", "dataset: synthetic-motion", "frames: 32 or 64")
    assert len(said) == len(places), said
    for line, place, what in zip(said, places, whats, strict=True):
        assert line.startswith(f"note: {path}: {place}: matches no cell") and what in line


def test_values_that_claims_name_and_nobody_has_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Published results have 64 frames and Mini-MiT; what another study has may be meant."""
    from orchestrator.commands.common import checked_study

    path = tmp_path / "s.yaml"
    where = "    where: {dataset: [mini-mit, mini-mlt], frames: [64, 63]}\n"
    path.write_text(f"{STUDY}claims:\n{CLAIM}{where}")
    checked_study(str(path))
    said = [line for line in capsys.readouterr().err.splitlines() if "claims" in line]
    start = f"note: {path}: claims[0].where"
    assert [line.startswith(start) for line in said] == [True, True]
    assert "dataset: no cell of the study and no published result has dataset mini-mlt; allowed: " in said[0]
    assert "did you mean mini-mit?" in said[0] and "frames: no cell" in said[1] and "63" in said[1]


CLAIM = """\
  - name: pooling-helps
    statement: Pooling helps.
    compare: {temporal_pooling: [true, false]}
    expect: {above: 0}
"""


def test_claims_stand_in_the_study_or_in_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "mine.yaml").write_text(f"claims:\n{CLAIM}")
    (tmp_path / "in.yaml").write_text(f"{STUDY}claims:\n{CLAIM}")
    (tmp_path / "beside.yaml").write_text(f"{STUDY}claims: claims/mine.yaml\n")
    inside, beside = load_study(tmp_path / "in.yaml"), load_study(tmp_path / "beside.yaml")
    assert [one.name for one in inside.claims] == ["pooling-helps"] and inside == beside
    assert parse_study(STUDY, "s.yaml").claims == ()


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        (
            "claims: none.yaml",
            r"s\.yaml:26: claims: no such file: .*none\.yaml; give its path from the study",
        ),
        ("claims: 5", r"s\.yaml:26: claims: should be a file of claims or a list of claims, got 5"),
        ("claims: {name: one}", r"s\.yaml:26: claims: should be a file of claims or a list"),
        (
            f"claims:\n{CLAIM.replace('compare', 'compair')}",
            r"s\.yaml:29: claims\[0\]\.compair: unknown field; allowed: .*did you mean compare",
        ),
        (
            f"claims:\n{CLAIM.replace('above', 'over')}",
            r"s\.yaml:30: claims\[0\]\.expect\.over: unknown field",
        ),
        (
            f"claims:\n{CLAIM.replace('temporal_pooling', 'pooling')}",
            r"s\.yaml:29: claims\[0\]\.compare\.pooling: no axis of these results; allowed: dataset",
        ),
        (
            f"claims:\n{CLAIM.replace('temporal_pooling: [true, false]', 'module: [tam, tsm_]')}",
            r"s\.yaml:29: claims\[0\]\.compare\.module: unknown module 'tsm_'; allowed: .*did you mean tsm\?",
        ),
        (
            f"claims:\n{CLAIM}    where: {{backbone: [resnet50, resnet81]}}\n",
            r"s\.yaml:31: claims\[0\]\.where\.backbone: unknown backbone 'resnet81'; .*did you mean",
        ),
        (
            f"claims:\n{CLAIM.replace('[true, false]', '[true, true]')}",
            r"s\.yaml:29: claims\[0\]\.compare\.temporal_pooling: True is compared with itself; give two",
        ),
        (f"claims:\n{CLAIM}{CLAIM}", r"s\.yaml:31: claims\[1\]\.name: 'pooling-helps' stands above already"),
        (
            f"claims:\n{CLAIM.replace('pooling-helps', 'tam-over-i3d')}",
            r"s\.yaml:27: claims\[0\]\.name: 'tam-over-i3d' is taken by another claim; choose another",
        ),
    ],
)
def test_what_is_wrong_with_claims_is_said_with_file_and_field(
    tmp_path: Path, claims: str, told: str
) -> None:
    (tmp_path / "s.yaml").write_text(f"{STUDY}{claims}\n")
    with pytest.raises(StudyError, match=told):
        load_study(tmp_path / "s.yaml")


def test_what_is_wrong_in_a_file_of_claims_is_said_of_that_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"claims:\n{CLAIM.replace('expect', 'expects')}")
    (tmp_path / "s.yaml").write_text(f"{STUDY}claims: mine.yaml\n")
    with pytest.raises(StudyError, match=r"mine\.yaml:5: claims\[0\]\.expects: unknown field"):
        load_study(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (
            "init: kinetics",
            "recipe.base.init: kinetics, but module tsn with backbone tiny has no Kinetics-400 ",
        ),
        (
            "init: imagenet",
            "recipe.base.init: imagenet, but backbone tiny has no ImageNet weights; say init: random",
        ),
        (
            "init: random, drop_path: 0.1",
            "recipe.base.drop_path: 0.1, but module tsn has no blocks that can be ",
        ),
        (
            "init: random, warmup_epochs: 2",
            "recipe.base.warmup_epochs: 2 of 2 epochs; allowed: fewer than epochs",
        ),
        ("init: random, layer_decay: 0.7", "recipe.base.layer_decay: 0.7, but only adamw has rates by layer"),
    ],
)
def test_what_a_network_cannot_start_from_or_learn_with_is_refused(said: str, answer: str) -> None:
    assert any(answer in line for line in problems("init: random", said))


def test_a_study_whose_plug_ins_cannot_be_imported_leaves_others_as_they_are() -> None:
    text = "name: s\naxes: {module: tsn, backbone: resnet18, frames: 8, dataset: mini-ssv2}\n"
    before = named_packages()
    with pytest.raises(StudyError, match="package not_there_at_all of plug-ins cannot be imported"):
        parse_study(f"{text}plug_ins: [not_there_at_all]\n", "s.yaml")
    assert named_packages() == before
    assert parse_study(text, "s.yaml").name == "s"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("batch_size: 12", "bs: 12", "did you mean batch_size?"),
        ("module: [", "model: [", "did you mean module?"),
        ("frames: [", "num_frames: [", "did you mean frames?"),
    ],
)
def test_a_field_by_its_name_elsewhere_is_understood(old: str, new: str, says: str) -> None:
    assert old in STUDY
    with pytest.raises(StudyError, match=re.escape(says)):
        parse_study(STUDY.replace(old, new, 1), "s.yaml")


def test_the_nearest_spelling_is_not_always_what_is_meant() -> None:
    allowed = ["lr", "sampling_rate", "batch_size", "schedule", "schedule_by"]
    meant = {one: closest_spelling(one, allowed) for one in ("learning_rate", "lr_schedule", "batch", "wd")}
    assert meant == {"learning_rate": "lr", "lr_schedule": "schedule", "batch": "batch_size", "wd": None}


@pytest.mark.parametrize(
    ("list_", "written", "says"),
    [
        ("module: [tsn, i3d]", "module: tsn, i3d", "unknown module 'tsn, i3d'; write a list: [tsn, i3d]"),
        ("frames: [8, 16]", "frames: 8, 16", "got '8, 16'; write a list: [8, 16]"),
    ],
)
def test_several_values_without_brackets(list_: str, written: str, says: str) -> None:
    assert list_ in STUDY
    with pytest.raises(StudyError, match=re.escape(says)):
        parse_study(STUDY.replace(list_, written, 1), "s.yaml")


def test_a_folder_is_no_study_and_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=f"one is made by: actiongrid init {tmp_path}"):
        load_study(tmp_path)
