"""Garbage and oversized frames on every socket of a running engine: it lives, it answers, its memory is bounded."""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import product

import pytest
import zmq

from matching.client.client import Client
from matching.transport import wire
from matching.transport.sockets import RawSocket
from tests.matching.small_exchange import DEFINITIONS, deposit
from tests.system.conftest import Process, Start

pytestmark = pytest.mark.processes

GROWTH_BYTES = 200 << 20
SOCKETS = ["COMMAND", "BLOCK", "RETRANSMIT"]


@pytest.fixture
def engine(start: Start) -> Iterator[Process]:
    process = start("run_engine").wait_until_ready()
    with Client(process.address("COMMAND")) as client:
        client.call(DEFINITIONS)
    before = process.memory_bytes()
    yield process
    with Client(process.address("COMMAND")) as client:
        assert client.call([deposit(1, "afterwards")])[0].rejected is None
    assert process.memory_bytes() < before + GROWTH_BYTES
    assert process.stop() == 0
    assert "Traceback" not in "".join(process.errors)


@pytest.fixture
def context() -> Iterator[zmq.Context[RawSocket]]:
    made: zmq.Context[RawSocket] = zmq.Context()
    made.setsockopt(zmq.LINGER, 0)  # for sockets that are closed when nobody holds them any more, too
    yield made
    made.destroy()


def host_and_port(address: str) -> tuple[str, int]:
    host, port = address.removeprefix("tcp://").split(":")
    return host, int(port)


@pytest.mark.parametrize("name", SOCKETS)
def test_random_frames_from_every_kind_of_socket(engine: Process, context: zmq.Context[RawSocket], name: str) -> None:
    source = random.Random(name)
    verbs = [wire.COMMANDS, wire.REGISTRY, wire.STATE, wire.BLOCKS, wire.CONFIRM, b"\x01", b"\x00"]
    for kind in (zmq.DEALER, zmq.REQ, zmq.SUB, zmq.XSUB, zmq.PUSH, zmq.ROUTER, zmq.PAIR):
        peer = context.socket(kind)
        peer.connect(engine.address(name))
        for _ in range(500):
            frames = [source.randbytes(source.randrange(300)) for _ in range(source.randrange(1, 6))]
            if source.random() < 0.5:
                frames[0] = source.choice(verbs)
            with suppress(zmq.ZMQError):  # some kinds cannot send, or not to this socket
                peer.send_multipart(frames, zmq.DONTWAIT)


@pytest.mark.parametrize("name", SOCKETS)
def test_oversized_frames(engine: Process, context: zmq.Context[RawSocket], name: str) -> None:
    for verb, megabytes in product((wire.COMMANDS, wire.BLOCKS, wire.STATUS), (1, 3, 64)):
        peer = context.socket(zmq.XSUB if name == "BLOCK" else zmq.DEALER)
        peer.setsockopt(zmq.SNDTIMEO, 2000)
        peer.connect(engine.address(name))
        with suppress(zmq.Again):
            for _ in range(10):
                peer.send_multipart([verb, bytes(megabytes << 20)])
        peer.poll(200)  # until it was refused, or the connection was closed


@pytest.mark.parametrize("name", [*SOCKETS, "HTTP"])
def test_bytes_that_are_not_even_the_protocol(engine: Process, name: str) -> None:
    source = random.Random(name)
    greeting = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00NULL" + bytes(48)
    for turn in range(60):
        connected = socket.create_connection(host_and_port(engine.address(name)), timeout=10)
        with connected as peer, suppress(OSError):  # closed while we still talk
            for data in (greeting[: turn % 65], source.randbytes(200_000), b"GET / HTTP/1.1\r\n\r\n"):
                peer.sendall(data)


@pytest.mark.parametrize("name", [*SOCKETS, "HTTP"])
def test_connections_that_say_nothing(engine: Process, name: str) -> None:
    peers = [socket.create_connection(host_and_port(engine.address(name)), timeout=10) for _ in range(100)]
    with Client(engine.address("COMMAND")) as client:
        assert client.call([deposit(1, "meanwhile")])[0].rejected is None
    for peer in peers:
        peer.close()


def test_a_flood_of_questions_and_no_one_who_reads(engine: Process, context: zmq.Context[RawSocket]) -> None:
    for name, frames in (
        ("COMMAND", [wire.STATE, b"12345678"]),
        ("RETRANSMIT", [wire.BLOCKS, *wire.encode_numbers(1, 3)]),
    ):
        peer = context.socket(zmq.DEALER)
        peer.setsockopt(zmq.RCVHWM, 1)
        peer.setsockopt(zmq.SNDTIMEO, 1000)
        peer.connect(engine.address(name))
        with suppress(zmq.Again):
            for _ in range(50_000):
                peer.send_multipart(frames)
