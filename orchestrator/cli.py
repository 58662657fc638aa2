"""The `actiongrid` command: the front door. Each command lives in `orchestrator.commands`.

Errors go to stderr as `error: what; where; what to do`. Exit codes: 0 success, 1 work failed, 2 bad input,
130 interrupted and resumable.
"""

from __future__ import annotations

import atexit
import codecs
import errno
import locale
import logging
import os
import sys
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from catalog.field_errors import closest_spelling
from catalog.storage.errors import (
    BAD_INPUT,
    INTERRUPTED,
    WORK_FAILED,
    ActionGridError,
    SystemFailureError,
    from_system,
)
from orchestrator.commands import catalog as catalog_commands
from orchestrator.commands import data as data_commands
from orchestrator.commands.claims import claims
from orchestrator.commands.control import cancel, note, pause, resume, retry, tag
from orchestrator.commands.dashboard import dashboard
from orchestrator.commands.doctor import doctor
from orchestrator.commands.evaluate import evaluate, export, predict
from orchestrator.commands.explain import explain
from orchestrator.commands.init import init
from orchestrator.commands.plan import plan, power
from orchestrator.commands.report import report
from orchestrator.commands.results import results
from orchestrator.commands.run import run, smoke
from orchestrator.commands.status import status
from orchestrator.commands.submit import jobs, submit
from trainables.recipe.plug_ins import use

# DuckDB's and Arrow's words for files that cannot be read or written, and for want of memory or disk.
_FILES_OF_LIBRARIES = frozenset({"IOException", "OutOfMemoryException", "ArrowMemoryError", "ArrowInvalid"})
# What `Path.resolve` raises a RuntimeError with, before the path.
_CIRCLE = "Symlink loop from "
_UTF8 = "PYTHONUTF8"
_LONGEST = 500  # characters of what a library says


class InterruptedByUserError(ActionGridError):
    """Ctrl-C in a command, past Typer, which would end it without a word."""

    exit_code = INTERRUPTED


class _Commands(TyperGroup):
    """The group of all commands."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own copy of click has no stable types
        """Run the command that the user named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _interrupted() from None


app = typer.Typer(
    name="actiongrid",
    cls=_Commands,
    help="Controlled studies of action-recognition architectures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(asked: bool) -> None:
    """Print the version, of a checkout that was never installed that it has none."""
    from importlib.metadata import PackageNotFoundError, version

    if asked:
        try:
            typer.echo(f"actiongrid {version('actiongrid')}")
        except PackageNotFoundError:
            typer.echo("actiongrid, not installed: a checkout without a version")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import", metavar="PACKAGE", help="A package with plug-ins to import (docs/plug-ins.md)."
        ),
    ] = None,
) -> None:
    """Controlled studies of action-recognition architectures."""
    use(imports or ())


app.command()(init)
app.command()(plan)
app.command()(power)
app.command()(run)
app.command()(smoke)
app.command()(status)
app.command()(pause)
app.command()(resume)
app.command()(cancel)
app.command()(retry)
app.command()(note)
app.command()(tag)
app.command()(explain)
app.command()(evaluate)
app.command()(predict)
app.command()(export)
app.command()(results)
app.command()(claims)
app.command()(dashboard)
app.command()(submit)
app.command()(report)
app.command()(doctor)
app.add_typer(data_commands.app, name="data")
app.add_typer(jobs, name="jobs")
app.add_typer(catalog_commands.app, name="catalog")


def program() -> None:
    """Be the whole process: `main`, and an end without the destructors of C++ libraries.

    These run beside threads of Arrow's that are just beginning or ending, which now and then aborts a process
    (exit code -6) that has done all that was asked.
    """
    ended = [WORK_FAILED]
    atexit.register(_leave, ended)  # before all that commands import, so that it is called after theirs
    try:
        main()
    except SystemExit as error:
        ended[0] = int(error.code or 0)
        raise


def _leave(ended: list[int]) -> None:
    logging.shutdown()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(BrokenPipeError):  # whoever read it has gone
            stream.flush()
    os._exit(ended[0])


def main() -> None:
    """Run the command of `sys.argv`: the one place that makes of an error a line on stderr and an exit code.

    What is neither of our tree, nor the operating system's, nor a library's word about files or memory, nor
    about the command line is a fault of the program: it ends with its traceback.
    """
    _use_utf8()
    try:
        code = app(_imports_first(sys.argv[1:]), prog_name="actiongrid", standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(_told(_interrupted()))
    except ActionGridError as error:
        sys.exit(_told(error))
    except OSError as error:
        sys.exit(_told(from_system(error)))
    except Exception as error:
        known = _of_library(error)
        sys.exit(_of_command_line(error) if known is None else _told(known))
    sys.exit(code or 0)


def _imports_first(words: list[str]) -> list[str]:
    """The words of a command with every `--import PACKAGE` in front: it may stand behind the command, too."""
    end = words.index("--") if "--" in words else len(words)
    first: list[str] = []
    others: list[str] = []
    given = iter(words[:end])
    for word in given:
        if word == "--import":
            package = [*islice(given, 1)]
            (first if package else others).extend([word, *package])
        else:
            (first if word.startswith("--import=") else others).append(word)
    return [*first, *others, *words[end:]]


def _use_utf8() -> None:
    """Begin again in Python's UTF-8 mode where the locale has another encoding: all our files are UTF-8.

    What this process starts (Ray, its workers, probes of videos) then reads and writes the same.
    """
    other = codecs.lookup(locale.getencoding()).name != "utf-8"
    if other and not sys.flags.utf8_mode and os.environ.get(_UTF8) != "1":
        os.environ[_UTF8] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _interrupted() -> InterruptedByUserError:
    return InterruptedByUserError("interrupted", what_to_do="run the same command again to go on")


def _told(error: ActionGridError) -> int:
    """Print an error of the tree and return its exit code."""
    sys.stderr.write(f"{'' if error.exit_code == INTERRUPTED else 'error: '}{error}\n")
    return error.exit_code


def _of_library(error: Exception) -> ActionGridError | None:
    """The error of the tree that says the same as a library's about files or memory; None: it is another."""
    text = " ".join(str(error).split())
    if text.startswith(_CIRCLE):
        return from_system(OSError(errno.ELOOP, os.strerror(errno.ELOOP), text.removeprefix(_CIRCLE)))
    if isinstance(error, MemoryError):
        return SystemFailureError("not enough memory", what_to_do="free some, or ask for less")
    if _FILES_OF_LIBRARIES.isdisjoint(_names(error)):
        return None
    return SystemFailureError(text[:_LONGEST], what_to_do="mend it, then give the same command again")


def _names(error: Exception) -> frozenset[str]:
    """The names of an error's classes: not every command has imported the library that it is of."""
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _of_command_line(error: Exception) -> int:
    """The same for what Typer raises; its errors are known by name, because it has its own copy of click."""
    names = _names(error)
    if "Abort" in names:
        sys.stderr.write("aborted\n")
        return INTERRUPTED
    if "NoArgsIsHelpError" in names:  # the help is printed by then
        return 0
    if "ClickException" not in names:
        raise error
    if "NoSuchOption" in names:
        sys.stderr.write(f"error: {_no_such_option(error)}\n")
        return BAD_INPUT
    message = getattr(error, "format_message", lambda: str(error))()
    sys.stderr.write(f"error: {message.rstrip('.')}; command line; see actiongrid --help\n")
    return BAD_INPUT


_OTHER_NAMES = {
    "--where": "--filter",
    "--select": "--filter",
    "--out": "--output",
    "--file": "--output",
    "--dir": "--storage",
    "--root": "--storage",
    "--gpu": "--gpus",
    "--cpu": "--cpus",
}
"""What an option is called elsewhere; it is meant where a command has no other that is spelt alike."""


def _no_such_option(error: Any) -> str:  # noqa: ANN401 - Typer's own copy of click has no stable types
    """Which option a command does not have, and which one was probably meant."""
    name, context = str(error.option_name), error.ctx
    known = [one for parameter in context.command.params for one in parameter.opts if one.startswith("--")]
    other = _OTHER_NAMES.get(name)
    close = other if other in known else closest_spelling(name, known)
    meant = f"did you mean {close}? all of them: " if close else "all of them: "
    return f"no option {name}; {context.command_path}; {meant}{context.command_path} --help"


if __name__ == "__main__":
    program()
