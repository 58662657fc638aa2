"""The tables of the report: failed cells, quarantined videos, all cells."""

from __future__ import annotations

from catalog import Catalog
from catalog.names import label
from catalog.queries import overview
from catalog.queries.overview import cells_with_results
from dashboards.render.markup import Column, paragraph, quantity, signed, state, table

TITLES = {
    "cell": "cell",
    "state": "state",
    "top1": "top-1",
    "published_top1": "published",
    "difference": "difference",
    "top5": "top-5",
    "loss": "loss",
    "best_top1": "best top-1",
    "best_epoch": "best epoch",
    "epochs": "epochs",
    "params": "parameters",
    "macs": "MACs",
    "eval_videos": "eval. videos",
    "train_seconds": "training (s)",
    "train_clips_per_second": "clips/s",
}
"""The columns of the table and their headings."""


def failed_cells(catalog: Catalog) -> str:
    """Return the failed and blocked cells with their reasons; nothing where there are none."""
    rows = overview.failed_and_blocked(catalog).to_pylist()
    if not rows:
        return ""
    columns = (
        Column("cell", "cell"),
        Column("state", "state", markup=state),
        Column("reason", "why", wrap=True),
        Column("attempts", "attempts", number=True),
        Column("log", "log", wrap=True),
    )
    return "<h2>Failed and blocked cells</h2>" + table(rows, columns)


def quarantined_videos(catalog: Catalog) -> str:
    """Return the videos that could not be used; nothing where there are none."""
    rows = overview.quarantined_videos(catalog).to_pylist()
    if not rows:
        return ""
    columns = (
        Column("dataset", "dataset", label),
        Column("path", "video", wrap=True),
        Column("reason", "why", wrap=True),
    )
    noun = "video" if len(rows) == 1 else "videos"
    text = f"{len(rows)} {noun} could not be read and took no part in training or evaluation."
    return "<h2>Quarantined videos</h2>" + paragraph(text) + table(rows, columns)


def all_cells(catalog: Catalog) -> str:
    """Return the table of all cells; the reader can sort and filter it."""
    rows = cells_with_results(catalog).to_pylist()
    if not rows:
        return ""
    special = {
        "state": Column("state", TITLES["state"], markup=state),
        "cell": Column("cell", TITLES["cell"]),
        "difference": Column("difference", TITLES["difference"], signed, number=True),
        "params": Column("params", TITLES["params"], quantity, number=True),
        "macs": Column("macs", TITLES["macs"], quantity, number=True),
    }
    known = [name for name in TITLES if any(row[name] is not None for row in rows)]
    columns = [special.get(name) or Column(name, TITLES[name], number=True) for name in known]
    search = (
        '<input class="filter" type="search" placeholder="filter, for example: tam f16 done" '
        'aria-label="Filter the cells" aria-controls="cells">'
    )
    text = "Accuracies in percent, from the last epoch unless named best. A click on a heading sorts."
    body = table(rows, columns, sortable=True)
    return f"<h2>All cells</h2>{paragraph(text, 'soft')}{search}<div id='cells' class='cells'>{body}</div>"
