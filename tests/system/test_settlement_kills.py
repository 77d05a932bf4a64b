"""Settlement killed without warning, again and again, while the market goes on: nothing is lost, nothing twice."""

import random
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from tests.matching.small_exchange import until
from tests.reference.streams import random_commands
from tests.system.conftest import Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

KILLS = 50
LONGEST_LIFE = 2  # times what a start takes until it has settled a block; some are killed before that
PAUSE_S = 0.02


@contextmanager
def market(engine: Process, seed: int, pause_s: float = PAUSE_S) -> Iterator[None]:
    """Commands of every kind, fifty at a time, until the block is left."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def trade() -> None:
        commands = random_commands(seed, 10_000_000, instruments=2, accounts=8)
        try:
            with Client(engine.address("COMMAND")) as client:
                while not stop.wait(pause_s):
                    client.call(islice(commands, 50))
        except BaseException as failure:
            failures.append(failure)
            raise

    thread = threading.Thread(target=trade)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failures


def appended_block(process: Process) -> int:
    """Read past the program that wrote it."""
    with closing(sqlite3.connect(process.data_dir / "exchange.sqlite3")) as database:
        row = database.execute("select max(block_number) from settlement_checkpoints").fetchone()
    return int(row[0] or 0)


def seconds_to_the_first_block(start: Start, shared: dict[str, Any]) -> float:
    """This machine's, now: others may be busy with more than this."""
    begun = time.monotonic()
    settlement = start("run_settlement", **shared)
    until(lambda: appended_block(settlement) > 0, "the first block to be settled", 60)
    took_s = time.monotonic() - begun
    assert settlement.stop() == 0, settlement.errors
    return took_s


@pytest.mark.acceptance("fifty kills of settlement leave every block and row once")
def test_fifty_kills_at_random_moments_leave_settlement_in_order(start: Start, seed: int) -> None:
    moments = random.Random(seed)
    engine = start("run_engine").wait_until_ready()
    shared: dict[str, Any] = {
        "data_dir": engine.data_dir,
        **engine.stream_settings,
        "SETTLEMENT_HTTP_ADDRESS": free_http_address(),
    }
    appended: list[int] = []
    with market(engine, seed):
        longest_life_s = LONGEST_LIFE * seconds_to_the_first_block(start, shared)
        for kill in range(KILLS):
            settlement = start("run_settlement", **shared)
            with suppress(subprocess.TimeoutExpired):
                settlement.popen.wait(moments.uniform(0, longest_life_s))
            assert settlement.popen.poll() is None, f"seed {seed}: it ended before kill {kill}: {settlement.errors}"
            settlement.popen.kill()
            settlement.popen.wait()
            appended.append(appended_block(engine))
    assert len(set(appended)) > KILLS / 4, f"seed {seed}: too few lives got as far as work: {appended}"
    with Client(engine.address("COMMAND")) as client:
        last = client.status()["block"]
    settlement = start("run_settlement", "--until-block", str(last), **shared)
    until(lambda: settlement.popen.poll() is not None, f"settlement of block {last}", 300)
    assert settlement.popen.returncode == 0, settlement.errors
    verification = start("verify_settlement", "--json", **shared)
    until(lambda: verification.popen.poll() is not None, "verification", 300)
    assert verification.popen.returncode == 0, (seed, verification.lines, verification.errors)
    assert f'"blocks": {last}' in "".join(verification.lines)
