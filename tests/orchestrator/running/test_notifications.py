"""Who is told what, and when: mail and webhooks as they arrive at servers that run here."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from catalog.events import AttemptEnded, AttemptStarted, CellFailed, EpochFinished
from orchestrator.running.channels import Message, NotifyError, send
from orchestrator.running.notifications import AlertState, AlertSubject, Notifier, require_addresses
from orchestrator.study.errors import StudyError
from orchestrator.study.load import parse_study
from orchestrator.study.model import Channel, Notify, Resources

MESSAGE = Message("failed", "s", "s: TAM failed", "out of memory\nMend it – then go on")
STUDY = """
name: s
axes: {module: [tsn], backbone: [tiny], frames: [8], dataset: [synthetic-motion]}
recipe: {base: {init: random, epochs: 1, batch_size: 8, crop_size: 32}}
"""


class Hooks:
    """A web server that keeps what is posted to it; `/slow` never answers, `/no` refuses."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hooks.got.append((self.path, body))
                self.send_response(500 if self.path == "/no" else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"


class Mails(socketserver.ThreadingTCPServer):
    """A mail server that keeps what it is given (RFC 5321, as far as a client needs)."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.commands: list[str] = []
        mails = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 here\r\n")
                while line := self.rfile.readline():
                    word = line.split()[0].upper() if line.split() else b""
                    mails.commands.append(line.decode().strip())
                    if word == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        text = b""
                        while (part := self.rfile.readline()) != b".\r\n":
                            text += part
                        mails.got.append(text)
                    if word == b"QUIT":
                        self.wfile.write(b"221 bye\r\n")
                        return
                    self.wfile.write(b"250 fine\r\n")

        super().__init__(("127.0.0.1", 0), Handler)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    hooks = Hooks()
    with serving(hooks.server):
        yield hooks


@pytest.fixture
def mails() -> Iterator[Mails]:
    mails = Mails()
    with serving(mails):
        yield mails


def test_slack_and_webhooks_get_what_they_read(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOOK", hooks.url("/slack/secret"))
    send(Channel(by="slack", address_from="LAB_HOOK"), MESSAGE)
    send(Channel(by="webhook", address=hooks.url("/any")), MESSAGE)
    text = "s: TAM failed\nout of memory\nMend it – then go on"
    whole = {"kind": "failed", "study": "s", "title": "s: TAM failed", "text": text}
    assert hooks.got == [("/slack/secret", {"text": text}), ("/any", whole)]


def test_mail_arrives(mails: Mails) -> None:
    server = f"127.0.0.1:{mails.server_address[1]}"
    send(Channel(by="mail", address="you@lab.example", smtp=server, sender="grid@lab.example"), MESSAGE)
    (mail,) = [message_from_bytes(one, policy=policy.default) for one in mails.got]
    assert (mail["Subject"], mail["To"]) == ("s: TAM failed", "you@lab.example")
    assert mail.get_content().splitlines() == MESSAGE.text.splitlines()
    assert any(one.startswith("rcpt TO:<you@lab.example>") for one in mails.commands)


def test_what_cannot_be_sent_names_no_secret(hooks: Hooks) -> None:
    with pytest.raises(NotifyError, match="no slack message could be sent") as caught:
        send(Channel(by="slack", address=hooks.url("/no")), MESSAGE)
    assert str(hooks.server.server_port) not in str(caught.value) and "HTTP 500" in str(caught.value)
    hooks.server.server_close()
    with pytest.raises(NotifyError, match="could be sent"):
        send(Channel(by="mail", address="a@b", smtp="127.0.0.1:1"), MESSAGE)


def test_a_channel_that_leads_nowhere_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(NotifyError, match=r"not set; NOT_SET; set it"):
        require_addresses(Notify(to=(Channel(by="slack", address_from="NOT_SET"),)))
    with pytest.raises(NotifyError, match=r"no http\(s\) address"):
        require_addresses(Notify(to=(Channel(by="webhook", address="file:///etc/passwd"),)))
    require_addresses(None)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("{to: []}", "notify.to"),
        ("{to: [{by: pigeon, address: a}]}", "by"),
        ("{to: [{by: mail}]}", "give one of `address` and `address_from`"),
        ("{to: [{by: mail, address: a@b, when: [over_budget]}]}", "`over_budget` needs `budget_hours`"),
        ("{to: [{by: mail, address: a@b}], stuck_after_minutes: 0}", "stuck_after_minutes"),
    ],
)
def test_a_wrong_field_is_said_at_plan_time(fields: str, says: str) -> None:
    with pytest.raises(StudyError, match="notify") as caught:
        parse_study(f"{STUDY}notify: {fields}\n", "s.yaml", Path())
    assert says in str(caught.value)


def alerts(**fields: Any) -> AlertState:
    notify = Notify(to=(Channel(by="mail", address="a@b"),), **fields)
    cells = {"k1": ("TAM", Resources(gpus_per_worker=2)), "k2": ("TSN", Resources(gpus_per_worker=1))}
    return AlertState(notify, AlertSubject("s", cells, spent_hours=1.0, again="actiongrid run s.yaml"))


def epoch(key: str, number: int) -> EpochFinished:
    return EpochFinished(key, number, 1, 1.0, 50.0, 0.1, 1.0, 50.0, 90.0, 10.0, 5.0)


def test_a_failed_cell_is_told_with_the_way_out() -> None:
    (message,) = alerts().see(CellFailed("k1", 3, "OutOfMemoryError: no memory", "runs/k1/log.txt"), 10.0)
    assert (message.kind, message.title) == ("failed", "s: TAM failed")
    assert message.text.splitlines() == [
        "OutOfMemoryError: no memory",
        "Log: runs/k1/log.txt",
        "Mend the cause, then: actiongrid run s.yaml",
    ]


def test_nothing_happening_is_told_once_and_again_after_an_epoch() -> None:
    one = alerts(stuck_after_minutes=10)
    assert one.look(10_000.0) == []  # nothing runs
    one.see(AttemptStarted("k1", 1, "d", "h", "runs/k1"), 0.0)
    assert one.look(599.0) == []
    (message,) = one.look(660.0)
    assert (message.kind, message.text) == ("stuck", "In training: TAM")
    assert "for 11 minutes" in message.title
    assert one.look(9_000.0) == []
    one.see(epoch("k1", 1), 9_000.0)
    assert one.look(9_500.0) == [] and one.look(9_601.0)[0].kind == "stuck"
    one.see(AttemptEnded("k1", 1, "done"), 9_700.0)
    assert one.look(99_999.0) == []


def test_hours_beyond_the_budget_are_told_once() -> None:
    one = alerts(budget_hours=4.0, stuck_after_minutes=1e6)
    one.see(AttemptStarted("k1", 1, "d", "h", "runs/k1"), 0.0)
    one.see(AttemptStarted("k2", 1, "d", "h", "runs/k2"), 0.0)
    assert one.hours(1800.0) == pytest.approx(1.0 + 0.5 * 3)
    one.see(AttemptEnded("k2", 1, "done"), 1800.0)
    assert one.look(3600.0) == []  # 1 h before, 2 h of k1, half an hour of k2
    (message,) = one.look(5000.0)
    assert message.kind == "over_budget" and "of 4 GPU-hours" in message.title
    assert one.look(9000.0) == []


def test_the_end_is_told_with_counts() -> None:
    assert alerts().ended({"a": "done", "b": "done"}).title == "s: all of 2 cells are done"
    rest = alerts().ended({"a": "done", "b": "failed"})
    assert rest.title == "s: not all of 2 cells are done"
    assert rest.text == "1 done, 1 failed\nGo on with: actiongrid run s.yaml"


def test_a_notifier_sends_what_each_channel_wants_and_never_holds_up(hooks: Hooks) -> None:
    said: list[str] = []
    channels = (
        Channel(by="webhook", address=hooks.url("/all")),
        Channel(by="webhook", address=hooks.url("/ends"), when=("finished",)),
        Channel(by="webhook", address=hooks.url("/no"), when=("failed",)),
    )
    notifier = Notifier(Notify(to=channels), alerts().about, said.append)
    notifier.start()
    began = time.monotonic()
    notifier.see(CellFailed("k1", 1, "error", None))
    assert time.monotonic() - began < 1.0
    notifier.end({"a": "done"})
    assert [(path, body["kind"]) for path, body in hooks.got] == [
        ("/all", "failed"),
        ("/no", "failed"),
        ("/all", "finished"),
        ("/ends", "finished"),
    ]
    assert len(said) == 1 and said[0].startswith("warning: no webhook message could be sent")
