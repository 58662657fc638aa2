"""`actiongrid dashboard`: the live web app over a storage; it reads the journals and writes nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.commands.common import StorageOption, existing_storage


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
    storage: StorageOption = None,
) -> None:
    """Open a live view of the grid in the browser, also while it runs. Ctrl-C ends it."""
    from dashboards.app.access import Access
    from dashboards.app.app import Serving, serve

    serving = Serving(existing_storage(storage), Access(host, token), port, refresh)
    serve(serving, typer.echo)
