"""An engine with a write-ahead log, killed without warning again and again: what was answered stands, once."""

import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_addresses
from matching.client.client import Client, Result
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.node.follower import re_executed
from matching.storage.input_logs.wal import WalLog
from tests.reference.streams import random_commands
from tests.system.background import in_background
from tests.system.conftest import Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

KILLS = 50
IN_START_UP = 0.3  # so many of them before it takes commands
LONGEST_START_S = 1.5
LONGEST_LIFE_S = 0.4
CLIENTS = (71, 72)


@contextmanager
def traders(address: str, seed: int) -> Iterator[dict[int, list[Result]]]:
    """Clients that continue through every restart; the answers of each, in order."""
    answered: dict[int, list[Result]] = {client: [] for client in CLIENTS}

    def trade(client_id: int, stop: threading.Event) -> None:
        commands = random_commands(seed + client_id, 10_000_000, instruments=2, accounts=8)
        with Client(address, client_id=client_id, timeout_s=60) as client:
            while not stop.is_set():
                answered[client_id] += client.call(islice(commands, 20))

    with in_background(*(partial(trade, client_id) for client_id in CLIENTS)):
        yield answered


def kill(engine: Process, moments: random.Random) -> None:
    """At a random moment of its start, or of its work."""
    if moments.random() < IN_START_UP:
        with suppress(subprocess.TimeoutExpired):
            engine.popen.wait(moments.uniform(0, LONGEST_START_S))
    else:
        engine.wait_until_ready()
        with suppress(subprocess.TimeoutExpired):
            engine.popen.wait(moments.uniform(0, LONGEST_LIFE_S))
    assert engine.popen.poll() is None, f"it ended by itself: {engine.errors}"
    engine.stop(signal.SIGKILL)


def sequences_of(blocks: list[Block]) -> dict[int, dict[int, int]]:
    """Client → request number → the sequence of the one command that it became."""
    found: dict[int, dict[int, int]] = {}
    for block in blocks:
        sequence = block.first_command_sequence
        for client, first, size, _ in block.requests.tolist():
            for number in range(first, first + size):
                assert number not in found.setdefault(client, {}), f"{client}'s command {number} was applied twice"
                found[client][number] = sequence
                sequence += 1
    return found


@pytest.mark.acceptance("fifty kills of an engine with a log lose nothing that was answered")
def test_fifty_kills_lose_nothing_that_was_answered(start: Start, seed: int) -> None:
    moments = random.Random(seed)
    shared: dict[str, Any] = {
        "ENABLE_LOCAL_WAL": "true",
        "ENGINE_SNAPSHOT_BLOCKS": "150",
        **free_addresses(http=["ENGINE_HTTP_ADDRESS"]),
    }
    engine = start("run_engine", **shared).wait_until_ready()
    shared["data_dir"] = engine.data_dir
    beginnings = []
    with traders(engine.address("COMMAND"), seed) as answered:
        for _ in range(KILLS):
            kill(engine, moments)
            beginnings += engine.lines
            engine = start("run_engine", **shared)
        engine.wait_until_ready()
    with Client(engine.address("COMMAND")) as client:
        status = client.status()
    engine.stop(signal.SIGKILL)

    blocks = list(WalLog(engine.data_dir / "wal").blocks())
    again = Engine()
    for block in blocks:
        block.verify(again.block_number + 1, again.state_hash)
        re_executed(again, block)
    assert (again.block_number, f"{again.state_hash:016x}") == (status["block"], status["state_hash"]), f"seed {seed}"
    done = sequences_of(blocks)
    for client_id, results in answered.items():
        taken = [result for result in results if result.command_sequence is not None]
        assert len(taken) > KILLS, f"seed {seed}: client {client_id} hardly got an answer"
        expected = [done[client_id][number] for number in range(1, len(taken) + 1)]
        assert [result.command_sequence for result in taken] == expected, f"seed {seed}, client {client_id}"
    assert any("snapshot of block" in line for line in beginnings), beginnings
    assert len({line.split(",")[1] for line in beginnings}) == len(beginnings), "each start begins an epoch of its own"
