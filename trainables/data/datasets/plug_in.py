"""Kinds of datasets that other packages declare (docs/plug-ins.md)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from trainables.data.datasets.base import DatasetError, DatasetInfo, Listing
from trainables.data.frames.frame_format import FrameFormat
from trainables.recipe.fields import Fraction, Frozen
from trainables.recipe.plug_ins import DatasetKindInfo, PlugInError, code_of


class PlugInDataset(Frozen):
    """A dataset whose videos a function of another package lists; it may have any further fields.

    `min_frames`, `allow_missing` and `frame_format` as of the user's own files.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    allow_missing: Fraction = 0.2
    min_frames: Annotated[int, Field(ge=1)] = 3
    frame_format: FrameFormat = FrameFormat()

    @property
    def options(self) -> dict[str, Any]:
        """The fields that are the package's own."""
        return dict(self.model_extra or {})

    def info(self) -> DatasetInfo:
        """Nothing is known before the package lists it."""
        return DatasetInfo(None, None, None, f"listed by the plug-in {self.kind} when it is built")

    def list_videos(self) -> Listing:
        """What the package's function lists of the dataset.

        Raises:
            DatasetError: its package is not here, it fails, or it returns something else.
        """
        where = f"dataset kind {self.kind}"
        try:
            listing = code_of(DatasetKindInfo, self.kind)(self)
        except PlugInError as error:
            raise DatasetError(error.what, error.where, error.what_to_do) from error
        except DatasetError:
            raise
        except Exception as error:
            what = f"its plug-in fails ({type(error).__name__}: {' '.join(str(error).split())[:300]})"
            raise DatasetError(what, where, "mend its options or its package") from error
        if not isinstance(listing, Listing):
            what = f"its plug-in lists {listing!r:.80}, which is no Listing"
            raise DatasetError(what, where, "see docs/plug-ins.md")
        return listing
