"""Make docs/reference/study.md: every field of a study file with its type, default, meaning and an example.

    python -m docs.reference.study

Types and defaults come from the models that read the file, meanings from `fields.yaml` beside this.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from orchestrator.study import model
from trainables.data.datasets import CsvDataset, FolderDataset, OfficialDataset, SyntheticMotion
from trainables.data.frames.frame_format import FrameFormat
from trainables.recipe.cell_spec import Evaluation, Recipe
from trainables.recipe.switches import Execution

FIELDS = Path(__file__).with_name("fields.yaml")
PAGE = Path(__file__).with_name("study.md")
MODELS: dict[str, type[BaseModel]] = {
    "study": model.Study,
    "axes": model.Axes,
    "match": model.StageMatch,
    "recipes": model.Recipes,
    "recipe": Recipe,
    "speed": Execution,
    "evaluation": Evaluation,
    "resources": model.Resources,
    "folder": FolderDataset,
    "csv": CsvDataset,
    "official": OfficialDataset,
    "synthetic": SyntheticMotion,
    "frame_format": FrameFormat,
    "notify": model.Notify,
    "channel": model.Channel,
    "parents": model.Parents,
    "evaluates": model.EvaluatedCells,
    "protocols": model.Protocols,
}
_HEAD = """# Every field of a study file

Made of the models that read the file: `python -m docs.reference.study`. A field that is left out has its
default; a misspelt one is an error. `~` is the home folder, relative paths count from the study file.
"""
_BOUNDS = {
    "minimum": "≥ ",
    "exclusiveMinimum": "> ",
    "maximum": "≤ ",
    "exclusiveMaximum": "< ",
    "multipleOf": "of ",
}


def sections() -> dict[str, dict[str, Any]]:
    """What `fields.yaml` says, by section."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(FIELDS.read_text(encoding="utf-8"))
    return found


def meaning(entry: str | list[str | None]) -> tuple[str, str | None]:
    """A field's meaning and its example."""
    return (entry, None) if isinstance(entry, str) else (str(entry[0]), entry[1])


def kind(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The values that a field takes, in words, from its JSON schema."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        return kind(target, definitions) if "enum" in target else "fields, see below"
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{json.dumps(one).strip(chr(34))}`" for one in values)
    if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(kind(one, definitions) for one in options))
    if schema.get("type") == "array":
        inner = schema.get("items")
        return f"list of {kind(inner, definitions)}" if isinstance(inner, dict) and inner else "list"
    bounds = ", ".join(f"{sign}{schema[name]:g}" for name, sign in _BOUNDS.items() if name in schema)
    word = {
        "integer": "whole number",
        "number": "number",
        "boolean": "`true`, `false`",
        "string": "text",
        "null": "nothing",
    }
    name = word.get(str(schema.get("type")), "fields")
    return f"{name} {bounds}".strip()


def default(schema: dict[str, Any], *, required: bool) -> str:
    """A field's default as the file would say it."""
    if required:
        return "**required**"
    value = schema.get("default")
    if value is None or isinstance(value, dict) or value == []:
        return ""
    return f"`{json.dumps(value)}`"


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for name, section in sections().items():
        schema = MODELS[name].model_json_schema(by_alias=False)
        definitions = schema.get("$defs", {})
        lines = [
            f"\n## {section['title']}\n",
            f"{section['about']}\n",
            "| field | takes | default | meaning |",
        ]
        lines.append("|---|---|---|---|")
        for field, entry in section["fields"].items():
            one = schema["properties"].get(field, {})
            text, example = meaning(entry)
            shown = f"{text} `{example}`" if example else text
            required = field in schema.get("required", ())
            row = (f"`{field}`", kind(one, definitions), default(one, required=required), shown)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |")
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
