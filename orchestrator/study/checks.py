"""What makes a well-formed study wrong: names nobody knows, an empty grid, recipes that cannot train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod

from catalog.claims.load import published_values
from catalog.field_errors import Location, Problem, choices
from orchestrator.study.cells import (
    Cell,
    as_published,
    axes_and_stages,
    expand,
    origin,
    parent_cells,
    recipe_layers,
    resource_layers,
)
from orchestrator.study.model import CellMatch, Study
from orchestrator.study.names import claimed, matches, other_values, unknown_names
from trainables.models.pretrained import TITLES, starting_weights
from trainables.models.registry import module_info, why_not
from trainables.recipe.switches import impossible

Finding = tuple[Location, str]
_LARGEST_GRID = 200_000  # twice what a storage was tried with; each cell takes a millisecond

# PyTorch refuses an average pool whose input is shorter than its kernel: 2 → 1 frames with a kernel of 3
# (docs/protocol.md §3; of the 3D models only I3D-Inception has such a pool, §2).
_SHORT_AVG_POOL = {("i3d", "inception_v1")}


def check_study(study: Study) -> list[Problem]:
    """Everything that is wrong with a study whose fields are well-formed; nothing if it can be planned."""
    problems = [*unknown_names(study), *_evaluated(study)]
    if problems or not study.trains:
        return problems
    if (size := prod(len(study.axes.values(axis) or ()) for axis in study.axes.names)) > _LARGEST_GRID:
        what = f"{size:,} cells before `exclude`, more than {_LARGEST_GRID:,}; make several studies of it"
        return [Problem(("axes",), what)]
    seeds = _alike_seeds(study)
    cells = expand(study if seeds == 1 else _of_first_seed(study))
    if not cells:
        return [_empty_grid(study)]
    return [*_nothing_published(study), *_cell_problems(study, cells, seeds)]


def _alike_seeds(study: Study) -> int:
    """How many cells each cell of the first seed speaks for: all seeds, where nothing tells them apart."""
    told_apart = any("seed" in match.named for _, match in matches(study))
    return 1 if told_apart or study.parents is not None else len(study.axes.seed)


def _of_first_seed(study: Study) -> Study:
    return study.model_copy(update={"axes": study.axes.model_copy(update={"seed": study.axes.seed[:1]})})


def _nothing_published(study: Study) -> Iterator[Problem]:
    if study.recipe.published and not any(as_published(study, axes) for axes in axes_and_stages(study)):
        what = "no cell of the study has a published result on a mini dataset; leave this out"
        yield Problem(("recipe", "published"), what)


_OF_TRAINING = ("include", "exclude", "datasets", "recipe", "evaluation", "resources", "keep", "choose_on")


def _evaluated(study: Study) -> Iterator[Problem]:
    """What is wrong with a study that evaluates cells, or that has none of its own."""
    for index, one in enumerate(study.evaluates):
        if one.study is None and not study.trains:
            what = "missing; name the study whose cells are evaluated: this one has none of its own"
            yield Problem(("evaluates", index, "study"), what)
        for place, protocol in enumerate(one.protocols):
            crop, side = protocol.crop_size, protocol.short_side
            if crop is not None and side is not None and crop > side:
                what = f"{crop} is larger than short_side ({side}); lower it"
                yield Problem(("evaluates", index, "protocols", place, "crop_size"), what)
        if one.study is not None and one.where is not None:
            yield from other_values(("evaluates", index, "where"), one.where)
    if not study.trains:
        for field in _OF_TRAINING:
            if field in study.model_fields_set:
                yield Problem((field,), "of no use without axes: the study trains nothing; leave it out")


def without_effect(study: Study) -> list[Problem]:
    """Return every `where`, `include` and `exclude` of a study that matches none of its cells.

    So too what its claims name that neither the study nor the published results have. It may be meant: a grid
    that was made smaller for a try. It may also be a value that was mistyped.
    """
    grid = study.model_copy(update={"include": (), "exclude": ()})
    found = []
    for location, match in matches(study):
        cells = axes_and_stages(study if location[-1] == "where" else grid)
        if not any(match.matches(cell) for cell in cells):
            named = ", ".join(f"{axis}: {_values(match, axis)}" for axis in match.named)
            found.append(Problem(location, f"matches no cell of the study ({named}): it changes nothing"))
    return [*found, *_claimed_of_nothing(study)]


def _claimed_of_nothing(study: Study) -> Iterator[Problem]:
    """Datasets and lengths that claims are about and nobody has."""
    for axis, own in (("dataset", study.axes.dataset), ("frames", study.axes.frames)):
        known = [*dict.fromkeys([*own, *published_values()[axis]])]
        for location, values in claimed(study, axis):
            for value in values:
                if value not in known:
                    what = f"no cell of the study and no published result has {axis} {value}; "
                    yield Problem(location, what + choices(value, known))


def _values(match: CellMatch, axis: str) -> str:
    return " or ".join(str(value).lower() for value in match.values(axis) or ())


def _empty_grid(study: Study) -> Problem:
    used = [field for field in ("exclude", "include") if getattr(study, field)]
    return Problem((used[0],), f"leaves no cell of the grid; relax {' or '.join(used)}")


def _cell_problems(study: Study, cells: Iterable[Cell], seeds: int) -> list[Problem]:
    """What is wrong with single cells, each problem once, with the first cell that has it.

    Each of these cells speaks for so many `seeds`.
    """
    found: dict[Finding, list[str]] = {}
    for cell in cells:
        for check in _CELL_CHECKS:
            for finding in check(study, cell):
                found.setdefault(finding, []).append(cell.name)
    return [
        Problem(
            location,
            f"{what} ({count} cells, first {names[0]})"
            if (count := len(names) * seeds) > 1
            else f"{what} ({names[0]})",
        )
        for (location, what), names in found.items()
    ]


def _recipe_field(study: Study, cell: Cell, field: str) -> Location:
    return origin(recipe_layers(study, cell.axes_and_stage), field)


def _architecture(study: Study, cell: Cell) -> Iterator[Finding]:
    reason = why_not(cell.module, cell.backbone, cell.temporal_pooling, cell.frames)
    if reason is not None:
        yield ("axes", "module"), f"{reason}, or leave the others out with `exclude`"


def _from_other_study(study: Study, cell: Cell) -> Iterator[Finding]:
    """Chains that begin with another study's cell: whether there is one, of the same architecture."""
    origin = cell.origin
    if origin is None:
        parents = parent_cells(study) if cell.stage == "starter" else None
        found = parents.of(cell.axes) if parents else None
        if isinstance(found, str):
            yield ("parents",), found
        return
    pooled, theirs = cell.recipe.pooling_method, origin.recipe.pooling_method
    if cell.temporal_pooling and pooled != theirs:
        what = f"{pooled}, but its parent {origin.name} pools by {theirs}; say {theirs}"
        yield _recipe_field(study, cell, "pooling_method"), what


def _weights(study: Study, cell: Cell) -> Iterator[Finding]:
    init = cell.recipe.init
    if study.parents is not None or cell.stage != "starter" or init == "random":
        return
    if not _exists(init, cell):
        ways = [name for name in (*TITLES, "random") if name == "random" or _exists(name, cell)]
        what = f"{init}, but {_without_weights(init, cell)} has no {TITLES[init]} weights"
        yield _recipe_field(study, cell, "init"), f"{what}; say init: {' or '.join(ways)}"


def _exists(init: str, cell: Cell) -> bool:
    return starting_weights(init, cell.module, cell.backbone) is not None


def _without_weights(init: str, cell: Cell) -> str:
    if init == "kinetics":
        return f"module {cell.module} with backbone {cell.backbone}"
    return f"module {cell.module}" if module_info(cell.module).scratch else f"backbone {cell.backbone}"


def _batch(study: Study, cell: Cell) -> Iterator[Finding]:
    workers, batch, steps = cell.resources.workers, cell.recipe.batch_size, cell.recipe.accumulate
    if batch < workers * steps:
        what = f"{batch} clips cannot be shared by {workers} workers × {steps} accumulated batches"
        yield _recipe_field(study, cell, "batch_size"), f"{what}; allowed: {workers * steps} or more"
    elif batch % (workers * steps):
        # Gradients of workers count equally, so unequal shares would weigh their clips unequally.
        what = f"{batch} clips cannot be shared equally by {workers} workers × {steps} accumulated batches"
        yield _recipe_field(study, cell, "batch_size"), f"{what}; allowed: multiples of {workers * steps}"


def _repeated(study: Study, cell: Cell) -> Iterator[Finding]:
    batch, repeats = cell.recipe.batch_size, cell.recipe.repeated_augmentation
    if batch % repeats:
        what = f"{repeats} clips of each video do not share a batch of {batch}; allowed: divisors of it"
        yield _recipe_field(study, cell, "repeated_augmentation"), what


def _pooling(study: Study, cell: Cell) -> Iterator[Finding]:
    short = not module_info(cell.module).volumetric or (cell.module, cell.backbone) in _SHORT_AVG_POOL
    if cell.recipe.pooling_method == "avg" and cell.temporal_pooling and cell.frames == 8 and short:
        what = f"avg cannot pool {cell.module} at 8 frames (PyTorch refuses 2 frames under a kernel of 3)"
        yield _recipe_field(study, cell, "pooling_method"), f"{what}; say max there, or start at 16 frames"


def _crops(study: Study, cell: Cell) -> Iterator[Finding]:
    recipe = cell.recipe
    if recipe.augmentation == "multi_scale_crop" and not recipe.crop_scales:
        yield _recipe_field(study, cell, "crop_scales"), "empty; name at least one scale, such as 1.0"
    low, high = recipe.short_side_range
    if recipe.augmentation == "random_short_side" and not recipe.crop_size <= low <= high:
        what = f"[{low}, {high}] must rise and start at crop_size ({recipe.crop_size}) or above"
        yield _recipe_field(study, cell, "short_side_range"), what
    evaluation = cell.evaluation
    if evaluation.crop_size > evaluation.short_side:
        what = f"{evaluation.crop_size} is larger than short_side ({evaluation.short_side}); lower it"
        yield ("evaluation", "crop_size"), what


def _milestones(study: Study, cell: Cell) -> Iterator[Finding]:
    milestones = cell.recipe.milestones
    if cell.recipe.schedule == "multistep" and list(milestones) != sorted(set(milestones)):
        yield _recipe_field(study, cell, "milestones"), f"{list(milestones)} must rise, each epoch once"


def _transformers_options(study: Study, cell: Cell) -> Iterator[Finding]:
    recipe = cell.recipe
    if recipe.drop_path > 0 and not module_info(cell.module).transformer:
        what = f"{recipe.drop_path}, but module {cell.module} has no blocks that can be left out; say 0 there"
        yield _recipe_field(study, cell, "drop_path"), what
    if recipe.layer_decay < 1 and (recipe.optimiser != "adamw" or not module_info(cell.module).transformer):
        what = (
            f"{recipe.layer_decay}, but only adamw has rates by layer, and only of transformers; say 1 there"
        )
        yield _recipe_field(study, cell, "layer_decay"), what
    if recipe.warmup_epochs >= recipe.epochs:
        what = f"{recipe.warmup_epochs} of {recipe.epochs} epochs; allowed: fewer than epochs"
        yield _recipe_field(study, cell, "warmup_epochs"), what


def _batch_statistics(study: Study, cell: Cell) -> Iterator[Finding]:
    resources = cell.resources
    if cell.recipe.sync_bn and resources.workers > 1 and resources.gpus_per_worker == 0:
        where = origin(resource_layers(study, cell.axes_and_stage), "gpus_per_worker")
        yield where, "0, but sync_bn with several workers runs on GPUs only; give GPUs or say sync_bn: false"


def _speed(study: Study, cell: Cell) -> Iterator[Finding]:
    recipe, held = cell.recipe, cell.resources
    found = impossible(recipe.speed, recipe.precision, workers=held.workers, gpus=held.gpus_per_worker)
    for (field, *inner), what in found:
        yield (*_recipe_field(study, cell, field), *inner), what


_CELL_CHECKS: tuple[Callable[[Study, Cell], Iterator[Finding]], ...] = (
    _architecture,
    _from_other_study,
    _weights,
    _batch,
    _repeated,
    _pooling,
    _crops,
    _milestones,
    _transformers_options,
    _batch_statistics,
    _speed,
)
