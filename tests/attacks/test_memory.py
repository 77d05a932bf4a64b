"""Peers that try to fill the engine's memory: it closes their connections, and answers everyone else."""

import threading
from pathlib import Path

import pytest

from matching.client.client import Client
from matching.transport import wire
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.raw_peer import RawPeer
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import Process, Start

pytestmark = pytest.mark.processes

MIB = 1 << 20
MOST_BYTES = 1536 * MIB
"""An engine has to live through an attack in 2 GiB."""
PART_BYTES = {"COMMAND": MIB // 2, "BLOCK": 255, "RETRANSMIT": 1000}


@pytest.fixture
def engine(start: Start) -> Process:
    process = start("run_engine", ENGINE_SNAPSHOT_BLOCKS="1", PLAIN_SOCKETS="true").wait_until_ready()
    with Client(process.address("COMMAND")) as client:
        client.call(DEFINITIONS)
    return process


def assert_unharmed(engine: Process) -> None:
    with Client(engine.address("COMMAND")) as client:
        assert client.call([deposit(1, "afterwards")])[0].rejected is None
    assert peak_bytes(engine) < MOST_BYTES
    assert engine.stop() == 0
    assert "Traceback" not in "".join(engine.errors)


def peak_bytes(process: Process) -> int:
    """The most resident memory that the running process has had so far."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def cuts(process: Process) -> int:
    return sum("transport.connection_cut" in line for line in process.errors)


@pytest.mark.parametrize("name", PART_BYTES)
def test_messages_that_never_end(engine: Process, name: str) -> None:
    part = bytes(PART_BYTES[name])

    def send_without_end() -> None:
        try:
            with RawPeer(engine.address(name), b"SUB" if name == "BLOCK" else b"DEALER") as peer:
                while True:
                    peer.send_frame(part, more=True)
        except ConnectionError:
            return

    attackers = [threading.Thread(target=send_without_end) for _ in range(3)]
    for attacker in attackers:
        attacker.start()
    for attacker in attackers:
        attacker.join()
    until(lambda: cuts(engine) >= len(attackers), "the log names every connection")
    assert_unharmed(engine)


def test_readers_of_snapshots_that_do_not_read(engine: Process) -> None:
    fill_state(engine)
    peers = [RawPeer(engine.address("RETRANSMIT")) for _ in range(6)]
    try:
        until(lambda: ask_for_snapshots(peers) and cuts(engine) >= 2, "connections are closed")
    finally:
        for peer in peers:
            peer.connection.close()
    assert_unharmed(engine)


def fill_state(engine: Process) -> None:
    """Makes a snapshot of more than a megabyte."""
    with Client(engine.address("COMMAND")) as client:
        for start in range(1, 30_000, 2000):
            client.call([deposit(account, f"d{account}") for account in range(start, start + 2000)])

    def snapshot_bytes() -> int:
        return max((file.stat().st_size for file in engine.data_dir.glob("**/snapshots/*")), default=0)

    until(lambda: snapshot_bytes() > MIB, "a snapshot of more than a megabyte")


def ask_for_snapshots(peers: list[RawPeer]) -> bool:
    """Sends a burst of requests to the engine on each connection and reads no answer."""
    for peer in peers:
        try:
            for _ in range(100):
                peer.send_message(wire.SNAPSHOT, *wire.encode_numbers(0, 0))
        except OSError:
            continue
    return True
