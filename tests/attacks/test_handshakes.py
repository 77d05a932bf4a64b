"""Garbage on the handshake and connections that never finish it: the engine keeps answering, its memory is bounded."""

import random
import socket
from contextlib import ExitStack, suppress

import pytest

from matching.transport.network import HANDSHAKE_MS
from tests.attacks.conftest import Site
from tests.matching.small_exchange import until

pytestmark = pytest.mark.processes

GROWTH_BYTES = 100 << 20
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"CURVE".ljust(20, b"\0") + b"\x00" + bytes(31)
HELLO = b"\x04\xc8" + b"\x05HELLO"  # a command of 200 bytes
CONNECTIONS = 300
SOCKETS = ("COMMAND", "BLOCK", "RETRANSMIT")


def connected(address: str) -> socket.socket:
    host, port = address.removeprefix("tcp://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


@pytest.mark.parametrize("name", SOCKETS)
def test_garbage_in_a_handshake_does_not_stop_the_engine(site: Site, name: str) -> None:
    rng, before = random.Random(name), site.engine.memory_bytes()
    for number in range(CONNECTIONS):
        garbage = rng.randbytes(rng.randrange(1, 2000))
        start = (b"", GREETING, GREETING + HELLO, GREETING + b"\x06" + b"\xff" * 8)[number % 4]
        with suppress(ConnectionError), connected(site.engine.address(name)) as attacking:
            attacking.sendall(start + garbage)
    site.assert_it_works("afterwards")
    assert site.engine.memory_bytes() < before + GROWTH_BYTES
    assert site.engine.stop() == 0
    assert "Traceback" not in "".join(site.engine.errors)


@pytest.mark.parametrize("name", SOCKETS)
def test_connections_that_do_not_finish_their_handshake_are_closed(site: Site, name: str) -> None:
    before = site.engine.memory_bytes()
    with ExitStack() as opened:
        half_open = [opened.enter_context(connected(site.engine.address(name))) for _ in range(CONNECTIONS)]
        for attacking in half_open[::2]:
            attacking.sendall(GREETING)
        site.assert_it_works("meanwhile")
        assert site.engine.memory_bytes() < before + GROWTH_BYTES
        for attacking in half_open:
            attacking.setblocking(False)
        until(lambda: all(map(is_closed, half_open)), "the engine closes them", 4 * HANDSHAKE_MS / 1000)
    site.assert_it_works("afterwards")


def is_closed(attacking: socket.socket) -> bool:
    """Whether the other side has closed the connection; reads what it sent before."""
    try:
        while attacking.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True
