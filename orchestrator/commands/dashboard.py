"""`actiongrid dashboard`: the live web app over a storage; it shows journals and gives drivers commands."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from orchestrator.commands.common import StorageOption, chosen_storage, existing_storage


def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on; beyond this machine: give --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8050,
    token: Annotated[
        str | None,
        typer.Option(envvar="ACTIONGRID_TOKEN", help="What browsers must know (16 characters or more)."),
    ] = None,
    refresh: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks at the journals.")] = 1.0,
    wait: Annotated[
        bool, typer.Option("--wait", help="The storage may be still to be made, as by a run beside this.")
    ] = False,
    commands: Annotated[
        bool | None,
        typer.Option(
            "--commands/--read-only",
            help="Whether pages take commands, notes and tags. Default: where a token is asked for.",
        ),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Open a live view of the grid in the browser, also while it runs. Ctrl-C ends it."""
    from dashboards.app.access import Access
    from dashboards.app.app import Serving, serve
    from orchestrator.commands.control import annotate, give
    from orchestrator.evaluation.shown_videos import ShownVideos

    chosen = chosen_storage(storage) if wait else existing_storage(storage)
    # Without a token whoever has an account on this machine can reach the port.
    wanted = token is not None if commands is None else commands
    told = partial(give, storage=chosen) if wanted else None
    written = partial(annotate, storage=chosen) if wanted else None
    serving = Serving(chosen, Access(host, token), port, refresh, told, ShownVideos(chosen), written)
    serve(serving, typer.echo)
