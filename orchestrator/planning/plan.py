"""Study × what is known → Plan: every cell's key, state, reason and cost. Pure; runs and touches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from catalog.field_errors import Problem
from orchestrator.planning.changes import Change, Known, change_since
from orchestrator.planning.cost import Size, SizeOf, cell_flops, model_size, not_counted
from orchestrator.planning.gpu_share import (
    CardMemory,
    MemoryOf,
    NoCardError,
    Share,
    cell_memory,
    share_of,
    with_share,
)
from orchestrator.planning.plan_model import (
    DoneCell,
    FailureInfo,
    Plan,
    PlannedCell,
    State,
    make_totals,
)
from orchestrator.scheduling.schedule import Task
from orchestrator.study.cells import Cell, chains, expand
from orchestrator.study.datasets import DatasetState, dataset_config, declared_state
from orchestrator.study.errors import StudyError
from orchestrator.study.keys import SharedParts, cell_key, declared_hash, evaluation_key, key_parts
from orchestrator.study.model import Study


def make_plan(
    study: Study,
    datasets: Mapping[str, DatasetState] | None = None,
    done: Mapping[str, DoneCell] | None = None,
    failures: Mapping[str, FailureInfo] | None = None,
    weights_problems: Mapping[str, str] | None = None,
    known: Known | None = None,
    memory: CardMemory | None = None,
    lost: Mapping[str, str] | None = None,
    *,
    size_of: SizeOf = model_size,
    memory_of: MemoryOf = cell_memory,
    cells: Sequence[Cell] | None = None,
    begun: Mapping[str, int] | None = None,
    parents: Plan | None = None,
) -> Plan:
    """What the study means today.

    Args:
        study: the validated study.
        datasets: the state of datasets by name; those not given are taken as declared and not built.
        done: finished cells by key.
        failures: failed cells by key.
        weights_problems: by `WeightsFile.network`, why its file cannot be loaded and the way out.
        known: finished cells to compare with, so that a cell that has to run again says what changed.
        memory: what is known of the GPUs' memory.
        lost: by key, why finished cells have to be trained again: weights that children need do not stand.
        size_of: counts a cell's model.
        memory_of: estimates what a cell needs of a GPU's memory.
        cells: the study's cells, where they are expanded already.
        begun: the last epoch of unfinished cells, by key: they go on from there.
        parents: the plan of the study whose cells this one's start from, if any; else made from the same.

    Raises:
        StudyError: a cell's model cannot be built, such as one whose pictures are too small for its backbone;
            or a share is asked for of GPUs whose memory nobody knows.
    """
    if study.parent_study is not None and parents is None:
        parents = make_plan(study.parent_study, datasets, done, failures, lost=lost, size_of=not_counted)
    given = datasets or {}
    states = {name: given.get(name) or declared_state(study, name) for name in study.axes.dataset}
    planner = _Planner(
        study,
        states,
        {name: declared_hash(dataset_config(study, name)) for name in states},
        {key: one for key, one in (done or {}).items() if key not in (lost or {})},
        failures or {},
        weights_problems or {},
        known or Known(),
        memory or CardMemory(),
        lost or {},
        begun or {},
        _counted_once(size_of),
        memory_of,
        parents,
        SharedParts(),
    )
    by_key: dict[str, PlannedCell] = {}
    for chain in chains(expand(study) if cells is None else cells):
        before = planner.origin(chain[0])
        for cell in chain:
            planned = planner.plan(cell, before)
            # Where an axis decides nothing (`inherit` of a starter), its values are one training: the first.
            before.append(by_key.setdefault(planned.key, planned))
    all_planned = tuple(by_key.values())
    return Plan(study.name, all_planned, make_totals(all_planned, states))


def plan_tasks(plan: Plan) -> tuple[Task, ...]:
    """The cells that have to run, as tasks of the schedule, named by key; a done parent holds nobody up.

    Raises:
        ValueError: a cell's dataset is not built, so that its key is not final.
    """
    to_run = {planned.key: planned for planned in plan.cells if planned.state is State.TO_RUN}
    tasks: list[Task] = []
    for key, planned in to_run.items():
        if planned.key_is_provisional or planned.flops is None:
            what = f"dataset {planned.cell.dataset} is not built; cell {planned.cell.name}"
            raise ValueError(f"{what}; build it and plan again")
        parent = planned.parent_key if planned.parent_key in to_run else None
        tasks.append(Task(key, parent, float(planned.flops), planned.cell.resources))
    return tuple(tasks)


def _counted_once(size_of: SizeOf) -> SizeOf:
    """Count each model once: datasets with as many classes and seeds have the same."""
    known: dict[tuple[str | bool | int, ...], Size] = {}

    def of(cell: Cell, num_classes: int, crop: int) -> Size:
        model = (cell.module, cell.backbone, cell.temporal_pooling, cell.frames, num_classes, crop)
        if model not in known:
            known[model] = size_of(cell, num_classes, crop)
        return known[model]

    return of


@dataclass(frozen=True)
class _Planner:
    """Plans cell after cell; each needs what was planned for its parent."""

    study: Study
    datasets: Mapping[str, DatasetState]
    declared: Mapping[str, str]
    done: Mapping[str, DoneCell]
    failures: Mapping[str, FailureInfo]
    weights_problems: Mapping[str, str]
    known: Known
    memory: CardMemory
    lost: Mapping[str, str]
    begun: Mapping[str, int]
    size_of: SizeOf
    memory_of: MemoryOf
    parents: Plan | None
    shared: SharedParts

    def origin(self, first: Cell) -> list[PlannedCell]:
        """The planned cell of another study that a chain begins with, as a list of one or none."""
        if first.origin is None or self.parents is None:
            return []
        return [one for one in self.parents.cells if one.cell.name == first.origin.name][:1]

    def plan(self, cell: Cell, before: Sequence[PlannedCell]) -> PlannedCell:
        """Plan one cell; `before` are what its chain begins with, and its planned cells with fewer frames."""
        parent = before[-1] if before else None
        origin = parent if cell.origin is not None else None
        if parent is not None and cell.parent != parent.cell.name:
            cell = replace(cell, parent=parent.cell.name)
        dataset = self.datasets[cell.dataset]
        declared = self.declared[cell.dataset]
        val_hash = dataset.val_hash or declared
        parts = key_parts(
            cell,
            num_classes=dataset.num_classes,
            train_hash=dataset.train_hash or declared,
            val_hash=origin.val_hash if origin else val_hash,
            parent_key=parent.key if parent else None,
            shared=self.shared,
        )
        key = cell_key(parts, self.shared)
        evaluation = evaluation_key(key, cell.evaluation, val_hash, self.shared)
        change = self._change(cell, key, parts, before)
        state, reason, blocked_by = self._state(cell, key, evaluation, before, change)
        params, macs, flops = self._costs(cell, dataset)
        found = self._share(cell, dataset.num_classes) if state is State.TO_RUN else None
        return PlannedCell(
            cell=with_share(cell, found),
            key=key,
            key_parts=parts,
            key_is_provisional=not dataset.built,
            parent_key=parent.key if parent else None,
            evaluation_key=evaluation,
            state=state,
            reason=reason,
            blocked_by=blocked_by,
            num_classes=dataset.num_classes,
            manifest=dataset.manifest,
            params=params,
            macs=macs,
            flops=flops,
            supersedes=change.supersedes.key if change else None,
            differences=change.differences if change else (),
            share=found,
            val_hash=val_hash,
            begun=self.begun.get(key, 0),
            origin=origin,
            origin_study=self.parents.study if origin and self.parents else "",
        )

    def _change(
        self, cell: Cell, key: str, parts: Mapping[str, Any], before: Sequence[PlannedCell]
    ) -> Change | None:
        """What changed since the cell was finished last, where its key is final and not done."""
        if key in self.done or key in self.lost or not self.datasets[cell.dataset].built:
            return None
        return change_since(cell, parts, before, self.known, self.study.name)

    def _state(
        self,
        cell: Cell,
        key: str,
        evaluation: str,
        before: Sequence[PlannedCell],
        change: Change | None,
    ) -> tuple[State, str, str | None]:
        found = self.done.get(key)
        if found is not None:
            same = found.evaluation in (None, evaluation)
            reason = "trained before" if same else "trained before, measured by another protocol"
            return State.DONE, f"{reason}{self._as_once_built(cell)}", None
        blocked, parent = self._blocked(cell, before), before[-1] if before else None
        if blocked is not None:
            return State.BLOCKED, *blocked
        lost = f"trained before, and again: {self.lost[key]}" if key in self.lost else ""
        return State.TO_RUN, lost or self._why_to_run(cell, key, parent, change), None

    def _as_once_built(self, cell: Cell) -> str:
        changed = self.datasets[cell.dataset].changed
        return f"; dataset {cell.dataset} is built again first: {changed}" if changed else ""

    def _blocked(self, cell: Cell, before: Sequence[PlannedCell]) -> tuple[str, str] | None:
        """The reason and what is to blame, where something keeps the cell from running."""
        parent = before[-1] if before else None
        dataset = self.datasets[cell.dataset]
        if not dataset.built and not dataset.buildable:
            return f"dataset {dataset.name} is not built: {dataset.how}", dataset.name
        if parent is None:
            weights = cell.weights
            problem = self.weights_problems.get(weights.network) if weights else None
            return (problem, weights.network) if weights and problem else None
        if cell.origin is not None and parent.state is not State.DONE and self.parents is not None:
            what = f"its parent {parent.cell.name} of study {self.parents.study} is not trained"
            return f"{what} ({parent.reason}); run that study first", parent.cell.name
        if parent.state is State.BLOCKED:
            root = next(planned for planned in before if planned.state is State.BLOCKED)
            return f"its starting point {root.cell.name} is blocked: {root.reason}", root.cell.name
        return self._chosen_otherwise(cell, parent) or self._chosen_is_gone(cell, parent)

    def _chosen_is_gone(self, cell: Cell, parent: PlannedCell) -> tuple[str, str] | None:
        """A finished parent is not trained again for the sake of a checkpoint that was removed."""
        which, found = cell.recipe.inherit, self.done.get(parent.key)
        if found is None or which not in found.removed:
            return None
        other = "best" if which == "last" else "last"
        what = f"the {which} checkpoint of its parent {parent.cell.name} was removed, as keep said"
        return f"{what}; say inherit: {other}, or train the chain in another storage", parent.cell.name

    def _chosen_otherwise(self, cell: Cell, parent: PlannedCell) -> tuple[str, str] | None:
        """A best checkpoint that another protocol chose is not the one that this cell's key promises."""
        found = self.done.get(parent.key)
        if (
            cell.recipe.inherit != "best"
            or found is None
            or found.evaluation in (None, parent.evaluation_key)
        ):
            return None
        what = f"the best epoch of its parent {parent.cell.name} was chosen by another evaluation protocol"
        return f"{what}; say inherit: last, or use that protocol", parent.cell.name

    def _why_to_run(self, cell: Cell, key: str, parent: PlannedCell | None, change: Change | None) -> str:
        failure = self.failures.get(key)
        if failure is not None:
            error = failure.error.strip().splitlines()
            last = error[-1] if error else "no error recorded"
            again = self._goes_on(cell, key) or "will be tried again"
            return f"failed before, attempt {failure.attempts}: {last}; {again}"
        if why := self._goes_on(cell, key) or (change.reason if change else ""):
            return why
        if changed := self.datasets[cell.dataset].changed:
            unsure = self.datasets[cell.dataset].unsure and cell.name in self.known.by_name
            unless = "; unless it then equals an earlier one" if unsure else ""
            return f"dataset {cell.dataset} is built again first: {changed}{unless}"
        if not self.datasets[cell.dataset].built:
            return f"new; dataset {cell.dataset} will be built first"
        if parent is not None and parent.state is State.TO_RUN:
            return f"new; its parent {parent.cell.name} will run first"
        return "new"

    def _goes_on(self, cell: Cell, key: str) -> str:
        begun = self.begun.get(key)
        return f"goes on from epoch {begun} of {cell.recipe.epochs}" if begun else ""

    def _share(self, cell: Cell, num_classes: int | None) -> Share | None:
        try:
            return share_of(cell, num_classes or 1, self.memory, self.memory_of)
        except NoCardError as error:
            raise StudyError.of(self.study.name, [Problem(("resources",), str(error))]) from error

    def _costs(self, cell: Cell, dataset: DatasetState) -> tuple[int | None, int, int | None]:
        """Parameters, MACs and FLOPs, as far as they can be known."""
        classes = dataset.num_classes
        size = self._size(cell, cell.recipe.crop_size)
        params = None if classes is None else size.params
        if dataset.train_videos is None or dataset.val_videos is None:
            return params, size.macs, None
        evaluated = self._size(cell, cell.evaluation.crop_size)
        held_out = round(dataset.train_videos * (cell.choose_on or 0.0))
        flops = cell_flops(
            cell,
            train_macs=size.macs,
            eval_macs=evaluated.macs,
            train_videos=dataset.train_videos - held_out,
            val_videos=dataset.val_videos + held_out,
        )
        return params, size.macs, flops

    def _size(self, cell: Cell, crop: int) -> Size:
        # MACs do not depend on the number of classes, so where it is unknown any will do.
        classes = self.datasets[cell.dataset].num_classes or 1
        try:
            return self.size_of(cell, classes, crop)
        except ValueError as error:
            problem = Problem((), f"cell {cell.name} cannot be built with a crop of {crop} pixels: {error}")
            raise StudyError.of(self.study.name, [problem]) from error
