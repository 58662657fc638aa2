"""Dataset configurations, told apart by `kind`. A new dataset is one file here and one line in the union.

`trainables.data.ingest.build.build_dataset` turns a configuration into a manifest.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trainables.data.datasets.base import (
    SPLITS,
    DatasetError,
    DatasetFolders,
    DatasetInfo,
    Entry,
    LeftOut,
    Listing,
)
from trainables.data.datasets.official import OFFICIAL, OfficialDataset
from trainables.data.datasets.own_files import CsvDataset, FolderDataset
from trainables.data.datasets.synthetic import SyntheticAppearance, SyntheticMotion

DatasetConfig = Annotated[
    SyntheticMotion | SyntheticAppearance | FolderDataset | CsvDataset | OfficialDataset,
    Field(discriminator="kind"),
]

__all__ = [
    "OFFICIAL",
    "SPLITS",
    "CsvDataset",
    "DatasetConfig",
    "DatasetError",
    "DatasetFolders",
    "DatasetInfo",
    "Entry",
    "FolderDataset",
    "LeftOut",
    "Listing",
    "OfficialDataset",
    "SyntheticAppearance",
    "SyntheticMotion",
]
