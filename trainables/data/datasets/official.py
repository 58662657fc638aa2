"""The published study's datasets: what is known of them for a plan; they cannot be built from here yet."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from trainables.data.datasets.base import DatasetInfo
from trainables.recipe import Frozen

OfficialName = Literal["mini-ssv2", "mini-kinetics", "mini-mit", "ssv2", "kinetics400", "mit"]

_SSV2 = "request Something-Something V2 from its publisher (Qualcomm)"
_KINETICS = "fetch the Kinetics-400 videos with the CVDF scripts"
_MIT = "request Moments in Time from its publisher (MIT)"
_THEN = "list them in a CSV file (path,label,split) and use `kind: csv`"

# Classes: models-and-protocol.md section 7. Videos of the mini sets: the lists published by the study's
# authors; with them the 288 cells cost the documented 608 EFLOP. Full sets: as published by their owners.
OFFICIAL: MappingProxyType[str, DatasetInfo] = MappingProxyType(
    {
        "mini-ssv2": DatasetInfo(87, 81_663, 11_799, f"{_SSV2}; keep the 87 classes of Mini-SSV2; {_THEN}"),
        "mini-kinetics": DatasetInfo(
            200, 121_215, 9_837, f"{_KINETICS}; keep the 200 classes of Mini-Kinetics; {_THEN}"
        ),
        "mini-mit": DatasetInfo(200, 100_000, 10_002, f"{_MIT}; keep its official mini split; {_THEN}"),
        "ssv2": DatasetInfo(174, 168_913, 24_777, f"{_SSV2}; {_THEN}"),
        "kinetics400": DatasetInfo(400, 240_436, 19_796, f"{_KINETICS}; {_THEN}"),
        "mit": DatasetInfo(339, 802_264, 33_900, f"{_MIT}; {_THEN}"),
    }
)


class OfficialDataset(Frozen):
    """A dataset of the published study, by name."""

    kind: Literal["official"] = "official"
    name: OfficialName

    def info(self) -> DatasetInfo:
        """Classes and numbers of videos as published."""
        return OFFICIAL[self.name]
