"""Garbage on the handshake and connections that never finish it: the engine keeps answering, its memory is bounded."""

import random
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from matching.transport.network import HANDSHAKE_MS
from matching.workloads.btc_usd import DEFINITIONS
from tests.attacks.conftest import Site
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import Process, Start

pytestmark = pytest.mark.processes

GROWTH_BYTES = 100 << 20
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"CURVE".ljust(20, b"\0") + b"\x00" + bytes(31)
HELLO = b"\x04\xc8" + b"\x05HELLO"  # a command of 200 bytes
CONNECTIONS = 300
CROWD, FILES = 2000, 1024  # FILES: the usual limit of a shell or service, which an engine raises if it may
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


@pytest.fixture
def narrow_site(start: Start) -> Iterator[Site]:
    """An engine that is started with the usual limit of open files."""
    own = resource.getrlimit(resource.RLIMIT_NOFILE)
    if own[1] < 3 * CROWD:
        pytest.skip(f"needs a hard limit of {3 * CROWD} open files for the test's own connections, here it is {own[1]}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, own[1]))
    try:
        engine = start("run_engine", PLAIN_SOCKETS="false").wait_until_ready()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3 * CROWD, own[1]))
    with ExitStack() as opened:
        made = Site(engine, opened)
        made.client().call(DEFINITIONS)
        yield made
    resource.setrlimit(resource.RLIMIT_NOFILE, own)


@pytest.mark.parametrize("name", SOCKETS)
def test_two_thousand_connections_use_bounded_memory_and_files_and_others_are_answered(
    narrow_site: Site, name: str
) -> None:
    engine, known = narrow_site.engine, narrow_site.client()
    before, most_files, slowest_s = engine.memory_bytes(), 0, 0.0
    with ExitStack() as opened:
        for number in range(CROWD):
            attacking = opened.enter_context(connected(engine.address(name)))
            with suppress(ConnectionError):
                attacking.sendall((b"", GREETING, GREETING + HELLO)[number % 3])
            if number % 100 == 0:
                began_s = time.monotonic()
                assert known.call([deposit(1, f"known {number}")])[0].rejected is None
                slowest_s = max(slowest_s, time.monotonic() - began_s)
                most_files = max(most_files, len(list(Path(f"/proc/{engine.popen.pid}/fd").iterdir())))
        narrow_site.assert_it_works("a client that comes now")
        growth = engine.memory_bytes() - before
    limit = file_limit(engine)
    print(f"{name}: {most_files} files, {growth >> 20} MiB more, slowest answer {slowest_s:.3f} s")  # noqa: T201
    assert limit > FILES
    assert most_files < limit
    assert growth < GROWTH_BYTES
    narrow_site.assert_it_works("afterwards")
    assert engine.stop() == 0
    assert "Traceback" not in "".join(engine.errors)


def file_limit(engine: Process) -> int:
    """How many files the process may have open now."""
    text = Path(f"/proc/{engine.popen.pid}/limits").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("Max open files"))
    return int(line.split()[3])


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
