"""Attack 12: clients that send or read slowly. Pages and health checks of the web answer as if they were not there."""

import contextlib
import shutil
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.matching.small_exchange import until
from tests.system.background import in_background
from tests.system.forking_site import Program

WEB = ["-m", "gunicorn", "--config", "exchange_site/gunicorn_conf.py", "exchange_site.asgi"]
CONNECTIONS = 200
ANSWER_S = 10.0
"""Generous, because tests share the machine; with the attack, a web that fails answers nothing at all."""
DRIP_S = 0.2
STATIC = "/static/unfold/css/styles.css"
PAGES = ("/health/live", "/health/ready", "/metrics", "/admin/login/", STATIC)

Drip = Callable[[socket.socket], object]

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


class Web:
    def __init__(self, environment: dict[str, str]) -> None:
        self.host, _, port = environment["WEB_ADDRESS"].rpartition(":")
        self.port = int(port)
        self.program = Program(WEB, environment)

    def get(self, path: str) -> bytes:
        url = f"http://{self.host}:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            return answer.read()  # type: ignore[no-any-return]

    def answers(self) -> bool:
        try:
            return self.get("/health/live") != b""
        except OSError:
            return False

    def connect(self) -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(ANSWER_S)
        made.connect((self.host, self.port))
        return made

    def counted(self, sample: str) -> float:
        """The value of a sample in the metrics, such as `name{label="value"}`; 0 if it is not there."""
        lines = self.get("/metrics").decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} ")), 0)

    def logged(self, words: str) -> bool:
        return any(words in line for line in self.program.lines)


@pytest.fixture
def start_web(process_environment: dict[str, str], empty_store: Path) -> Iterator[Callable[..., Web]]:
    shutil.copy(empty_store, process_environment["DATA_DIR"])
    started: list[Web] = []

    def start(**settings: str) -> Web:
        started.append(Web({**process_environment, **settings}))
        until(started[-1].answers, "the web server", 60)
        return started[-1]

    yield start
    for web in started:
        web.program.stop()


HEAD = b"POST /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
REQUESTS: dict[str, bytes] = {
    "headers": HEAD,
    "body": HEAD + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10000\r\n\r\n",
    "response": f"GET {STATIC} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() * 20,
}
DRIPS: dict[str, bytes] = {"headers": b"X-Header: 1\r\n", "body": b"a", "response": b"\r\n"}
"""No drip ends a request. The client of a response sends one, too: if its connection was closed, a reset comes back."""
TCP_ESTABLISHED = 1  # tcpi_state in Linux


@contextlib.contextmanager
def slow_clients(web: Web, kinds: list[str]) -> Iterator[list[socket.socket]]:
    """CONNECTIONS clients, which continue to drip until the block ends."""
    with contextlib.ExitStack() as ends:
        clients = [(ends.enter_context(web.connect()), kinds[number % len(kinds)]) for number in range(CONNECTIONS)]
        for client, kind in clients:
            client.sendall(REQUESTS[kind])

        def drip(stop: threading.Event) -> None:
            while not stop.wait(DRIP_S):
                for client, kind in clients:
                    with contextlib.suppress(OSError):  # disconnected
                        client.sendall(DRIPS[kind])

        with in_background(drip):
            yield [client for client, _ in clients]


@pytest.mark.parametrize("kinds", [["headers"], ["body"], ["response"], ["headers", "body", "response"]], ids="-".join)
def test_health_and_pages_answer_while_slow_clients_are_connected(
    start_web: Callable[..., Web], kinds: list[str]
) -> None:
    web = start_web(WEB_REQUEST_SECONDS="120", WEB_RESPONSE_SECONDS="120")
    with slow_clients(web, kinds):
        for page in PAGES * 2:
            began = time.monotonic()
            assert web.get(page)
            assert time.monotonic() - began < ANSWER_S


def test_slow_clients_are_disconnected_and_reported(start_web: Callable[..., Web]) -> None:
    web = start_web(WEB_REQUEST_SECONDS="2", WEB_RESPONSE_SECONDS="3")
    with slow_clients(web, ["headers", "body", "response"]) as clients:
        until(lambda: all(map(is_closed, clients)), "the end of all slow connections", 60)
    until(lambda: web.logged("event='site.slow_clients_closed'"), "the log line")
    assert web.counted('web_closed_connections_total{limit="slow"}') == CONNECTIONS


def is_closed(client: socket.socket) -> bool:
    """Whether the server has ended the connection. Reads and sends nothing."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_ESTABLISHED


def test_more_connections_than_the_limit_close_the_slowest_and_not_the_newest(start_web: Callable[..., Web]) -> None:
    web = start_web(WEB_CONNECTIONS="50", WEB_REQUEST_SECONDS="120")
    with slow_clients(web, ["headers"]) as clients:
        for page in PAGES:
            assert web.get(page)
        until(lambda: sum(map(is_closed, clients)) >= CONNECTIONS - 50, "the end of the first connections")
        assert web.counted('web_closed_connections_total{limit="connections"}') >= CONNECTIONS - 50
        assert 1 <= web.counted("web_connections") <= 50
    until(lambda: web.logged("event='site.connections_exceeded'"), "the log line")


def test_a_body_that_is_too_large_is_refused(start_web: Callable[..., Web]) -> None:
    web = start_web()
    with web.connect() as client:
        client.sendall(HEAD + b"Content-Length: 10000000\r\n\r\n" + b"a" * 300_000)
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    assert web.counted('web_refused_requests_total{reason="too_large"}') == 1


def test_a_static_file_is_whole(start_web: Callable[..., Web]) -> None:
    web = start_web()
    assert b"--color-primary" in web.get(STATIC)
    assert not web.logged("Warning")
