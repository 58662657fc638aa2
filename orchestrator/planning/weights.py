"""Whether the ImageNet weights that a study calls for are to be had, before anything runs."""

from __future__ import annotations

from orchestrator.study.cells import expand
from orchestrator.study.model import Study


def backbones_from_imagenet(study: Study) -> tuple[str, ...]:
    """The backbones whose starters begin with ImageNet weights."""
    return tuple(
        dict.fromkeys(
            cell.backbone for cell in expand(study) if cell.parent is None and cell.recipe.init == "imagenet"
        )
    )


def weights_problems(study: Study, weights_dir: str | None, *, download: bool = False) -> dict[str, str]:
    """By backbone, why its weights cannot be loaded and the way out; empty where all are here.

    With `download` a missing file is fetched through torchvision first; planning alone downloads nothing.
    """
    wanted = backbones_from_imagenet(study)
    if not wanted:
        return {}
    from trainables.models.weights import MissingWeightsError, fetch_weights, find_weights

    problems = {}
    for backbone in wanted:
        try:
            (fetch_weights if download else find_weights)(backbone, weights_dir)
        except MissingWeightsError as error:
            problems[backbone] = str(error)
    return problems
