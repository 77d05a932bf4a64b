"""An engine whose parent process ignores SIGCHLD, which the engine inherits."""

import signal
from pathlib import Path

import pytest

from matching.client.client import Client
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import Process, Start

pytestmark = pytest.mark.processes


def ignored_by(process: Process) -> set[int]:
    """Numbers of the signals that the process ignores."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text(encoding="ascii")
    (mask,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn:"))
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def test_an_engine_started_with_sigchld_ignored_writes_snapshots(start: Start) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # inherited by the engine
    try:
        engine = start("run_engine", "--snapshot-every", "4")
    finally:
        signal.signal(signal.SIGCHLD, before)
    engine.wait_until_ready()
    assert signal.SIGCHLD not in ignored_by(engine)
    with Client(engine.address("COMMAND")) as client:
        client.call(DEFINITIONS)
        for number in range(40):
            client.call([deposit(1, f"{number}")])

        def is_written() -> bool:
            return any("snapshot.written" in line for line in engine.errors)

        until(lambda: is_written() or engine.popen.poll() is not None, "the snapshot")
        assert client.call([deposit(1, "after")])[0].rejected is None
    assert engine.stop() == 0
    assert not [line for line in engine.errors if "snapshot.write_failed" in line or "Traceback" in line]
