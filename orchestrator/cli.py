"""The `actiongrid` command: the front door. Each command lives in `orchestrator.commands`.

Errors go to stderr as `error: what; where; what to do`. Exit codes: 0 success, 1 work failed, 2 bad input,
130 interrupted and resumable.
"""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from orchestrator.commands import catalog as catalog_commands
from orchestrator.commands import data as data_commands
from orchestrator.commands.common import INTERRUPTED, fail
from orchestrator.commands.control import cancel, pause, resume
from orchestrator.commands.dashboard import dashboard
from orchestrator.commands.evaluate import evaluate
from orchestrator.commands.explain import explain
from orchestrator.commands.plan import plan
from orchestrator.commands.report import report
from orchestrator.commands.results import results
from orchestrator.commands.run import run
from orchestrator.commands.status import status
from orchestrator.commands.submit import jobs, submit


class _InterruptedError(Exception):
    """Ctrl-C in a command, past Typer, which would end it without a word."""


class _Commands(TyperGroup):
    """The group of all commands."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own copy of click has no stable types
        """Run the command that the user named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError from None


app = typer.Typer(
    name="actiongrid",
    cls=_Commands,
    help="Controlled studies of action-recognition architectures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(plan)
app.command()(run)
app.command()(status)
app.command()(pause)
app.command()(resume)
app.command()(cancel)
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
    except (KeyboardInterrupt, _InterruptedError):
        sys.stderr.write("interrupted; run the same command again to go on\n")
        sys.exit(INTERRUPTED)
    except Exception as error:
        sys.exit(fail(error))
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
