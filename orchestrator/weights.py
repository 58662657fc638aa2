"""Whether the ImageNet weights that a study calls for are to be had, before anything runs."""

from __future__ import annotations

from orchestrator.cell import expand
from orchestrator.study_model import Study


def backbones_from_imagenet(study: Study) -> tuple[str, ...]:
    """The backbones whose starters begin with ImageNet weights."""
    return tuple(
        dict.fromkeys(
            cell.backbone for cell in expand(study) if cell.parent is None and cell.recipe.init == "imagenet"
        )
    )


def weights_problems(study: Study, weights_dir: str | None) -> dict[str, str]:
    """By backbone, why its weights cannot be loaded and the way out; empty where all are here."""
    wanted = backbones_from_imagenet(study)
    if not wanted:
        return {}
    from trainables.models.weights import MissingWeightsError, find_weights

    problems = {}
    for backbone in wanted:
        try:
            find_weights(backbone, weights_dir)
        except MissingWeightsError as error:
            problems[backbone] = str(error)
    return problems
