"""Who may look: a token beyond this machine, on it only requests meant for it; never other sites' pages."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import flask

from catalog.storage.errors import BAD_INPUT, ActionGridError

PARAMETER = "token"
SHORTEST_TOKEN = 16
PAGE_ENDPOINTS = ("/", "/<path:path>")
"""Dash's names of what answers with the page."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_POLICY = (
    "default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""The browser itself refuses to load anything from elsewhere, to run other scripts than the app's files and
the two in its page, and to show the pages inside another site."""


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
    """Check of every request its Host header or its token, and that no other site's page sent it."""

    def check() -> Any:  # noqa: ANN401  (a Flask response of any kind)
        if access.token is None and not _meant_for(access.host):
            return flask.Response("unknown host\n", 403)
        if _is_foreign():
            return flask.Response("another site's page must not ask this\n", 403)
        return None if access.token is None else _ask_for(access.token)

    server.before_request(check)


def protect(server: flask.Flask, scripts: Sequence[str]) -> None:
    """Add the headers that browsers obey; `scripts` are the hashes of those in the page itself."""
    policy = _POLICY.format(scripts=" ".join(scripts))

    def add(response: flask.Response) -> flask.Response:
        for name, value in {**_HEADERS, "Content-Security-Policy": policy}.items():
            response.headers.setdefault(name, value)
        if not response.cache_control.max_age and "ETag" not in response.headers:
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    server.after_request(add)


def _meant_for(host: str) -> bool:
    """Whether a request names this machine: a web site whose name was bound to 127.0.0.1 does not."""
    named = flask.request.host
    name = named.rsplit(":", 1)[0] if not named.endswith("]") else named
    return is_loopback(name) or name == host


def _is_foreign() -> bool:
    """Whether a page of another site, or of another port of this machine, sent the request.

    Current browsers say it themselves (Sec-Fetch-Site, W3C "Fetch Metadata Request Headers") where they trust
    the connection; else they name the page's origin with every POST. Scripts and older browsers say nothing.
    """
    headers = flask.request.headers
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none") and not _follows_link()
    given = headers.get("Origin") or headers.get("Referer")
    return given is not None and _place(given) != flask.request.host.lower()


def _follows_link() -> bool:
    """Whether somebody opens a page by a link elsewhere. A statement is never run like this."""
    wanted = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    return (
        flask.request.method == "GET"
        and flask.request.endpoint in PAGE_ENDPOINTS
        and all(flask.request.headers.get(name) == value for name, value in wanted.items())
    )


def _place(address: str) -> str:
    """The host and port of an origin or address; empty where it has none."""
    try:
        parts = urlsplit(address)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        name = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
        return name if parts.port in (None, usual) else f"{name}:{parts.port}"
    except ValueError:
        return ""


def _ask_for(token: str) -> Any:  # noqa: ANN401
    given = flask.request.args.get(PARAMETER)
    if given is not None and _equal(given, token) and flask.request.method == "GET":
        return _admit(token)
    carried = flask.request.headers.get("Authorization", "").removeprefix("Bearer ")
    if _equal(flask.request.cookies.get(_cookie(), ""), token) or _equal(carried, token):
        return None
    return flask.Response("a token is needed: open the address that the dashboard printed\n", 401)


def _admit(token: str) -> flask.Response:
    """Lead to the same address without the token, which the browser keeps as a cookie."""
    rest = [(name, value) for name, value in flask.request.args.items(multi=True) if name != PARAMETER]
    # One slash, and nothing that a browser takes for one: two at the beginning lead to another server.
    path = "/" + quote(flask.request.path.lstrip("/\\"))
    response = flask.Response(
        status=302, headers={"Location": path + (f"?{urlencode(rest)}" if rest else "")}
    )
    response.set_cookie(_cookie(), token, httponly=True, samesite="Strict", secure=flask.request.is_secure)
    return response


def _cookie() -> str:
    # Browsers keep one set of cookies for all ports of a machine, which may run several dashboards.
    return f"actiongrid-token-{flask.request.environ['SERVER_PORT']}"


def _equal(given: str, token: str) -> bool:
    # A header's or cookie's bytes need not be UTF-8.
    return hmac.compare_digest(given.encode(errors="replace"), token.encode(errors="replace"))
