"""Serving an app over HTTP: waitress, with limits on what one client can take from the others."""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MOST_BODY = 2 << 20
"""Bytes of a request's body; the largest that the pages send have some kilobytes."""
MOST_HEADERS = 64 << 10
"""Bytes of a request's headers, its address included."""
REQUESTS_AT_ONCE = 16


@dataclass(frozen=True)
class Patience:
    """How long clients are waited for, in seconds."""

    request: float = 15.0
    """From a request's first byte to its last one."""
    idle: float = 75.0
    """Before and between requests, and between two bytes of an answer that are taken.

    Browsers open connections in advance; to close one while its request is on the way is an error there.
    """


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no annotations
    """A connection. Waitress itself would wait for ever for a client that sends a byte now and then."""

    began: float | None = None
    """Since when a request is arriving."""
    asked: bool = False
    """Whether a whole request has arrived."""

    def received(self, data: bytes) -> bool:
        """Take in some bytes."""
        taken = bool(super().received(data))
        if self.request is None:
            self.began, self.asked = None, True
        elif self.began is None:
            self.began = time.monotonic()
        return taken

    def is_waited_for(self) -> bool:
        """Whether nothing is to be done for this client but to wait for it."""
        return not self.requests and not self.total_outbufs_len


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """Closes connections whose requests do not arrive, and where there are too many, the slowest."""

    channel_class = _Channel
    patience = Patience()

    def maintenance(self, now: float) -> None:
        """Close what was waited for too long; called once a second."""
        super().maintenance(now)
        latest = time.monotonic() - self.patience.request
        for channel in list(self.active_channels.values()):
            if channel.began is not None and channel.began < latest and not channel.requests:
                channel.will_close = True

    def readable(self) -> bool:
        """Whether new connections are taken; where there are too many, the slowest make room."""
        if len(self._map) >= self.adj.connection_limit:
            waiting = [one for one in list(self.active_channels.values()) if one.is_waited_for()]
            waiting.sort(key=lambda one: (one.asked and one.began is None, one.last_activity))
            for channel in waiting[: 1 + len(waiting) // 8]:
                channel.will_close = True
        return bool(super().readable())


def listen_on(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def serve_on(
    listening: socket.socket,
    app: WSGIApplication,
    ending: Callable[[], None],
    patience: Patience | None = None,
) -> None:
    """Answer requests until Ctrl-C; then call `ending` and wait for the last answers.

    Larger bodies get 413, larger headers 431, before anything of the app sees them.

    Raises:
        KeyboardInterrupt: that is how it ends.
    """
    # A full queue and a client that went away are no news for whoever reads the terminal.
    logging.getLogger("waitress").setLevel(logging.ERROR)
    server = _server(listening, app, patience or Patience())
    try:
        server.asyncore.loop(timeout=1, map=server._map, use_poll=True)
    except KeyboardInterrupt:
        ending()
        server.task_dispatcher.shutdown()
        raise
    finally:
        server.asyncore.close_all(server._map, ignore_all=True)


def _server(listening: socket.socket, app: WSGIApplication, patience: Patience) -> _Server:
    limits = Adjustments(
        threads=REQUESTS_AT_ONCE,
        connection_limit=_connections(),
        max_request_body_size=MOST_BODY,
        max_request_header_size=MOST_HEADERS,
        channel_timeout=patience.idle,
        cleanup_interval=1,  # seconds
        # An answer is kept until its client has taken it (on disk beyond a megabyte): no thread waits.
        outbuf_high_watermark=256 << 20,
        log_socket_errors=False,
        ident=None,
    )
    place = (listening.family, listening.type, listening.proto, listening.getsockname())
    server = _Server(app, {}, _sock=listening, adj=limits, bind_socket=False, sockinfo=place)
    server.patience = patience
    return server


def _connections() -> int:
    """Connections at once: half of the files that this process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 512 if files == resource.RLIM_INFINITY else max(16, min(512, files // 2))
