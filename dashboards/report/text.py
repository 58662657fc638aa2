"""What the report says in words: the counts, the summary and the methods."""

from __future__ import annotations

import json
from typing import Any

from catalog import Catalog
from catalog.names import label
from dashboards.render.markup import Column, details, enumeration, paragraph, state, table

STATES = ("done", "running", "planned", "blocked", "failed")


def studies_of(catalog: Catalog) -> list[str]:
    """Return the studies with cells or submissions, by name."""
    names = catalog.query(
        "SELECT study FROM recorded.studies UNION SELECT study FROM recorded.cells ORDER BY study"
    )
    return [str(name) for name in names.column("study").to_pylist()]


def summary(catalog: Catalog) -> str:
    """Return the counts of cells by state, and one paragraph."""
    counts = {
        row["state"]: row["n"]
        for row in catalog.query(
            "SELECT state, count(*) AS n FROM cells WHERE current OR state = 'done' GROUP BY state"
        ).to_pylist()
    }
    total = sum(counts.values())
    if total == 0 and catalog.query("FROM results LIMIT 1").num_rows == 0:
        return paragraph(
            "No cell has been planned in this storage yet. Run a study, then write the report again.", "none"
        )
    items = "".join(f"<li><b>{counts.get(name, 0)}</b>{state(name)}</li>" for name in STATES)
    return f'<ul class="counts">{items}</ul>' + paragraph(_summary_text(catalog, counts, total))


def _summary_text(catalog: Catalog, counts: dict[str, int], total: int) -> str:
    studies = studies_of(catalog)
    missing = total - counts.get("done", 0) - counts.get("failed", 0)
    noun = "study" if len(studies) == 1 else "studies"
    sentences = [
        f"{len(studies)} {noun} ({enumeration(studies)}): {counts.get('done', 0)} of {total} cells are done, "
        f"{counts.get('failed', 0)} failed, {missing} are missing (planned, running or blocked)."
    ]
    (row,) = catalog.query(
        """
        SELECT list(DISTINCT seed ORDER BY seed) AS seeds, list(DISTINCT dataset ORDER BY dataset) AS datasets
        FROM cells
        """
    ).to_pylist()
    seeds = [str(seed) for seed in row["seeds"] or []]
    if seeds:
        sentences.append(f"{'Seed' if len(seeds) == 1 else 'Seeds'} {enumeration(seeds)}.")
        sentences.append(f"Datasets: {enumeration([label(name) for name in row['datasets']])}.")
    versions = "; ".join(_flat(value) for value in _distinct(catalog, "versions"))
    if versions:
        sentences.append(f"Trained with {versions}.")
    return " ".join(sentences)


def methods(catalog: Catalog) -> str:
    """Return how the cells were trained: recipe, versions, hardware."""
    settings = _settings(_distinct_configs(catalog))
    hardware = [_flat(value) for value in _distinct(catalog, "hardware")]
    versions = [_flat(value) for value in _distinct(catalog, "versions")]
    if not (settings or hardware or versions):
        return ""
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
        + details("Recipe, versions and hardware", table(rows, columns), open_=True)
    )


def _distinct(catalog: Catalog, column: str) -> list[dict[str, Any]]:
    rows = catalog.query(
        f"SELECT DISTINCT {column}::VARCHAR AS value FROM results WHERE {column} IS NOT NULL ORDER BY 1"
    )
    return [json.loads(value) for value in rows.column("value").to_pylist()]


def _distinct_configs(catalog: Catalog) -> list[dict[str, Any]]:
    rows = catalog.query(
        "SELECT DISTINCT config::VARCHAR AS config FROM cells WHERE current OR state = 'done' ORDER BY 1"
    )
    return [json.loads(value) for value in rows.column("config").to_pylist()]


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
