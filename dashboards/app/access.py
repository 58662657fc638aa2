"""Who may look: a token beyond this machine, and on it only requests that were meant for it."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import flask

from catalog.storage.errors import BAD_INPUT, ActionGridError

PARAMETER = "token"
SHORTEST_TOKEN = 16

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
}
"""The browser itself refuses to load anything from elsewhere, and to show the pages inside another site."""


class AccessError(ActionGridError):
    """An address that the dashboard must not listen on like this."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Access:
    """Where the dashboard listens, and the token that it asks for (None: nobody is asked)."""

    host: str
    token: str | None = None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_safe(access: Access) -> None:
    """Refuse to be open to a network without a token.

    Raises:
        AccessError: no token, or one that could be guessed.
    """
    if access.token is not None and len(access.token) < SHORTEST_TOKEN:
        raise AccessError(
            "token is too short",
            "--token",
            f"use {SHORTEST_TOKEN} characters or more, for example from `openssl rand -hex 16`",
        )
    if access.token is None and not is_loopback(access.host):
        raise AccessError(
            "refusing to listen beyond this machine without a token",
            f"--host {access.host}",
            "give --token, or use 127.0.0.1 with an SSH tunnel",
        )


def guard(server: flask.Flask, access: Access) -> None:
    """Check every request of a server, its Host header or its token; add the headers that browsers obey."""

    def check() -> Any:  # noqa: ANN401  (a Flask response of any kind)
        if access.token is None:
            return None if _meant_for(access.host) else flask.Response("unknown host\n", 403)
        return _ask_for(access.token)

    def protect(response: flask.Response) -> flask.Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    server.before_request(check)
    server.after_request(protect)


def _meant_for(host: str) -> bool:
    """Whether a request names this machine: a web site whose name was bound to 127.0.0.1 does not."""
    named = flask.request.host
    name = named.rsplit(":", 1)[0] if not named.endswith("]") else named
    return is_loopback(name) or name == host


def _ask_for(token: str) -> Any:  # noqa: ANN401
    given = flask.request.args.get(PARAMETER)
    if given is not None and _equal(given, token) and flask.request.method == "GET":
        rest = [(name, value) for name, value in flask.request.args.items(multi=True) if name != PARAMETER]
        # One slash: a path that begins with two would lead to another server.
        path = "/" + flask.request.path.lstrip("/")
        response = flask.redirect(path + (f"?{urlencode(rest)}" if rest else ""))
        response.set_cookie(
            _cookie(), token, httponly=True, samesite="Strict", secure=flask.request.is_secure
        )
        return response
    if _equal(flask.request.cookies.get(_cookie(), ""), token):
        return None
    return flask.Response("a token is needed: open the address that the dashboard printed\n", 401)


def _cookie() -> str:
    # Browsers keep one set of cookies for all ports of a machine, which may run several dashboards.
    return f"actiongrid-token-{flask.request.environ['SERVER_PORT']}"


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())
