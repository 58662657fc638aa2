"""The report: one self-contained HTML file that opens offline, on screens of any size and on paper."""

from __future__ import annotations

import datetime
from html import escape
from importlib import resources
from pathlib import Path
from uuid import uuid4

from catalog import Catalog
from catalog.queries.overview import studies_of
from dashboards.report.sections import study_figures
from dashboards.report.tables import all_cells, failed_cells, quarantined_videos
from dashboards.report.text import methods, summary

TITLE = "ActionGrid report"

_CONTENT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)
"""The browser itself refuses to load anything from elsewhere."""


def write_report(catalog: Catalog, path: Path) -> Path:
    """Write the report of a catalog to `path`, in one step, and return the path.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    temporary.write_text(report_html(catalog, datetime.datetime.now(datetime.UTC)), encoding="utf-8")
    temporary.replace(path)
    return path


def report_html(catalog: Catalog, now: datetime.datetime) -> str:
    """Return the report as one HTML document; `now` is the time printed on it."""
    from plotly.offline import get_plotlyjs

    studies = studies_of(catalog)
    subject = ", ".join(studies) or "no study yet"
    body = [
        f"<header><h1>{escape(TITLE)}</h1>",
        f'<p class="soft">{escape(subject)} · {now:%Y-%m-%d %H:%M} UTC</p></header>',
        summary(catalog),
        *(study_figures(catalog, study, several=len(studies) > 1) for study in studies or [""]),
        failed_cells(catalog),
        quarantined_videos(catalog),
        all_cells(catalog),
        methods(catalog),
        "<footer>Written by ActionGrid. The file holds all that it shows and loads nothing.</footer>",
    ]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(f'{TITLE}: {subject}')}</title>",
            f"<style>{_asset('report.css')}</style>",
            f"<script>{get_plotlyjs()}</script>\n</head>\n<body>",
            *body,
            f"<script>{_asset('report.js')}</script>\n</body>\n</html>\n",
        ]
    )


def _asset(name: str) -> str:
    return (resources.files("dashboards") / name).read_text(encoding="utf-8")
