"""What the demo promises (README.md, `orchestrator/studies/demo.yaml`), checked on a storage that holds it.

`python -m tests.support.demo_conclusion STORAGE` says which promise is broken and exits with 1 then.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from statistics import fmean
from typing import Any

MOTION, APPEARANCE = "synthetic-motion", "synthetic-appearance"
CHANCE = 25.0
"""Percent: four classes of equally many videos. Guesses on 96 videos have a deviation of 4.4 points."""

Result = Mapping[str, Any]


def broken_promises(results: list[Result]) -> list[str]:
    """What a storage's current results contradict, in words; empty where the demo's conclusions hold.

    `results`: dataset, module, temporal_pooling and top1 (percent) of each cell.
    """

    def top1(dataset: str, *, tsn: bool, pooled: bool | None = None) -> list[float]:
        return [
            row["top1"]
            for row in results
            if row["dataset"] == dataset
            and (row["module"] == "tsn") == tsn
            and pooled in (None, row["temporal_pooling"])
        ]

    plain, pooled = top1(MOTION, tsn=True, pooled=False), top1(MOTION, tsn=True, pooled=True)
    others, look = top1(MOTION, tsn=False), top1(APPEARANCE, tsn=True, pooled=False)
    rest = top1(APPEARANCE, tsn=False, pooled=False)
    if not (plain and pooled and others and look and rest):
        return ["cells of the demo have no result"]
    promises = {
        f"TSN cannot tell movements apart: {max(plain):.1f} % is chance": max(plain) < CHANCE + 12,
        f"temporal pooling lets it, from {max(plain):.1f} to {min(pooled):.1f} %": min(pooled)
        > max(plain) + 30,
        f"the other modules need none of it: {min(others):.1f} % or more": min(others) > 75,
        f"the look of things needs no time: TSN {fmean(look):.1f}, others {fmean(rest):.1f} %": (
            fmean(look) > fmean(rest) - 5 and min(look) > 80
        ),
    }
    return [promise for promise, kept in promises.items() if not kept]


def main(address: str) -> int:
    """Check a storage, a folder or a bucket; 1 where a promise is broken."""
    from catalog import Catalog
    from catalog.storage.storage import open_storage

    storage = open_storage(address)
    storage.connect()
    columns = "dataset, module, temporal_pooling, top1"
    with Catalog.open(storage.root, storage.fetch_missing) as catalog:
        broken = broken_promises(
            catalog.query(f"SELECT {columns} FROM results WHERE study = 'demo'").to_pylist()
        )
    for promise in broken:
        print(f"the demo promised, and it is not so: {promise}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
