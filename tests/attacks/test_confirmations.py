"""Confirmations of blocks that are not durable: forged ones, and those of a settlement with another store."""

import secrets
import signal
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import zmq

from exchange_site.operations.free_addresses import free_addresses, free_http_address
from matching.client.client import Client
from matching.client.edge import BatchBuilder, Edge
from matching.core.errors import EngineRefused
from matching.core.hashes import hash_value
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import DATABASE, START_S, Process, Start, store_identity

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

RING_BLOCKS = 110
BATCH = 4096
SETTINGS = {
    "ENABLE_LOCAL_WAL": "true",
    "ENGINE_RING_BLOCKS": str(RING_BLOCKS),
    "ENGINE_BLOCK_COMMANDS": str(BATCH),
    "ENGINE_SNAPSHOT_BLOCKS": "10",
    "ENGINE_SNAPSHOTS_KEPT": "1",
}
FILLED_BLOCKS = 100
"""More than a segment of the log (64 MiB), and still no full ring."""
MORE_BLOCKS = 40


class Trader:
    """Sends batches that each become a block: one deposit; the rest is refused, which costs settlement little."""

    def __init__(self, client: Client) -> None:
        client.call(DEFINITIONS)
        builder = BatchBuilder(Edge(client.registry))
        withdrawal = {**deposit(2, "none", amount="1"), "command": "withdraw"}
        for command in [deposit(1, "some", amount="0.00000001"), *[withdrawal] * (BATCH - 1)]:
            assert builder.add(command) is None
        self._batch = builder.take()
        self._connection = client.connection
        self.acknowledged = 0  # batches

    def make(self, blocks: int) -> None:
        for _ in range(blocks):
            self._connection.send(*self._batch)
            while self._connection.in_flight:
                self.acknowledged += len(self._connection.receive(1))


def send_confirmations(engine: Process, *messages: bytes) -> None:
    """As anybody can who reaches the port; the status is asked last, and its answer shows that all were read."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(engine.address("RETRANSMIT"))
    for message in messages:
        dealer.send_multipart([b"confirm", message])
    dealer.send_multipart([b"status", b"read"])
    while dealer.poll(10_000) and dealer.recv_multipart()[0] != b"status":
        pass
    context.destroy(linger=0)


def forgeries(number: int, digest: int) -> Iterator[bytes]:
    yield struct.pack("<Q", number)
    yield struct.pack("<QQ16s", number, digest, bytes(16))
    yield struct.pack("<QQ16s", number, digest, secrets.token_bytes(16))


def settled(start: Start, engine: Process, last: int, data_dir: Path, **settings: str) -> Process:
    """The settlement process, which has ended."""
    settlement = start(
        "run_settlement",
        "--until-block",
        str(last),
        data_dir=data_dir,
        SETTLEMENT_HTTP_ADDRESS=free_http_address(),
        **{**engine.stream_settings, **settings},
    )
    until(lambda: settlement.popen.poll() is not None, "the end of settlement", START_S)
    settlement.stop()
    return settlement


def assert_everything_is_settled(start: Start, engine: Process, acknowledged: int) -> None:
    with Client(engine.address("COMMAND")) as client:
        status = client.status()
    assert status["command_sequence"] == len(DEFINITIONS) + acknowledged * BATCH
    settlement = settled(start, engine, status["block"], engine.data_dir)
    assert settlement.popen.returncode == 0, "".join(settlement.errors)


def attacked(start: Start, **more: str) -> tuple[Process, dict[str, Any]]:
    """An engine that is about to be attacked, and the settings with which it is started again."""
    shared: dict[str, Any] = {**SETTINGS, **free_addresses(http=["ENGINE_HTTP_ADDRESS"]), **more}
    engine = start("run_engine", **shared).wait_until_ready()
    return engine, {**shared, "data_dir": engine.data_dir}


def test_forged_confirmations_lose_no_acknowledged_block(start: Start) -> None:
    engine, shared = attacked(start)
    with Client(engine.address("COMMAND"), timeout_s=60) as client:
        trader = Trader(client)
        trader.make(FILLED_BLOCKS)
        status = client.status()
        send_confirmations(engine, *forgeries(status["block"], hash_value(status["state_hash"])))
        with suppress(EngineRefused):  # the ring is full, as it should be
            trader.make(MORE_BLOCKS)
        refused = client.status()["counters"].get("refused_confirmations")
    engine.stop(signal.SIGKILL)
    engine = start("run_engine", **shared).wait_until_ready()
    assert_everything_is_settled(start, engine, trader.acknowledged)
    assert refused == 2, "the third is no message of this protocol"
    assert len([line for line in engine.errors if "confirmation_refused" in line]) <= 1


def test_a_confirmation_by_one_who_knows_the_store_and_the_block_leaves_them_in_the_log(start: Start) -> None:
    engine, shared = attacked(start)
    with Client(engine.address("COMMAND"), timeout_s=60) as client:
        trader = Trader(client)
        trader.make(FILLED_BLOCKS)
        status = client.status()
        known = hash_value(status["state_hash"]), store_identity(engine.data_dir)
        send_confirmations(engine, struct.pack("<QQ16s", status["block"], *known))
        trader.make(MORE_BLOCKS)
        assert client.status()["ring"]["first"] > 1, "the ring believes it"
    engine.stop(signal.SIGKILL)
    engine = start("run_engine", **shared).wait_until_ready()
    assert_everything_is_settled(start, engine, trader.acknowledged)


def test_a_staging_settlement_that_is_pointed_at_this_engine_is_refused_and_costs_nothing(start: Start) -> None:
    engine, _ = attacked(start, ENABLE_LOCAL_WAL="false", ENGINE_RING_BLOCKS="20")
    with Client(engine.address("COMMAND"), timeout_s=5) as client:
        trader = Trader(client)
        trader.make(10)
        staging = settled(start, engine, client.status()["block"], engine.data_dir.with_name("staging"))
        with suppress(EngineRefused):
            trader.make(20)
    assert_everything_is_settled(start, engine, trader.acknowledged)
    assert staging.popen.returncode == 2
    assert "uses another store than this settlement and refuses its confirmations" in staging.errors[-1]
    with closing(sqlite3.connect(staging.data_dir / DATABASE)) as database:
        assert database.execute("SELECT count(*) FROM engine_blocks").fetchall() == [(0,)]
