"""What MkDocs does with pages: names of pages become links, which are checked; two pages are made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from posixpath import relpath
from typing import Any

PAGES = Path(__file__).parent
_NAMED = re.compile(r"`?\bdocs/((?:reference/)?[\w-]+\.md)`?((?:,)? §(\d+))?")
_FENCED = re.compile(r"(^```.*?^```$|^ {4}.*?$)", re.MULTILINE | re.DOTALL)
_SHORTENED = re.compile(r"^\*\*Commands\*\*:\n\n(?:\* .*\n)+\n", re.MULTILINE)
_HEADING = re.compile(r"^## (\d+\. .+)$", re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401
    """The files of the site, with the notebook and the commands as pages."""
    from mkdocs.structure.files import File

    notebook = as_markdown(json.loads((PAGES / "notebook.ipynb").read_text(encoding="utf-8")))
    made = {
        "notebook.md": f"{notebook}\n\n[This notebook](notebook.ipynb)\n",
        "reference/commands.md": commands(),
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """Every command with its arguments and options, in the words of its `--help`."""
    import typer
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from orchestrator.cli import app

    command = get_command(app)
    context = typer.Context(command, info_name="actiongrid")
    text = get_docs_for_click(obj=command, ctx=context, name="actiongrid", title="Every command")
    return _SHORTENED.sub("", text)


def as_markdown(notebook: dict[str, Any]) -> str:
    """A notebook's text and code, as a page."""
    cells = [(one["cell_type"], "".join(one["source"])) for one in notebook["cells"]]
    return "\n\n".join(f"```python\n{said}\n```" if kind == "code" else said for kind, said in cells)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:  # noqa: ANN401  (MkDocs' own types are not needed)
    """A page's text, with links where it names others; blocks of code stay."""
    parts = _FENCED.split(markdown)
    parts[::2] = [linked(part, page.file.src_uri) for part in parts[::2]]
    return "".join(parts)


def linked(text: str, page: str) -> str:
    """`docs/protocol.md §8` as a link from a page to that section, `docs/claims.md` as one to the page."""

    def link(match: re.Match[str]) -> str:
        target = relpath(match[1], str(Path(page).parent))
        return f"[{title(match[1])}{match[2] or ''}]({target}{anchor(match[1], match[3])})"

    return _NAMED.sub(link, text)


def title(page: str) -> str:
    """A page's first heading; its name, where there is no such page, which MkDocs then says."""
    path = PAGES / page
    if not path.is_file():
        return page
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def anchor(page: str, section: str | None) -> str:
    """The address of a numbered section within its page."""
    if section is None:
        return ""
    from markdown.extensions.toc import slugify

    path = PAGES / page
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = next((one for one in _HEADING.findall(text) if one.startswith(f"{section}. ")), f"{section}.")
    return f"#{slugify(found, '-')}"
