"""What a dataset lists: the one way from a configuration, and the user's files, to videos with labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trainables.data.datasets.base import DatasetFolders, Listing
from trainables.data.datasets.folders import list_folder
from trainables.data.datasets.hmdb51 import list_hmdb51
from trainables.data.datasets.jester import list_jester
from trainables.data.datasets.kinetics import list_kinetics
from trainables.data.datasets.moments import list_moments
from trainables.data.datasets.official import OfficialDataset, OfficialName
from trainables.data.datasets.own_files import CsvDataset, FolderDataset, list_csv
from trainables.data.datasets.plug_in import PlugInDataset
from trainables.data.datasets.something import list_something
from trainables.data.datasets.ucf101 import list_ucf101
from trainables.data.datasets.user_files import UserFiles, read_sources

_NOWHERE = DatasetFolders()
_OFFICIAL: Mapping[OfficialName, Callable[[OfficialDataset, UserFiles, UserFiles], Listing]] = {
    "mini-ssv2": list_something,
    "mini-kinetics": list_kinetics,
    "mini-mit": list_moments,
    "ssv2": list_something,
    "kinetics400": list_kinetics,
    "mit": list_moments,
    "ucf101": list_ucf101,
    "hmdb51": list_hmdb51,
    "jester": list_jester,
}


def list_dataset(
    config: FolderDataset | CsvDataset | OfficialDataset | PlugInDataset, sources: DatasetFolders = _NOWHERE
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
        case PlugInDataset():
            return config.list_videos()
        case OfficialDataset():
            videos, annotations = read_sources(sources, config.info().how_to_get)
            return _OFFICIAL[config.name](config, videos, annotations)
