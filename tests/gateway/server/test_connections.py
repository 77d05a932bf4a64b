"""HTTP and WebSocket connections whose clients do not do their part, at a real server."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvloop
from picows import WSCloseCode

from exchange_site.operations.free_addresses import free_ports
from gateway.server import http, live
from gateway.server.frames import frame
from gateway.server.live import LiveListener
from tests.gateway.streams.consumer import consuming
from tests.matching.small_exchange import until

_MESSAGE = b"x" * 65_536


class Recorded(LiveListener):
    """Does nothing with messages."""

    def on_message(self, message: bytes) -> None:
        self.send(message)


class Served:
    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self.opened: list[Recorded] = []
        self.ended: list[LiveListener] = []
        self.loop: asyncio.AbstractEventLoop

    def in_loop(self, function: Callable[[], object]) -> None:
        done: Future[None] = Future()

        def call() -> None:
            function()
            done.set_result(None)

        self.loop.call_soon_threadsafe(call)
        done.result(20)


async def _application(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


@contextmanager
def server(connections: int = 10_000) -> Iterator[Served]:
    served, stop = Served(), threading.Event()
    ready = threading.Event()

    def listener(request: object) -> Recorded:
        made = Recorded(time.monotonic, served.ended.append)
        served.opened.append(made)
        return made

    async def body() -> None:
        served.loop = asyncio.get_running_loop()
        where = http.Listening("127.0.0.1", served.port, connections=connections)
        await http.serve(_application, listener, where, ready=lambda connections: ready.set(), stop=stop.is_set)

    thread = threading.Thread(target=lambda: uvloop.run(body()))
    thread.start()
    try:
        assert ready.wait(20)
        yield served
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_a_client_that_does_not_read_is_cut_off() -> None:
    with server() as served, consuming(f"ws://127.0.0.1:{served.port}/ws"):
        until(lambda: served.opened, "the connection")
        (listener,) = served.opened

        def is_cut_off() -> bool:
            served.in_loop(lambda: listener.send(_MESSAGE))
            return listener.was_too_slow

        until(is_cut_off, "the client to be cut off")
        until(lambda: served.ended == [listener], "the end of the connection")


def test_of_messages_that_replace_one_another_a_slow_client_gets_the_newest() -> None:
    with server() as served, consuming(f"ws://127.0.0.1:{served.port}/ws") as consumer:
        until(lambda: served.opened, "the connection")
        (listener,) = served.opened
        served.in_loop(listener.pause_writing)
        for number in range(5):
            served.in_loop(lambda number=number: listener.send_newest_frame("one", frame(b'{"number":%d}' % number)))  # type: ignore[misc]
        served.in_loop(listener.resume_writing)
        served.in_loop(lambda: listener.send(b'{"number":"last"}'))
        assert [consumer.receive()["number"] for _ in range(2)] == [4, "last"]


def test_a_client_that_answers_no_ping_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(live, "PONG_WITHIN_S", 0.2)
    with server() as served, socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        until(lambda: len(served.ended) == 1, "the end of the connection")


def test_a_client_that_answers_pings_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(live, "PONG_WITHIN_S", 5.0)
    with server() as served, consuming(f"ws://127.0.0.1:{served.port}/ws") as consumer:
        until(lambda: served.opened, "the connection")
        heard = served.opened[0]._heard_at_s
        until(lambda: served.opened[0]._heard_at_s > heard, "a pong")
        consumer.connection.send('"still here"')
        assert consumer.receive() == "still here"


@pytest.mark.parametrize("sent", [b"", b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\n"])
def test_a_client_that_does_not_finish_the_head_of_a_request_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http, "_REQUEST_S", 0.2)
    with server() as served, socket.create_connection(("127.0.0.1", served.port)) as client:
        client.settimeout(20)
        client.sendall(sent)
        assert client.recv(1000) == b""


def test_the_head_of_a_later_request_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_REQUEST_S", 0.2)
    with server() as served, socket.create_connection(("127.0.0.1", served.port)) as client:
        client.settimeout(20)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
        client.sendall(b"GET / HTTP/1.1\r\n")
        until(lambda: client.recv(1000) == b"", "the end of the connection")


def test_a_connection_too_many_is_refused_in_the_form_of_all_errors() -> None:
    with server(connections=2) as served, ExitStack() as opened:
        address = ("127.0.0.1", served.port)

        def answer() -> bytes:
            client = opened.enter_context(socket.create_connection(address, timeout=20))
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 4\r\n\r\nbody")
            return client.recv(1000)

        assert [answer().partition(b"\r\n")[0] for _ in range(2)] == [b"HTTP/1.1 200 OK"] * 2
        refused = answer()
        assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"content-type: application/json;charset=UTF-8\r\n" in refused
        assert json.loads(refused.partition(b"\r\n\r\n")[2])["code"] == -1008
        opened.close()
        until(lambda: answer().startswith(b"HTTP/1.1 200 OK"), "room for another connection")


def test_what_is_sent_in_one_turn_arrives_in_order_and_before_the_end() -> None:
    with server() as served, consuming(f"ws://127.0.0.1:{served.port}/ws") as consumer:
        until(lambda: served.opened, "the connection")
        (listener,) = served.opened

        def send_and_close() -> None:
            for number in range(1000):
                listener.send(b"%d" % number)
            listener.close(WSCloseCode.GOING_AWAY, "the end")
            listener.send(b'"too late"')

        served.in_loop(send_and_close)
        assert [consumer.receive() for _ in range(1000)] == list(range(1000))
        assert consumer.closed() == (1001, "the end")


def test_a_client_gets_the_code_of_its_close_back_after_what_was_sent() -> None:
    with server() as served, consuming(f"ws://127.0.0.1:{served.port}/ws") as consumer:
        until(lambda: served.opened, "the connection")
        consumer.connection.send('"last"')
        assert consumer.receive() == "last"
        consumer.connection.close(4000)
        assert consumer.connection.close_code == 4000
        until(lambda: len(served.ended) == 1, "the end of the connection")
        served.in_loop(lambda: served.opened[0].send(b'"too late"'))


def test_an_answer_of_the_turn_in_which_the_server_stops_arrives() -> None:
    opened: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await _application(scope, receive, send)
        for connection in tuple(opened[0]):
            connection.shutdown()

    async def body() -> bytes:
        where, stop = http.Listening("127.0.0.1", free_ports(1)[0]), asyncio.Event()
        serving = asyncio.ensure_future(
            http.serve(application, lambda request: None, where, ready=opened.append, stop=stop.is_set)
        )
        async with asyncio.timeout(60):
            while not opened:
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection("127.0.0.1", where.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await reader.read()
            writer.close()
            stop.set()
            await serving
        return answer

    assert uvloop.run(body()).endswith(b"\r\n\r\n{}")
