"""Limits on the memory that the peers of a listening socket use: connections over a limit are closed, others stay."""

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from structlog.testing import capture_logs

from exchange_site.operations.free_addresses import free_zmq_address
from matching.transport.listening.connections import ConnectionCounts, ConnectionLimits, duplicate, most_connections
from matching.transport.network import ZmqNetwork
from matching.transport.sockets import Kind, Limits, Socket, Undelivered
from tests.matching.raw_peer import RawPeer

MIB = 1 << 20
SOCKET = Limits(frame_bytes=MIB, receive_queue=16, send_queue=1000)
BOUNDS = ConnectionLimits(16 * MIB, 40 * MIB, total_unread_bytes=40 * MIB, connections=4)
DEADLINE_S = 30.0
PART = bytes(MIB // 2)


@pytest.fixture
def counts() -> ConnectionCounts:
    return ConnectionCounts()


@pytest.fixture
def network(counts: ConnectionCounts) -> Iterator[ZmqNetwork]:
    made = ZmqNetwork(limits=BOUNDS, counts=counts)
    yield made
    made.close()


@pytest.fixture
def stack(network: ZmqNetwork) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(network: ZmqNetwork, stack: ExitStack, kind: Kind = Kind.ROUTER) -> tuple[Socket, str]:
    address = free_zmq_address()
    socket = network.bind(kind, address, SOCKET)
    stack.callback(socket.close)
    return socket, address


def client(stack: ExitStack, address: str, kind: Kind = Kind.DEALER) -> tuple[ZmqNetwork, Socket]:
    network = ZmqNetwork()
    stack.callback(network.close)
    socket = network.connect(kind, address, SOCKET)
    stack.callback(socket.close)
    return network, socket


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what}: not within {DEADLINE_S} s"


def received(network: ZmqNetwork, socket: Socket) -> list[bytes]:
    assert network.wait([socket], DEADLINE_S)
    message = socket.receive()
    assert message is not None
    return message


def send_until_cut(peer: RawPeer, part: bytes = PART) -> int:
    """Sends parts of a message that never ends. Returns the bytes sent until the connection was closed."""
    for sent in range(0, 4096 * MIB, len(part)):
        try:
            peer.send_frame(part, more=True)
        except (ConnectionResetError, BrokenPipeError):
            return sent
    raise AssertionError("The connection was never closed.")


def is_refused(address: str) -> bool:
    """Whether a new connection is closed soon, during its handshake or after it."""
    try:
        with RawPeer(address) as peer:
            while peer.connection.recv(1):
                pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("part", [PART, bytes(10_000), bytes(200)], ids=len)
def test_a_message_that_never_ends_closes_its_connection_only(
    network: ZmqNetwork, stack: ExitStack, part: bytes
) -> None:
    listening, address = listen(network, stack)
    bystander_network, bystander = client(stack, address)
    bystander.send(b"before")
    assert received(network, listening)[1] == b"before"
    with capture_logs() as logs:
        sent = send_until_cut(stack.enter_context(RawPeer(address)), part)
    assert sent < 1024 * MIB
    assert [entry["event"] for entry in logs] == ["transport.connection_cut"]
    assert logs[0]["unread_bytes"] > SOCKET.unread_bytes
    bystander.send(b"after")
    message = received(network, listening)
    assert message[1] == b"after"
    listening.send(message[0], b"answer")
    assert received(bystander_network, bystander) == [b"answer"]


def test_a_subscriber_that_sends_an_endless_subscription_is_cut(network: ZmqNetwork, stack: ExitStack) -> None:
    _, address = listen(network, stack, Kind.PUB)
    assert send_until_cut(stack.enter_context(RawPeer(address, b"SUB"))) < 1024 * MIB


def test_a_peer_that_asks_and_does_not_read_is_cut(network: ZmqNetwork, stack: ExitStack) -> None:
    listening, address = listen(network, stack)
    peer = stack.enter_context(RawPeer(address))
    peer.send_frame(b"question", more=False)
    reader = received(network, listening)[0]
    sent = 0

    def is_cut() -> bool:
        nonlocal sent
        try:
            listening.send(reader, bytes(MIB))
            sent += MIB
        except Undelivered:
            return True
        return False

    with capture_logs() as logs:
        wait_until(is_cut, "the connection is cut")
        wait_until(lambda: logs, "the log says so")
    assert logs[0]["unacknowledged_bytes"] > BOUNDS.unacknowledged_bytes


def test_a_peer_that_reads_gets_far_more_than_the_limit(network: ZmqNetwork, stack: ExitStack) -> None:
    listening, address = listen(network, stack)
    reading_network, reading = client(stack, address)
    reading.send(b"question")
    reader = received(network, listening)[0]
    for number in range(100):
        listening.send(reader, bytes(MIB))
        assert len(received(reading_network, reading)[0]) == MIB, number
    for number in range(100):
        reading.send(bytes(MIB))
        assert len(received(network, listening)[1]) == MIB, number


def test_a_subscriber_that_does_not_read_is_cut_and_others_get_everything(
    network: ZmqNetwork, stack: ExitStack
) -> None:
    publishing, address = listen(network, stack, Kind.PUB)
    reading_network, reading = client(stack, address, Kind.SUB)
    lazy = stack.enter_context(RawPeer(address, b"SUB"))
    lazy.send_frame(b"\x01", more=False)

    def both_subscribed() -> bool:
        publishing.send(b"beat")
        return reading_network.wait([reading], 0.01)

    wait_until(both_subscribed, "the subscription has arrived")
    with capture_logs() as logs:
        expected = 0
        while not logs:
            expected += 1
            assert expected < 4096, "the subscriber was never cut"
            publishing.send(expected.to_bytes(8, "little") + bytes(MIB // 2))
            while (message := received(reading_network, reading)) == [b"beat"]:
                pass
            assert int.from_bytes(message[0][:8], "little") == expected
    assert logs[0]["unacknowledged_bytes"] > BOUNDS.unacknowledged_bytes


def test_connections_beyond_their_number_are_closed(
    network: ZmqNetwork, stack: ExitStack, counts: ConnectionCounts
) -> None:
    listening, address = listen(network, stack)
    for _ in range(BOUNDS.connections):
        peer = stack.enter_context(RawPeer(address))
        peer.send_frame(b"here", more=False)
        assert received(network, listening)[1] == b"here"
    with capture_logs() as logs:
        assert is_refused(address)
        wait_until(lambda: logs, "the log says so")
    assert "more than 4 connections" in logs[0]["reason"]
    wait_until(lambda: (counts.open, counts.closed) == (4, 1), "the counts say so")


def test_connections_that_never_begin_a_handshake_keep_nobody_away(network: ZmqNetwork, stack: ExitStack) -> None:
    listening, address = listen(network, stack)
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with capture_logs() as logs:
        idle = [
            stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(20 * BOUNDS.connections)
        ]
        peer = stack.enter_context(RawPeer(address))
        peer.send_frame(b"here", more=False)
        assert received(network, listening)[1] == b"here"
        for connection in idle[: -BOUNDS.connections]:
            connection.settimeout(DEADLINE_S)
            with suppress(ConnectionResetError):
                while connection.recv(100):
                    pass
    assert 1 <= len(logs) < 5, "one line a second"


def test_a_descriptor_that_is_another_file_by_now_is_not_left_open() -> None:
    other = os.eventfd(0)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="non-socket"):
        duplicate(other)
    assert os.listdir("/proc/self/fd") == before
    os.close(other)


@pytest.mark.parametrize(("files", "most"), [(1024, 256), (100, 1), (20_000, 1000)])
def test_connections_use_a_third_of_the_files_that_a_process_may_open(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (files, files))
    assert most_connections(ConnectionLimits()) == most


def test_many_connections_below_their_limit_do_not_exceed_that_of_all(network: ZmqNetwork, stack: ExitStack) -> None:
    _, address = listen(network, stack)
    peers = [stack.enter_context(RawPeer(address)) for _ in range(4)]
    with capture_logs() as logs:
        for peer in peers:
            for _ in range(26):  # 13 MiB: four connections exceed the limit of all, three do not
                peer.send_frame(PART, more=True)
        wait_until(lambda: logs, "one is cut")
    assert "all connections together have" in logs[0]["reason"]
    assert len(logs) <= 2, "what two of them sent is below the limit"


def test_empty_parts_are_cut_as_soon_as_they_exceed_a_message_and_all_others_are_read(
    network: ZmqNetwork, stack: ExitStack
) -> None:
    """An empty part is 2 bytes on the wire and 64 in the queue of libzmq."""
    listening, address = listen(network, stack)
    peer = stack.enter_context(RawPeer(address))
    ended = threading.Event()

    def send_parts() -> None:
        with suppress(ConnectionError):
            while True:
                peer.connection.sendall(bytes([1, 0]) * 10_000)
        ended.set()

    sender = threading.Thread(target=send_parts)
    sender.start()
    with capture_logs() as logs:
        wait_until(lambda: listening.receive() or ended.is_set(), "the connection is cut")
    sender.join()
    assert "a message of more than" in logs[0]["reason"]
