"""In what the configurations of cells differ, those settings first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from dashboards.figures.tables import draw_table
from dashboards.render.theme import AUTO, Theme, empty_figure

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = "–"
_AXES = ("module", "backbone", "temporal_pooling", "frames", "dataset", "seed")

_SQL = f"""
    SELECT key, cell, config::VARCHAR AS config, {", ".join(_AXES)}
    FROM computed.planned_cells WHERE list_contains($keys, key) ORDER BY list_position($keys, key)
"""


def config_differences_data(catalog: Catalog, keys: Sequence[str]) -> pa.Table:
    """Return one row a setting: its name, whether it differs, and its text in every cell."""
    configs = {}
    for row in catalog.query(_SQL, {"keys": list(keys)}).to_pylist():
        name = row["cell"] if row["cell"] not in configs else f"{row['cell']} ({row['key'][:6]})"
        configs[name] = {**{axis: row[axis] for axis in _AXES}, **json.loads(row["config"] or "{}")}
    return config_differences(configs)


def config_differences(configs: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Compare nested configurations by cell: `recipe: {lr: 0.1}` becomes the setting `recipe.lr`."""
    import pyarrow as pa

    flat = {name: dict(flattened(config)) for name, config in configs.items()}
    settings = list(dict.fromkeys(setting for config in flat.values() for setting in config))
    rows = []
    for setting in settings:
        texts = {name: config.get(setting, MISSING) for name, config in flat.items()}
        rows.append({"setting": setting, "differs": len(set(texts.values())) > 1, **texts})
    rows.sort(key=lambda row: not row["differs"])
    schema = [("setting", pa.string()), ("differs", pa.bool_()), *((name, pa.string()) for name in flat)]
    return pa.Table.from_pylist(rows, schema=pa.schema(schema))


def flattened(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the settings of a nested configuration as dotted names and texts; lists count as one value."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


def draw_config_differences(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw the settings that differ as a table; all of them, where there is one cell only."""
    cells = table.column_names[2:]
    rows = [row for row in table.to_pylist() if row["differs"] or len(cells) == 1]
    if not cells:
        return empty_figure("Choose cells to compare.", theme)
    if not rows:
        return empty_figure("The configurations are the same.", theme)
    return draw_table(
        rows, {"setting": "setting", **{name: name.replace("@", "<br>@") for name in cells}}, theme
    )
