"""What does not answer is said within seconds, with the address; what answers is left in peace."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import pytest

from catalog.storage.answers import (
    ANSWER_VARIABLE,
    AnswerSecondsError,
    NoAnswerError,
    answer_seconds,
    require_grpc,
    require_http,
)

PATIENCE = 1.0


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ANSWER_VARIABLE, str(PATIENCE))
    monkeypatch.delenv("RAY_USE_TLS", raising=False)


@pytest.fixture
def silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def grpc_server() -> Iterator[str]:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed: a gRPC server cannot be started")
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def _http(address: str, what_to_do: str) -> None:
    require_http(f"http://{address}", what_to_do)


@pytest.mark.parametrize("require", [require_grpc, _http])
def test_what_is_not_there_or_silent_is_named(
    silent: str, closed: str, require: Callable[[str, str], None]
) -> None:
    for address, says in ((closed, "nothing answers"), (silent, f"no answer within {PATIENCE:g} s")):
        before = time.monotonic()
        with pytest.raises(NoAnswerError, match=says) as raised:
            require(address, "start it")
        assert address in raised.value.where and raised.value.what_to_do.startswith("start it")
        assert time.monotonic() - before < 10 * PATIENCE


def test_a_server_answers_also_by_a_refusal(web: str) -> None:
    require_http(f"http://{web}", "")
    with pytest.raises(NoAnswerError, match="something else than a Ray"):
        require_grpc(web, "")


def test_a_grpc_server_answers(grpc_server: str) -> None:
    require_grpc(grpc_server, "")
    with pytest.raises(NoAnswerError, match="nothing answers"):
        require_http(f"http://{grpc_server}", "")


@pytest.mark.parametrize("address", ["auto", "local", "ray://127.0.0.1:1", "127.0.0.1"])
def test_other_forms_are_left_to_ray(address: str) -> None:
    require_grpc(address, "")
    require_http(address, "")


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf"])
def test_the_time_is_a_time(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(ANSWER_VARIABLE, text)
    with pytest.raises(AnswerSecondsError, match=ANSWER_VARIABLE):
        answer_seconds()


def test_twenty_seconds_are_the_most_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ANSWER_VARIABLE)
    assert 5 <= answer_seconds() <= 20
