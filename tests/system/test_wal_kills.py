"""An engine with a write-ahead log is killed many times: no answered command is lost or applied twice."""

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_addresses
from matching.client.client import Client, Result
from matching.core.blocks import Block
from matching.core.codes import CommandKind
from matching.core.engine import Engine
from matching.node.follower import re_executed
from matching.storage.input_logs.wal import WalLog
from tests.reference.streams import random_commands
from tests.system.background import in_background
from tests.system.conftest import Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1800)]

KILLS = 50
IN_START_UP = 0.3  # probability that a kill falls before the engine takes commands
LONGEST_WORK_CPU_S = 0.4  # CPU time between the moment an engine takes commands and its kill
CLIENTS = (71, 72)


@contextmanager
def traders(address: str, seed: int) -> Iterator[dict[int, list[Result]]]:
    """Runs clients that continue after every restart. Yields the answers of each client, in order."""
    answered: dict[int, list[Result]] = {client: [] for client in CLIENTS}

    def trade(client_id: int, stop: threading.Event) -> None:
        commands = random_commands(seed + client_id, 10_000_000, instruments=2, accounts=8)
        with Client(address, client_id=client_id, timeout_s=60) as client:
            while not stop.is_set():
                answered[client_id] += client.call(islice(commands, 20))

    with in_background(*(partial(trade, client_id) for client_id in CLIENTS)):
        yield answered


def kill(engine: Process, start_cpu_s: float, moments: random.Random) -> None:
    """Kills it at a random moment of its start or of its work, chosen in CPU time because machines are busy."""
    if moments.random() < IN_START_UP:
        engine.wait_for_cpu(moments.uniform(0, start_cpu_s))
    else:
        engine.wait_until_ready()
        engine.wait_for_cpu(engine.cpu_s() + moments.uniform(0, LONGEST_WORK_CPU_S))
    assert engine.popen.poll() is None, f"the engine ended by itself: {engine.errors}"
    engine.stop(signal.SIGKILL)


def sequences_of(blocks: list[Block]) -> dict[int, list[int]]:
    """Client → sequences of its commands, in order. Fails if a request was applied twice.

    The two records of an order list are one command, with the sequence of the first.
    """
    found: dict[int, dict[int, int]] = {}
    for block in blocks:
        kinds = block.commands["kind"].tolist()
        place = 0
        for client, first, _, _, size, _ in block.requests.tolist():
            of_client = found.setdefault(client, {})
            for number in range(first, first + size):
                assert number not in of_client, f"command {number} of client {client} was applied twice"
                of_client[number] = -1 if kinds[place] == CommandKind.OCO_STOP else block.first_command_sequence + place
                place += 1
    return {
        client: [sequence for _, sequence in sorted(of_client.items()) if sequence >= 0]
        for client, of_client in found.items()
    }


@pytest.mark.acceptance("fifty kills of an engine with a log lose nothing that was answered")
def test_fifty_kills_lose_nothing_that_was_answered(start: Start, seed: int) -> None:
    moments = random.Random(seed)
    shared: dict[str, Any] = {
        "ENABLE_LOCAL_WAL": "true",
        "ENGINE_SNAPSHOT_BLOCKS": "150",
        **free_addresses(http=["ENGINE_HTTP_ADDRESS"]),
    }
    compiled = start("run_engine", **shared).wait_until_ready()
    shared["data_dir"] = compiled.data_dir
    compiled.stop()
    engine = start("run_engine", **shared).wait_until_ready()
    start_cpu_s = engine.cpu_s()
    beginnings = []
    with traders(engine.address("COMMAND"), seed) as answered:
        for _ in range(KILLS):
            kill(engine, start_cpu_s, moments)
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
        assert len(taken) > KILLS, f"seed {seed}: client {client_id} got too few answers"
        expected = done[client_id][: len(taken)]
        assert [result.command_sequence for result in taken] == expected, f"seed {seed}, client {client_id}"
    assert any("snapshot of block" in line for line in beginnings), beginnings
    assert len({line.split(",")[1] for line in beginnings}) == len(beginnings), "two starts began the same epoch"
