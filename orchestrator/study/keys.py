"""A cell's key: a hash over everything that decides its weights, and nothing else (docs/glossary.md).

Two cells with one key are the same experiment in any study. The order of a study file's fields, its comments
and spelled-out defaults change no key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from orchestrator.study.cells import Cell
from trainables.data.datasets import DatasetConfig
from trainables.models.registry import backbone_info, module_info
from trainables.recipe.cell_spec import Evaluation, Recipe
from trainables.recipe.plug_ins import AugmentationInfo, OptimiserInfo, plug_ins_of
from trainables.recipe.versions import EVALUATE, HOLD_OUT, INITIALISE, STEP, TEMPORAL_POOLING

FORMAT = "1"
FIRST = "1"
KEY_LENGTH = 32
DECLARED = "declared:"

_LATER_FIELDS = ("splits", "allow_empty_classes")
_EVALUATION_ONLY_SPEED = frozenset({"batch_size"})


def cell_key(parts: Mapping[str, Any], shared: SharedParts | None = None) -> str:
    """sha256 over the parts as canonical JSON, its first 32 hex digits."""
    return _digest(parts, shared)


class SharedParts:
    """Parts of keys that many cells have in common, and their texts: each is made once.

    Recipes and protocols are known by the object itself: cells of a study that no override tells apart hold
    the same one.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], dict[str, Any]] = {}
        self._texts: dict[int, str] = {}
        self._owners: list[object] = []  # kept, so that no other object gets the id of one

    def recipe(self, recipe: Recipe, *, starter: bool) -> dict[str, Any]:
        """`recipe_parts` of this recipe."""
        place = ("recipe", id(recipe), starter)
        return self._once(place, lambda: recipe_parts(recipe, starter=starter), recipe)

    def evaluation(self, evaluation: Evaluation) -> dict[str, Any]:
        """`evaluation_parts` of this protocol."""
        return self._once(("evaluation", id(evaluation)), lambda: evaluation_parts(evaluation), evaluation)

    def model(self, cell: Cell, num_classes: int | None) -> dict[str, Any]:
        """The architecture's parts."""
        architecture = (cell.module, cell.backbone, cell.temporal_pooling, cell.frames, num_classes)
        return self._once(("model", *architecture), lambda: _model_parts(cell, num_classes))

    def data(self, cell: Cell, train_hash: str) -> dict[str, Any]:
        """The parts that say which videos are trained on, and how they are read."""
        return self._once(("data", train_hash, cell.choose_on), lambda: _data_parts(cell, train_hash))

    def text(self, value: object) -> str:
        """The canonical JSON of a value: keys sorted, no blanks, ASCII."""
        if type(value) is str:
            return encode_basestring_ascii(value)
        if type(value) is int:
            return str(value)
        if type(value) is not dict:
            return _ENCODER.encode(value)
        known = self._texts.get(id(value))
        if known is not None:
            return known
        texts = [f"{encode_basestring_ascii(name)}:{self.text(value[name])}" for name in sorted(value)]
        return f"{{{','.join(texts)}}}"

    def _once(
        self, place: tuple[object, ...], make: Callable[[], dict[str, Any]], owner: object = None
    ) -> dict[str, Any]:
        found = self._made.get(place)
        if found is None:
            found = self._made[place] = make()
            self._texts[id(found)] = _ENCODER.encode(found)
            self._owners.append(owner)
        return found


def key_parts(
    cell: Cell,
    *,
    num_classes: int | None,
    train_hash: str,
    val_hash: str,
    parent_key: str | None,
    shared: SharedParts | None = None,
) -> dict[str, Any]:
    """Everything that decides the cell's weights, grouped so that two keys can be compared.

    Args:
        cell: the cell, with its resolved recipe.
        num_classes: K, the outputs of the last layer; None where the dataset is not built and unknown.
        train_hash: the training manifest's hash, or `declared_hash` of a dataset that is not built yet.
        val_hash: the same for validation, of the parent's dataset; it counts only where validation chose the
            inherited checkpoint.
        parent_key: the key of the cell before it in its chain; None for a starter.
        shared: keeps what many cells have in common, where many are asked for.

    Raises:
        ValueError: a parent's key for a starter, or none for a later cell.
    """
    if (parent_key is None) != (cell.parent is None):
        what = f"a parent's key {'missing' if parent_key is None else 'given'}; cell {cell.name}"
        raise ValueError(f"{what}; give one exactly where the cell has a parent")
    shared = shared or SharedParts()
    return {
        "format": FORMAT,
        "model": shared.model(cell, num_classes),
        "recipe": shared.recipe(cell.recipe, starter=cell.parent is None),
        "seed": cell.seed,
        "data": shared.data(cell, train_hash),
        "train_step": STEP,
        "batch_statistics_shards": 1 if cell.recipe.sync_bn else cell.resources.workers,
        "initial": _initial_parts(cell, val_hash, parent_key, shared),
    }


def evaluation_key(key: str, evaluation: Evaluation, val_hash: str, shared: SharedParts | None = None) -> str:
    """The identity of one evaluation: the cell's key, the protocol and the videos it measures.

    `shared` keeps what many cells have in common, where many are asked for.
    """
    shared = shared or SharedParts()
    parts = {"cell": key, "evaluation": shared.evaluation(evaluation), "val": val_hash}
    return _digest(parts, shared)


def declared_hash(config: DatasetConfig) -> str:
    """Stands in for the manifest's hash of a dataset that is not built yet; marked as such.

    Where an official dataset's files lie is no part of it, nor what may be missing: allowing more after a
    build was refused must not decode everything again.
    """
    idle = {"allow_missing"} | ({"videos", "annotations"} if config.kind == "official" else set())
    # Fields that joined the declaration later count where they are used, so that no older hash moved.
    idle |= {name for name in _LATER_FIELDS if getattr(config, name, None) in (None, False)}
    return f"{DECLARED}{_digest(config.model_dump(mode='json', exclude=idle))}"


_LATER_OF_RECIPES = (
    "optimiser",
    "layer_decay",
    "warmup_epochs",
    "schedule_by",
    "label_smoothing",
    "mixup",
    "rand_augment",
    "repeated_augmentation",
    "drop_path",
)
_PAPERS = Recipe.model_fields


def recipe_parts(recipe: Recipe, *, starter: bool) -> dict[str, Any]:
    """The fields of a recipe that decide weights, given the choices that make others idle.

    Of the switches of a fast step those that round differently (the rule: `trainables.recipe.switches`).
    """
    parts: dict[str, Any] = recipe.model_dump(mode="json", exclude={"speed"})
    if switched := recipe.speed.in_key():
        parts["speed"] = switched
    # Where statistics are shared (or not) is counted as batch_statistics_shards.
    idle = {"sync_bn"}
    idle |= {"inherit"} if starter else {"init", "inflation"}
    if recipe.init == "random":
        idle.add("inflation")
    if recipe.schedule != "multistep":
        idle |= {"milestones", "gamma"}
    if recipe.sampling != "dense":
        idle.add("sampling_rate")
    if not recipe.rand_augment:
        idle.add("rand_augment_magnitude")
    # What a plug-in reads of the recipe nobody knows, so that all of it counts.
    idle |= {"sgd": {"betas"}, "adamw": {"momentum", "nesterov"}}.get(recipe.optimiser, set())
    # Fields that came later count where they are used, so that no older key moved.
    idle |= {name for name in _LATER_OF_RECIPES if getattr(recipe, name) == _PAPERS[name].default}
    unread = {"random_short_side": {"crop_scales"}, "multi_scale_crop": {"short_side_range"}}
    idle |= unread.get(recipe.augmentation, set())
    parts["milestones"] = [epoch for epoch in recipe.milestones if epoch < recipe.epochs]
    counted = {name: value for name, value in parts.items() if name not in idle}
    return {**counted, **_plug_in_versions(recipe)}


def _plug_in_versions(recipe: Recipe) -> dict[str, str]:
    """Those of a recipe's parts that are no part of ActionGrid, whose own versions count elsewhere."""
    optimisers, augmentations = plug_ins_of(OptimiserInfo), plug_ins_of(AugmentationInfo)
    found = {
        "optimiser": optimisers.get(recipe.optimiser),
        "augmentation": augmentations.get(recipe.augmentation),
    }
    return {f"{field}_version": one.version for field, one in found.items() if one is not None}


def evaluation_parts(evaluation: Evaluation) -> dict[str, Any]:
    """The fields of a protocol that decide what is measured (its batch size does not)."""
    parts: dict[str, Any] = evaluation.model_dump(mode="json", exclude=set(_EVALUATION_ONLY_SPEED))
    if evaluation.sampling != "dense":
        del parts["sampling_rate"]
    return {**parts, "version": EVALUATE, **_data_versions()}


def _model_parts(cell: Cell, num_classes: int | None) -> dict[str, Any]:
    return {
        "module": cell.module,
        "module_version": module_info(cell.module).version,
        "backbone": cell.backbone,
        "backbone_version": backbone_info(cell.backbone).version,
        "temporal_pooling": cell.temporal_pooling,
        "frames": cell.frames,
        "num_classes": num_classes,
        **(_from_second("temporal_pooling_version", TEMPORAL_POOLING) if cell.temporal_pooling else {}),
    }


def _initial_parts(cell: Cell, val_hash: str, parent_key: str | None, shared: SharedParts) -> dict[str, Any]:
    """What the weights are before the first step."""
    if parent_key is None:
        return {
            "weights_file": cell.weights.name if cell.weights else None,
            **_from_second("version", INITIALISE),
        }
    inherited = {"parent": parent_key, **({"head": "new"} if cell.new_head else {})}
    if cell.recipe.inherit == "last":
        return inherited
    chosen_by = shared.evaluation((cell.origin or cell).evaluation)
    if (cell.origin or cell).choose_on is not None:
        # Which videos chose follows from the parts `data`.
        return {**inherited, "chosen_by": chosen_by}
    # Validation chose the parent's checkpoint, so its protocol and videos decide these weights too.
    return {**inherited, "chosen_by": chosen_by, "chosen_on": val_hash}


def _data_parts(cell: Cell, train_hash: str) -> dict[str, Any]:
    return {"train": train_hash, **_held_out_parts(cell), **_data_versions()}


def _held_out_parts(cell: Cell) -> dict[str, Any]:
    """What of the training videos is not trained on; nothing where a study says nothing of it."""
    if cell.choose_on is None:
        return {}
    return {"choose_on": cell.choose_on, **_from_second("choose_on_version", HOLD_OUT)}


def _from_second(name: str, version: str) -> dict[str, str]:
    """A version that joined the key later counts from its second value on, so that no older key moved."""
    return {} if version == FIRST else {name: version}


def _data_versions() -> dict[str, str]:
    from trainables.data.clips import augment, sampling

    return {
        "sampling_version": sampling.VERSION,
        "augment_version": augment.VERSION,
        "views_version": augment.VIEWS_VERSION,
    }


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _digest(parts: Mapping[str, Any], shared: SharedParts | None = None) -> str:
    return hashlib.sha256((shared or SharedParts()).text(parts).encode()).hexdigest()[:KEY_LENGTH]
