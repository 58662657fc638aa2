"""What the report says in words and tables: counts, summary, methods, failures, all cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from catalog import Catalog
from catalog.claims.model import Claim
from catalog.names import label
from catalog.queries import overview
from catalog.queries.caveats import result_notes
from catalog.queries.overview import cells_with_results
from dashboards.claims.judge import Judgement
from dashboards.claims.sets import judgements
from dashboards.claims.words import UNCERTAINTY, as_table, case_rows, claim_rows, whose
from dashboards.render.markup import (
    Column,
    details,
    enumeration,
    paragraph,
    quantity,
    signed,
    state,
    table,
    three_decimals,
)
from dashboards.render.tables import results_with_uncertainty
from dashboards.render.uncertainty import ASSUMED, CAPTION

_VERDICTS = {"holds": "done", "fails": "failed"}
STATES = ("done", "running", "planned", "blocked", "failed")


def summary(catalog: Catalog) -> str:
    """Return the counts of cells by state, and one paragraph."""
    counts = overview.counts_by_state(catalog)
    total = sum(counts.values())
    if total == 0 and not overview.has_results(catalog):
        return paragraph(
            "No cell has been planned in this storage yet. Run a study, then write the report again.", "none"
        )
    items = "".join(f"<li><b>{counts.get(name, 0)}</b>{state(name)}</li>" for name in STATES)
    return f'<ul class="counts">{items}</ul>' + paragraph(_summary_text(catalog, counts, total))


def _summary_text(catalog: Catalog, counts: Mapping[str, int], total: int) -> str:
    studies = overview.studies_of(catalog)
    missing = total - counts.get("done", 0) - counts.get("failed", 0)
    noun = "study" if len(studies) == 1 else "studies"
    sentences = [
        f"{len(studies)} {noun} ({enumeration(studies)}): {counts.get('done', 0)} of {total} cells are done, "
        f"{counts.get('failed', 0)} failed, {missing} are missing (planned, running or blocked)."
    ]
    seeds, datasets = overview.seeds_and_datasets(catalog)
    if seeds:
        sentences.append(f"{'Seed' if len(seeds) == 1 else 'Seeds'} {enumeration([*map(str, seeds)])}.")
        sentences.append(f"Datasets: {enumeration([label(name) for name in datasets])}.")
    versions = "; ".join(_flat(value) for value in overview.distinct_records(catalog, "versions"))
    if versions:
        sentences.append(f"Trained with {versions}.")
    return " ".join(sentences)


def notes(catalog: Catalog) -> str:
    """Return what a reader must know of the results: mixed precisions and devices, and caveats."""
    found = result_notes(catalog)
    items = "".join(f"<li>{escape(note)}</li>" for note in found)
    return f"<h2>Notes on the results</h2><ul class='notes'>{items}</ul>" if found else ""


def methods(catalog: Catalog) -> str:
    """Return what the intervals mean, and how the cells were trained: recipe, versions, hardware."""
    about = paragraph(f"{CAPTION} {ASSUMED}")
    settings = _settings(overview.distinct_configurations(catalog))
    hardware = [_flat(value) for value in overview.distinct_records(catalog, "hardware")]
    versions = [_flat(value) for value in overview.distinct_records(catalog, "versions")]
    if not (settings or hardware or versions):
        return f"<h2>Methods</h2>{about}"
    text = (
        "Every cell is one training run; a longer clip starts from the checkpoint of the next shorter one of "
        "its chain. Every validation video counts exactly once, whatever the number of workers. A setting "
        "with several values differs between cells."
    )
    rows = [{"name": name, "values": values} for name, values in settings.items()]
    rows += [{"name": "versions", "values": value} for value in versions]
    rows += [{"name": "hardware", "values": value} for value in hardware]
    columns = (Column("name", "setting"), Column("values", "values", wrap=True))
    return (
        "<h2>Methods</h2>"
        + paragraph(text)
        + about
        + details("Recipe, versions and hardware", table(rows, columns), open_=True)
    )


def _settings(configs: list[dict[str, Any]]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for config in configs:
        for part in ("recipe", "evaluation"):
            for name, value in (config.get(part) or {}).items():
                text = json.dumps(value) if isinstance(value, list | dict) else str(value)
                known = values.setdefault(f"{part}.{name}", [])
                if text not in known:
                    known.append(text)
    return {name: " | ".join(found) for name, found in values.items()}


def _flat(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


TITLES = {
    "cell": "cell",
    "state": "state",
    "top1": "top-1",
    "top1_low": "from",
    "top1_high": "to",
    "published_top1": "published",
    "published_top1_low": "from",
    "published_top1_high": "to",
    "difference": "difference",
    "difference_low": "from",
    "difference_high": "to",
    "differs": "not comparable in",
    "top5": "top-5",
    "top5_low": "from",
    "top5_high": "to",
    "loss": "validation loss",
    "best_top1": "best top-1",
    "best_top1_low": "from",
    "best_top1_high": "to",
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
    rows = results_with_uncertainty(cells_with_results(catalog)).to_pylist()
    if not rows:
        return ""
    special = {
        "state": Column("state", TITLES["state"], markup=state),
        "cell": Column("cell", TITLES["cell"]),
        **{
            name: Column(name, TITLES[name], signed, number=True)
            for name in ("difference", "difference_low", "difference_high")
        },
        "differs": Column("differs", TITLES["differs"], wrap=True),
        "params": Column("params", TITLES["params"], quantity, number=True),
        "macs": Column("macs", TITLES["macs"], quantity, number=True),
    }
    known = [name for name in TITLES if any(row[name] not in (None, "") for row in rows)]
    columns = [special.get(name) or Column(name, TITLES[name], number=True) for name in known]
    search = (
        '<input class="filter" type="search" placeholder="filter, for example: tam f16 done" '
        'aria-label="Filter the cells" aria-controls="cells">'
    )
    text = (
        "Accuracies in percent on the validation videos, from the epoch that the study reports (the last one "
        "unless it says otherwise) unless named best, each with its 95 % interval from the number of videos. "
        "Top-5 is left out with five classes or fewer, where it is always 100 %. A click on a heading sorts."
    )
    body = table(rows, columns, sortable=True)
    return f"<h2>All cells</h2>{paragraph(text, 'soft')}{search}<div id='cells' class='cells'>{body}</div>"


def judged_claims(catalog: Catalog, claims: Sequence[Claim]) -> str:
    """Return the section: a table of verdicts on one's own results; folded: published ones, and all cases."""
    judged = judgements(catalog, claims)
    rows = [{**row, "whose": whose(row["results"], row["study"])} for row in claim_rows(judged)]
    own = [row for row in rows if row["results"] != "published"]
    told = [row for row in own if row["met"] + row["not_met"]]
    silent = [row for row in own if not row["met"] + row["not_met"]]
    published = [row for row in rows if row["results"] == "published"]
    return "".join(
        (
            "<h2>Claims</h2>",
            paragraph(
                f"What results say about the statements of Chen et al. 2021 and other claims. {UNCERTAINTY}"
            ),
            table(told, _OWN_CLAIMS) if told else "",
            details("Claims that these results say nothing about", table(silent, _SILENT)) if silent else "",
            details("The same claims on the published results", table(published, _CLAIMS), open_=not own),
            details("All cases, with their intervals", _cases(judged)),
        )
    )


def _cases(judged: Sequence[Judgement]) -> str:
    rows = as_table(case_rows(judged)).to_pylist()
    return table([{**row, "whose": whose(row["results"], row["study"])} for row in rows], _CASES)


def _verdict(value: str) -> str:
    return f'<span class="state {_VERDICTS.get(value, "planned")}">{escape(value)}</span>'


_CLAIMS = (
    Column("verdict", "verdict", markup=_verdict),
    Column("statement", "statement", wrap=True),
    Column("says", "what the results say", wrap=True),
    Column("beyond_uncertainty", "beyond uncertainty"),
    Column("whose", "results"),
    Column("source", "where in the paper", wrap=True),
    Column("claim", "claim"),
)
_OWN_CLAIMS = tuple(one for one in _CLAIMS if one.name != "beyond_uncertainty")
_SILENT = (
    Column("statement", "statement", wrap=True),
    Column("says", "what is missing", wrap=True),
    Column("whose", "results"),
    Column("claim", "claim"),
)
_CASES = (
    Column("claim", "claim"),
    Column("whose", "results"),
    Column("case", "case"),
    *(Column(name, name, three_decimals, number=True) for name in ("value", "low", "high")),
    Column("unit", "unit"),
    Column("expected", "expected"),
    Column("as_measured", "as measured"),
    Column("beyond_uncertainty", "beyond uncertainty"),
    Column("missing", "missing", wrap=True),
)
