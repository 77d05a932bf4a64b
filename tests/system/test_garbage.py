"""Garbage and oversized frames on every socket: the engine keeps answering, and its memory stays bounded."""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import pytest
import zmq

from matching.client.client import Client
from matching.transport import wire
from matching.transport.sockets import RawSocket
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import PATIENCE_S, deposit, until
from tests.system.conftest import Process, Start

pytestmark = pytest.mark.processes

GROWTH_BYTES = 200 << 20
SOCKETS = ["COMMAND", "BLOCK", "RETRANSMIT"]


@dataclass
class Attacked:
    """A running engine with BTC-USD, and its memory before the attack."""

    process: Process
    memory_bytes: int

    def address(self, name: str) -> str:
        return self.process.address(name)

    def bad_messages(self) -> int:
        """The engine's count of bad messages so far."""
        with Client(self.address("COMMAND")) as client:
            return int(client.status()["counters"]["bad_messages"])

    def assert_it_works(self, reference: str) -> None:
        with Client(self.address("COMMAND")) as client:
            assert client.call([deposit(1, reference)])[0].rejected is None
        assert self.process.memory_bytes() < self.memory_bytes + GROWTH_BYTES

    def assert_it_works_and_stops_in_order(self) -> None:
        self.assert_it_works("afterwards")
        assert self.process.stop() == 0
        assert "Traceback" not in "".join(self.process.errors)


@pytest.fixture
def engine(start: Start) -> Attacked:
    process = start("run_engine").wait_until_ready()
    with Client(process.address("COMMAND")) as client:
        client.call(DEFINITIONS)
    return Attacked(process, process.memory_bytes())


@pytest.fixture
def context() -> Iterator[zmq.Context[RawSocket]]:
    made: zmq.Context[RawSocket] = zmq.Context()
    made.setsockopt(zmq.LINGER, 0)  # also for sockets that the garbage collector closes
    yield made
    made.destroy()


def host_and_port(address: str) -> tuple[str, int]:
    host, port = address.removeprefix("tcp://").split(":")
    return host, int(port)


@pytest.mark.parametrize("name", SOCKETS)
def test_random_frames_are_counted_and_do_no_harm(engine: Attacked, context: zmq.Context[RawSocket], name: str) -> None:
    source = random.Random(name)
    verbs = [wire.COMMANDS, wire.REGISTRY, wire.STATE, wire.BLOCKS, wire.CONFIRM, b"\x01", b"\x00"]
    for kind in (zmq.DEALER, zmq.REQ, zmq.SUB, zmq.XSUB, zmq.PUSH, zmq.ROUTER, zmq.PAIR):
        peer = context.socket(kind)
        peer.connect(engine.address(name))
        for _ in range(500):
            frames = [source.randbytes(source.randrange(300)) for _ in range(source.randrange(1, 6))]
            if source.random() < 0.5:
                frames[0] = source.choice(verbs)
            with suppress(zmq.ZMQError):  # some socket types cannot send, or not to this peer
                peer.send_multipart(frames, zmq.DONTWAIT)
    if name != "BLOCK":  # a PUB socket reads subscriptions only, and drops other messages itself
        until(lambda: engine.bad_messages() > 0, "the engine to count a bad message")
    engine.assert_it_works_and_stops_in_order()


def oversized(name: str) -> list[list[bytes]]:
    """Messages with a frame over the limit of this socket."""
    if name == "BLOCK":
        # A PUB socket reads subscriptions only; megabytes of them overflow the stack of the sender.
        return [[b"\x01" + bytes(size)] for size in (1 << 10, 16 << 10)]
    verbs = (wire.COMMANDS, wire.BLOCKS, wire.STATUS)
    return [[verb, bytes(megabytes << 20)] for verb, megabytes in product(verbs, (3, 64))]


@pytest.mark.parametrize("name", SOCKETS)
def test_an_oversized_frame_closes_the_connection(engine: Attacked, context: zmq.Context[RawSocket], name: str) -> None:
    for frames in oversized(name):
        peer = context.socket(zmq.XSUB if name == "BLOCK" else zmq.DEALER)
        ends = peer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        peer.connect(engine.address(name))
        peer.send_multipart(frames)
        assert ends.poll(int(PATIENCE_S * 1000)), f"a frame of {len(frames[-1])} bytes was accepted"
        peer.disable_monitor()
        peer.close()
    engine.assert_it_works_and_stops_in_order()


@pytest.mark.parametrize("name", [*SOCKETS, "HTTP"])
def test_bytes_of_another_protocol_end_only_their_own_connection(engine: Attacked, name: str) -> None:
    source = random.Random(name)
    greeting = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00NULL" + bytes(48)
    for turn in range(60):
        connected = socket.create_connection(host_and_port(engine.address(name)), timeout=10)
        with connected as peer, suppress(OSError):  # the engine closes the connection while we send
            for data in (greeting[: turn % 65], source.randbytes(200_000), b"GET / HTTP/1.1\r\n\r\n"):
                peer.sendall(data)
        if turn % 20 == 0:
            engine.assert_it_works(f"meanwhile {turn}")
    engine.assert_it_works_and_stops_in_order()


@pytest.mark.parametrize("name", [*SOCKETS, "HTTP"])
def test_silent_connections_do_no_harm(engine: Attacked, name: str) -> None:
    peers = [socket.create_connection(host_and_port(engine.address(name)), timeout=10) for _ in range(100)]
    with Client(engine.address("COMMAND")) as client:
        assert client.call([deposit(1, "meanwhile")])[0].rejected is None
    for peer in peers:
        peer.close()
    engine.assert_it_works_and_stops_in_order()


@pytest.mark.parametrize(
    ("name", "frames"),
    [("COMMAND", [wire.STATE, b"12345678"]), ("RETRANSMIT", [wire.BLOCKS, *wire.encode_numbers(1, 3)])],
)
def test_a_flood_of_questions_from_a_client_that_does_not_read_delays_nobody_else(
    engine: Attacked, context: zmq.Context[RawSocket], name: str, frames: list[bytes]
) -> None:
    peer = context.socket(zmq.DEALER)
    peer.setsockopt(zmq.RCVHWM, 1)
    peer.setsockopt(zmq.SNDTIMEO, 1000)
    peer.connect(engine.address(name))
    sent = 0
    with suppress(zmq.Again):  # the engine stops reading when the queue of answers is full
        while sent < 50_000:
            peer.send_multipart(frames)
            sent += 1
    assert sent > 100
    engine.assert_it_works("while the questions wait")
    engine.assert_it_works_and_stops_in_order()
