"""The `actiongrid` command: the front door. Each command lives in `orchestrator.commands`.

Errors go to stderr as `error: what; where; what to do`. Exit codes: 0 success, 1 work failed, 2 bad input,
130 interrupted and resumable.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.commands import catalog as catalog_commands
from orchestrator.commands import data as data_commands
from orchestrator.commands.common import StorageOption, fail
from orchestrator.commands.dashboard import dashboard
from orchestrator.commands.evaluate import evaluate
from orchestrator.commands.explain import explain
from orchestrator.commands.plan import plan
from orchestrator.commands.results import results
from orchestrator.commands.run import run
from orchestrator.commands.status import status
from orchestrator.commands.submit import jobs, submit

app = typer.Typer(
    name="actiongrid",
    help="Controlled studies of action-recognition architectures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(plan)
app.command()(run)
app.command()(status)
app.command()(explain)
app.command()(evaluate)
app.command()(results)
app.command()(dashboard)
app.command()(submit)
app.add_typer(data_commands.app, name="data")
app.add_typer(jobs, name="jobs")
app.add_typer(catalog_commands.app, name="catalog")


@app.command()
def report(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="HTML file to write.")] = None,
    storage: StorageOption = None,
) -> None:
    """Write one self-contained HTML page with figures and tables, yours beside the published results."""
    from catalog import Catalog
    from dashboards.report import write_report
    from orchestrator.commands.common import storage_path
    from orchestrator.layout import Layout

    root = storage_path(storage)
    path = output or Layout(root).report
    with Catalog.open(root) as catalog:
        written = write_report(catalog, path)
    typer.echo(f"report: {written.resolve()}")


def main() -> None:
    """Entry point: turns known errors into one line on stderr and an exit code."""
    try:
        code = app(standalone_mode=False)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to go on\n")
        sys.exit(130)
    except Exception as error:
        sys.exit(fail(error))
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
