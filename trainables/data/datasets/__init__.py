"""Dataset configurations, told apart by `kind`. A new dataset is one file here and one line in the union.

Other packages declare kinds of their own (docs/plug-ins.md).

`trainables.data.ingest.build.build_dataset` turns a configuration into a manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapSerializer,
    WrapValidator,
)

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
from trainables.data.datasets.plug_in import PlugInDataset
from trainables.data.datasets.synthetic import SyntheticAppearance, SyntheticMotion
from trainables.recipe.plug_ins import DatasetKindInfo, plug_ins_of

_OURS = SyntheticMotion | SyntheticAppearance | FolderDataset | CsvDataset | OfficialDataset
KINDS = ("synthetic-motion", "synthetic-appearance", "folder", "csv", "official")
"""ActionGrid's own."""


def plug_in_kinds() -> tuple[str, ...]:
    """The kinds that other packages declare.

    Raises:
        PlugInError: a package of plug-ins cannot be used.
    """
    return tuple(plug_ins_of(DatasetKindInfo, KINDS))


def _validated(value: Any, ours: ValidatorFunctionWrapHandler) -> object:  # noqa: ANN401 - whatever a file says
    """A dataset of another package's kind, or one of ours."""
    if isinstance(value, PlugInDataset):
        return value
    kind = value.get("kind") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind not in KINDS and kind in plug_in_kinds():
        return _of_plug_in(value)
    return ours(value)


def _of_plug_in(value: dict[str, Any]) -> PlugInDataset:
    try:
        return PlugInDataset.model_validate(value)
    except ValidationError as error:
        # Inside of a validator pydantic would put the whole report into one message.
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _dumped(value: Any, ours: SerializerFunctionWrapHandler) -> object:  # noqa: ANN401 - pydantic's own signature
    return value.model_dump(mode="json") if isinstance(value, PlugInDataset) else ours(value)


if TYPE_CHECKING:
    DatasetConfig = _OURS | PlugInDataset
else:
    _Ours = Annotated[_OURS, Field(discriminator="kind")]
    DatasetConfig = Annotated[_Ours, WrapValidator(_validated), WrapSerializer(_dumped)]

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
    "PlugInDataset",
    "SyntheticAppearance",
    "SyntheticMotion",
    "plug_in_kinds",
]
