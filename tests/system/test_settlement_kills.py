"""Settlement is killed many times while commands arrive: no block or row is lost, and none is written twice."""

import random
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from tests.matching.small_exchange import until
from tests.reference.streams import random_commands
from tests.system.background import in_background
from tests.system.conftest import START_S, Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1800)]

KILLS = 50
IN_START_UP = 0.3  # probability that a kill falls before the first block of a run
LONGEST_WORK_CPU_S = 0.4  # CPU time between a run's first block and its kill: about 300 blocks
PAUSE_S = 0.02


@contextmanager
def market(engine: Process, seed: int, pause_s: float = PAUSE_S) -> Iterator[None]:
    """Sends commands of every kind, fifty at a time, until the `with` block ends."""

    def trade(stop: threading.Event) -> None:
        commands = random_commands(seed, 10_000_000, instruments=2, accounts=8)
        with Client(engine.address("COMMAND")) as client:
            while not stop.wait(pause_s):
                client.call(islice(commands, 50))

    with in_background(trade):
        yield


def appended_block(process: Process) -> int:
    """The newest block in the store, read from the database file."""
    with closing(sqlite3.connect(process.data_dir / "exchange.sqlite3")) as database:
        row = database.execute("select max(block_number) from settlement_checkpoints").fetchone()
    return int(row[0] or 0)


def cpu_of_a_start(start: Start, shared: dict[str, Any]) -> float:
    """CPU seconds that settlement uses until it has settled its first block."""
    settlement = start("run_settlement", **shared)
    until(lambda: appended_block(settlement) > 0, "the first block to be settled", START_S)
    used_s = settlement.cpu_s()
    assert settlement.stop() == 0, settlement.errors
    return used_s


def wait_for_work(settlement: Process) -> None:
    """Waits until it has appended a block, or ended."""
    before = appended_block(settlement)

    def has_worked() -> bool:
        return appended_block(settlement) > before or settlement.popen.poll() is not None

    until(has_worked, f"a block after {before}", START_S)


def kill(settlement: Process, start_cpu_s: float, moments: random.Random) -> None:
    """Kills it at a random moment of its start or of its work, chosen in CPU time because machines are busy."""
    if moments.random() < IN_START_UP:
        settlement.wait_for_cpu(moments.uniform(0, start_cpu_s))
    else:
        wait_for_work(settlement)
        settlement.wait_for_cpu(settlement.cpu_s() + moments.uniform(0, LONGEST_WORK_CPU_S))
    assert settlement.popen.poll() is None, f"it ended by itself: {settlement.errors}"
    settlement.stop(signal.SIGKILL)


@pytest.mark.acceptance("fifty kills of settlement leave every block and row once")
def test_fifty_kills_at_random_moments_leave_each_block_and_row_once(start: Start, seed: int) -> None:
    moments = random.Random(seed)
    engine = start("run_engine").wait_until_ready()
    shared: dict[str, Any] = {
        "data_dir": engine.data_dir,
        **engine.stream_settings,
        "SETTLEMENT_HTTP_ADDRESS": free_http_address(),
    }
    appended: list[int] = []
    with market(engine, seed):
        start_cpu_s = cpu_of_a_start(start, shared)
        for _ in range(KILLS):
            kill(start("run_settlement", **shared), start_cpu_s, moments)
            appended.append(appended_block(engine))
    assert len(set(appended)) > KILLS / 4, f"seed {seed}: too few runs appended a block: {appended}"
    with Client(engine.address("COMMAND")) as client:
        last = client.status()["block"]
    settlement = start("run_settlement", "--until-block", str(last), **shared)
    until(lambda: settlement.popen.poll() is not None, f"settlement of block {last}", 600)
    assert settlement.popen.returncode == 0, settlement.errors
    verification = start("verify_settlement", "--json", **shared)
    until(lambda: verification.popen.poll() is not None, "verification", 600)
    assert verification.popen.returncode == 0, (seed, verification.lines, verification.errors)
    assert f'"blocks": {last}' in "".join(verification.lines)
