"""Serving the app on a port, until somebody stops it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from dashboards.app.access import PARAMETER, Access, require_safe
from dashboards.app.live import LiveCatalog, Remote

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8050
DEFAULT_REFRESH_SECONDS = 1.0


class ServeError(RuntimeError):
    """The dashboard cannot listen where it should."""


@dataclass(frozen=True)
class Serving:
    """Where and how the dashboard is served; `port` 0 takes a free one. `remote` is a bucket's."""

    storage: Path
    access: Access
    port: int = DEFAULT_PORT
    refresh_seconds: float = DEFAULT_REFRESH_SECONDS
    remote: Remote | None = None


def serve(serving: Serving, say: Callable[[str], None]) -> None:
    """Serve the dashboard until it is interrupted; `say` gets the address to open.

    Raises:
        AccessError: it would be open to a network without a token.
        ServeError: the port is taken, or the address is not this machine's.
    """
    require_safe(serving.access)
    from werkzeug.serving import make_server

    from dashboards.app.app import build_app

    live = LiveCatalog(serving.storage, remote=serving.remote)
    live.refresh()
    app = build_app(live, serving.access, serving.refresh_seconds)
    # One line a request is noise; warnings still come through.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    host, port = serving.access.host, serving.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ServeError(
            f"cannot listen ({error}); --host {host} --port {port}; choose another port, or stop what uses it"
        ) from error
    with listening:
        port = listening.getsockname()[1]
        server = make_server(host, port, app.server, threaded=True, fd=listening.fileno())
    try:
        say(f"dashboard of {serving.storage}: {_address(serving.access, port)}")
        say("Ctrl-C ends it")
        server.serve_forever()
    except KeyboardInterrupt:
        say("dashboard ended")
    finally:
        server.server_close()
        live.close()


def _address(access: Access, port: int) -> str:
    host = f"[{access.host}]" if ":" in access.host else access.host
    token = f"?{urlencode({PARAMETER: access.token})}" if access.token else ""
    return f"http://{host}:{port}/{token}"
