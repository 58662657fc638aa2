"""A kind of dataset: all videos in one folder, each named by its class, as `hop_007.mp4`."""

from pathlib import Path

from trainables.data.datasets.base import DatasetError, Entry, Listing, manifest_order
from trainables.data.datasets.plug_in import PlugInDataset


def list_named_files(config: PlugInDataset) -> Listing:
    """Every `val_every`-th video of a class is for validation, in the order of the names."""
    folder, every = Path(str(config.options.get("path", ""))), int(config.options.get("val_every", 4))
    by_class: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*_*.mp4")):
        by_class.setdefault(path.name.partition("_")[0], []).append(path)
    if not by_class:
        raise DatasetError("no video named CLASS_NUMBER.mp4", folder, "give another path")
    classes = tuple(sorted(by_class))
    entries = (
        Entry(path, "val" if number % every == 0 else "train", label)
        for label, name in enumerate(classes)
        for number, path in enumerate(by_class[name])
    )
    return Listing(classes, manifest_order(entries))
