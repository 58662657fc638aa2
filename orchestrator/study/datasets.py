"""The datasets that a study can name, its own and the published study's, and what is known of one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pydantic import TypeAdapter

from orchestrator.study.model import Study
from trainables.data.datasets import OFFICIAL, DatasetConfig, OfficialDataset


@dataclass(frozen=True)
class DatasetState:
    """What is known of a dataset. Counts are None where nobody knows them.

    Hashes are None until it is built; of one whose source has `changed` they are those that building it again
    will give, where earlier builds have read all its files. `unsure` says that to find out would take long.

    `buildable` says that `actiongrid` can build it here; `how` says how to get or build it. `changed` says
    what of its source has changed since it was built, such as `2 videos added`: it is to be built again.
    `seen` says what a look at its source found where it is not built, `problem` why it cannot be built.
    """

    name: str
    built: bool
    manifest: str | None
    train_hash: str | None
    val_hash: str | None
    num_classes: int | None
    train_videos: int | None
    val_videos: int | None
    buildable: bool
    how: str
    changed: str = ""
    seen: str = ""
    problem: str = ""
    unsure: bool = False


def dataset_names(study: Study) -> tuple[str, ...]:
    """Every dataset name that the study may use, its own first."""
    return tuple(dict.fromkeys((*study.datasets, *OFFICIAL)))


def dataset_config(study: Study, name: str) -> DatasetConfig:
    """The declaration of a dataset: the study's own where it has one.

    Raises:
        KeyError: neither defined by the study nor an official name (`load_study` refuses such a study).
    """
    if name in study.datasets:
        return study.datasets[name]
    if name not in OFFICIAL:
        raise KeyError(f"dataset {name} is not defined; study {study.name}; define it under datasets")
    return _official(name)


def declared_state(study: Study, name: str) -> DatasetState:
    """The state of a dataset that is not built: what its declaration says of it."""
    config = dataset_config(study, name)
    info = config.info()
    return DatasetState(
        name=name,
        built=False,
        manifest=None,
        train_hash=None,
        val_hash=None,
        num_classes=info.num_classes,
        train_videos=info.train_videos,
        val_videos=info.val_videos,
        buildable=not isinstance(config, OfficialDataset) or config.sources is not None,
        how=info.how_to_get,
    )


@lru_cache
def _official(name: str) -> DatasetConfig:
    adapter: TypeAdapter[DatasetConfig] = TypeAdapter(DatasetConfig)
    return adapter.validate_python({"kind": "official", "name": name})
