"""Sending one message to people: mail, a Slack webhook, or any webhook."""

from __future__ import annotations

import json
import os
import platform
import smtplib
import ssl
import urllib.request
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.error import HTTPError
from urllib.parse import urlsplit

from catalog.storage.errors import BAD_INPUT, ActionGridError
from orchestrator.study.model import Channel

TIMEOUT_SECONDS = 20.0
USER, PASSWORD = "ACTIONGRID_SMTP_USER", "ACTIONGRID_SMTP_PASSWORD"
"""Environment variables with what the mail server asks for, where it does."""


class NotifyError(ActionGridError):
    """A message that cannot be sent: nowhere to send it to, or nobody takes it."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Message:
    """What people are told: `kind` is `failed`, `finished`, `stuck` or `over_budget`."""

    kind: str
    study: str
    title: str
    text: str


def address_of(channel: Channel) -> str:
    """Where a channel leads.

    Raises:
        NotifyError: the environment variable that should say it is not set, or a webhook is no HTTP address.
    """
    if channel.address_from is None:
        address = channel.address or ""
    else:
        address = os.environ.get(channel.address_from, "")
        if not address:
            mend = f"set it, or give notify.to.address; export {channel.address_from}=…"
            raise NotifyError("the environment variable is not set", channel.address_from, mend)
    if channel.by != "mail" and urlsplit(address).scheme not in ("http", "https"):
        what = f"the address of a {channel.by} message is no http(s) address"
        raise NotifyError(what, channel.address_from or address, "give the webhook's whole address")
    return address


def send(channel: Channel, message: Message) -> None:
    """Send a message by one channel; returns when it was taken.

    Raises:
        NotifyError: it was not, with the reason. No address is named: webhooks' addresses are secrets.
    """
    address = address_of(channel)
    try:
        if channel.by == "mail":
            _mail(channel, address, message)
        else:
            _post(address, _body(channel, message))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        reason = f"HTTP {error.code}" if isinstance(error, HTTPError) else getattr(error, "reason", error)
        raise NotifyError(f"no {channel.by} message could be sent ({reason})", message.title) from error


def _body(channel: Channel, message: Message) -> dict[str, str]:
    """Slack takes `text`; other webhooks get the parts, and `text` for chats that read the same."""
    text = f"{message.title}\n{message.text}"
    if channel.by == "slack":
        return {"text": text}
    return {"kind": message.kind, "study": message.study, "title": message.title, "text": text}


def _post(address: str, body: dict[str, str]) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "actiongrid"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        answer.read(1 << 16)


def _mail(channel: Channel, address: str, message: Message) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["To"] = message.title.replace("\n", " "), address
    mail["From"] = channel.sender or f"actiongrid@{platform.node() or 'localhost'}"
    mail.set_content(message.text)
    host, _, port = channel.smtp.partition(":")
    with smtplib.SMTP(host, int(port or 25), timeout=TIMEOUT_SECONDS) as server:
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
            server.ehlo()
        user = os.environ.get(USER)
        if user:
            server.login(user, os.environ.get(PASSWORD, ""))
        server.send_message(mail)
