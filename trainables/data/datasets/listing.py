"""What a dataset lists: the one way from a configuration, and the user's files, to videos with labels."""

from __future__ import annotations

from trainables.data.datasets.base import DatasetError, Listing, Sources
from trainables.data.datasets.csv import CsvDataset, list_csv
from trainables.data.datasets.folder import FolderDataset, list_folder
from trainables.data.datasets.official import OfficialDataset

_NOWHERE = Sources()


def list_dataset(
    config: FolderDataset | CsvDataset | OfficialDataset, sources: Sources = _NOWHERE
) -> Listing:
    """Videos with split and label, and what the dataset lists but cannot give; opens no video.

    `sources` is where an official dataset lies; the other kinds name their files themselves.

    Raises:
        DatasetError: files are missing or wrong as a whole; names the file, the folder and the way out.
    """
    match config:
        case FolderDataset():
            return list_folder(config)
        case CsvDataset():
            return list_csv(config)
        case OfficialDataset():
            raise DatasetError(f"{config.name} cannot be listed yet; {sources}; {config.info().how_to_get}")
