"""Whether another machine answers at all, found out within seconds, before a library waits for minutes."""

from __future__ import annotations

import math
import os
import socket
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import urlsplit

from catalog.storage.errors import BAD_INPUT, ActionGridError

ANSWER_VARIABLE = "ACTIONGRID_ANSWER_SECONDS"
_ANSWER_SECONDS = 10.0
# What opens an HTTP/2 connection: the preface and empty settings (RFC 9113, section 3.4). Every gRPC server,
# and none of another kind, answers with its own settings, whose frame has the type 4.
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_TYPE, _SETTINGS, _HEAD_BYTES = 3, 4, 9


class NoAnswerError(ActionGridError):
    """An address at which nothing answers, or something else than what was looked for."""


class AnswerSecondsError(ActionGridError):
    """The variable that says how long to wait holds no such time."""

    exit_code = BAD_INPUT


def answer_seconds() -> float:
    """How long another machine may take to answer: `ACTIONGRID_ANSWER_SECONDS`, else 10.

    Raises:
        AnswerSecondsError: the variable holds no time above zero.
    """
    text = os.environ.get(ANSWER_VARIABLE, "").strip()
    try:
        seconds = float(text) if text else _ANSWER_SECONDS
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise AnswerSecondsError(
            "no time above zero", f"{ANSWER_VARIABLE}={text}", "give seconds, such as 15"
        )
    return seconds


def require_grpc(address: str, what_to_do: str) -> None:
    """Return if a gRPC server answers at `host:port`; any other form of address is not looked at.

    Raises:
        NoAnswerError: nothing listens there, nothing answers in time, or something else does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        return
    limit = answer_seconds()
    try:
        head = _first_frame(host.strip("[]"), int(port), limit)
    except TimeoutError:
        raise _silent(address, limit, what_to_do) from None
    except (OSError, OverflowError) as error:
        raise NoAnswerError(f"nothing answers ({error})", address, what_to_do) from error
    if len(head) == _HEAD_BYTES and head[_TYPE] != _SETTINGS:
        raise NoAnswerError("something else than a Ray answers", address, what_to_do)


def _first_frame(host: str, port: int, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    with socket.create_connection((host, port), seconds) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
            return b""
        connection.sendall(_HTTP2)
        head = b""
        while len(head) < _HEAD_BYTES:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            more = connection.recv(_HEAD_BYTES - len(head))
            if not more:
                raise ConnectionError("the connection was closed")
            head += more
    return head


def require_http(url: str, what_to_do: str) -> None:
    """Return if an HTTP server answers at `url`, be it by a refusal; no other address is looked at.

    Raises:
        NoAnswerError: nothing listens there, nothing answers in time, or something else does.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        return
    limit = answer_seconds()
    try:
        with urllib.request.urlopen(url, timeout=limit):
            return
    except urllib.error.HTTPError:
        return
    except TimeoutError:
        raise _silent(url, limit, what_to_do) from None
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise _silent(url, limit, what_to_do) from None
        raise NoAnswerError(f"nothing answers ({reason})", url, what_to_do) from error


def _silent(address: str, seconds: float, what_to_do: str) -> NoAnswerError:
    return NoAnswerError(
        f"no answer within {seconds:g} s", address, f"{what_to_do}; {ANSWER_VARIABLE} waits longer"
    )
