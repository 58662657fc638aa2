"""Which datasets a study can name: those it defines, and the published study's own by their names."""

from __future__ import annotations

from functools import lru_cache

from pydantic import TypeAdapter

from orchestrator.study.model import Study
from trainables.data.datasets import OFFICIAL, DatasetConfig


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


@lru_cache
def _official(name: str) -> DatasetConfig:
    adapter: TypeAdapter[DatasetConfig] = TypeAdapter(DatasetConfig)
    return adapter.validate_python({"kind": "official", "name": name})
