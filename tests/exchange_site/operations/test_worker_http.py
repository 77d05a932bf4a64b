"""The HTTP server of a worker, over real sockets."""

import http.client
import json
import socket
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import Counter

from exchange_site.configuration.addresses import AddressError, PortInUseError
from exchange_site.operations.health import Check
from exchange_site.operations.worker_http import WorkerServer, serve

SEEN = Counter("worker_http_test_requests", "Counts for these tests.")


@pytest.fixture
def state() -> dict[str, bool]:
    return {"ok": True}


@pytest.fixture
def server(free_port: Callable[[], int], state: dict[str, bool]) -> Iterator[WorkerServer]:
    with serve(f"127.0.0.1:{free_port()}", {"store": lambda: Check(state["ok"], 0.5)}) as running:
        yield running


def ask(server: WorkerServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_ready_reflects_the_checks(server: WorkerServer, state: dict[str, bool]) -> None:
    status, body = ask(server, "/health/ready")
    assert status == 200
    assert json.loads(body) == {"status": "ok", "checks": {"store": {"ok": True, "latency_ms": 0.5}}}

    state["ok"] = False
    assert ask(server, "/health/ready")[0] == 503
    assert ask(server, "/health/live")[0] == 200


def test_metrics_of_this_process(server: WorkerServer) -> None:
    SEEN.inc()
    status, body = ask(server, "/metrics")

    assert status == 200
    assert b"worker_http_test_requests_total 1.0" in body


def test_other_paths_and_methods(server: WorkerServer) -> None:
    assert ask(server, "/") == (404, b"{}")
    assert ask(server, "/health/live", "POST") == (405, b"{}")
    assert ask(server, "/health/live", "HEAD") == (200, b"")


@pytest.mark.parametrize("garbage", [b"\x00\xff\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /" + b"a" * 100_000, b""])
def test_invalid_requests_do_not_stop_the_server(
    server: WorkerServer, garbage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(garbage)

    assert ask(server, "/health/live")[0] == 200
    assert "Traceback" not in capsys.readouterr().err


def test_a_port_in_use_is_one_sentence(server: WorkerServer) -> None:
    with pytest.raises(PortInUseError, match=f"127.0.0.1:{server.port} cannot be used: Address already in use"):
        serve(f"127.0.0.1:{server.port}", {})


def test_an_invalid_address_is_one_sentence() -> None:
    with pytest.raises(AddressError, match="'nowhere' is not HOST:PORT"):
        serve("nowhere", {})


def test_a_closed_server_frees_its_port(free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    serve(address, {}).close()

    with serve(address, {}) as again:
        assert ask(again, "/health/live")[0] == 200


def test_an_idle_client_does_not_delay_closing(free_port: Callable[[], int]) -> None:
    port = free_port()
    server = serve(f"127.0.0.1:{port}", {})
    with socket.create_connection(("127.0.0.1", port)):
        server.close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
