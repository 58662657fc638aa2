"""The `actiongrid` command: the front door. Each command lives in `orchestrator.commands`.

Errors go to stderr as `error: what; where; what to do`. Exit codes: 0 success, 1 work failed, 2 bad input,
130 interrupted and resumable.
"""

from __future__ import annotations

import sys

import typer

from orchestrator.commands import catalog as catalog_commands
from orchestrator.commands import data as data_commands
from orchestrator.commands.common import fail
from orchestrator.commands.dashboard import dashboard
from orchestrator.commands.evaluate import evaluate
from orchestrator.commands.explain import explain
from orchestrator.commands.plan import plan
from orchestrator.commands.report import report
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
app.command()(report)
app.add_typer(data_commands.app, name="data")
app.add_typer(jobs, name="jobs")
app.add_typer(catalog_commands.app, name="catalog")


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
