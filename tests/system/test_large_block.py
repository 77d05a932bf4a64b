"""One client command makes a block of 128 MiB, which is settled into each store with bounded memory.

A cancel_all ends at a million orders, so that its block has 100 MiB at most. A sweep of the book and an order that it
triggers make a larger one.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cassandra.cluster import Cluster

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from matching.client.edge import BatchBuilder, Edge
from matching.core import layout
from matching.core.kernel.limits import MAX_MET
from matching.workloads.btc_usd import DEFINITIONS
from scripts.services import Running
from tests.matching.small_exchange import deposit, order, until
from tests.system.cassandra_exchange import new_keyspace, on
from tests.system.conftest import Process, Start
from tests.system.test_postgres import ends_well
from tests.system.test_store_away import is_calm, last_block, metrics, ready

pytestmark = [pytest.mark.processes, pytest.mark.timeout(7200)]

BLOCK_BYTES = int(os.environ.get("LARGE_BLOCK_MIB", "128")) << 20
ORDERS = BLOCK_BYTES // layout.EVENT.itemsize + 1
MAX_MEMORY_BYTES = 2 << 30
AT_ONCE = 40_000
PATIENCE_S = 3600

CANCELLED = min(ORDERS, MAX_MET)
CANCEL_ALL: list[dict[str, Any]] = [{"command": "cancel_all", "account": 1}]
HALF = f"{ORDERS // 20_000 + 1}"
"""Quantity of half of the orders."""
SWEEP: list[dict[str, Any]] = [order(2, "buy", "2.00", quantity=HALF)]
STOP: dict[str, Any] = {**order(3, "buy", "1", quantity=HALF), "order_type": "stop_loss", "price": None}


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Settings of an exchange with an empty store."""
    kind = request.param
    if kind == "scylla":
        server: Running = request.getfixturevalue("cassandra")
        keyspace = new_keyspace()
        yield on(server, keyspace)
        cluster = Cluster([server.host], server.port)
        cluster.connect().execute(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=120)
        cluster.shutdown()
    elif kind == "postgres":
        server = request.getfixturevalue("postgres")
        name = f"large_block_{os.getpid()}"
        administer(server, f"CREATE DATABASE {name}")
        yield {"DATABASE_URL": f"postgres://postgres@{server.address}/{name}"}
        administer(server, f"DROP DATABASE {name} WITH (FORCE)")
    else:
        yield {}


def administer(server: Running, statement: str) -> None:
    with psycopg.connect(
        host=server.host, port=server.port, user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(statement.encode())


def peak_bytes(process: Process) -> int:
    """Peak resident memory of the running process."""
    lines = Path(f"/proc/{process.popen.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def place_orders(client: Client, count: int) -> None:
    """Orders of account 1, and one of account 3 that waits for the first trade."""
    buyers = [deposit(account, "usd", "USD", "1000000000") for account in (2, 3)]
    client.call([*DEFINITIONS, deposit(1, "btc", "BTC", "100000"), *buyers])
    for start in range(0, count, AT_ONCE):
        one = order(1, "sell", "1.00", quantity="0.0001")
        client.call([one] * min(AT_ONCE, count - start))
    (waiting,) = client.call([{**STOP, "trigger_price": "1.00"}])
    assert waiting.rejected is None


def send(client: Client, commands: list[dict[str, Any]]) -> int:
    """Sends the commands and returns the number of events, without converting them to JSON."""
    builder = BatchBuilder(Edge(client.registry))
    for command in commands:
        assert builder.add(command) is None
    client.connection.send(*builder.take())
    answers: list[Any] = []

    def answered() -> bool:
        answers.extend(client.connection.receive(1.0))
        return bool(answers)

    until(answered, "the answer", 300)
    return sum(len(segment.events) for segment in answers[0].answer.segments)


STORES = {
    "sql": pytest.param("sql", id="sql"),
    "postgres": pytest.param("postgres", id="postgres", marks=pytest.mark.services("postgres")),
    "scylla": pytest.param("scylla", id="scylla", marks=pytest.mark.services("cassandra")),
}


@pytest.mark.acceptance("a cancel-all of a million orders is settled into each store in 2 GiB of memory")
@pytest.mark.parametrize("settings", STORES.values(), indirect=True)
def test_a_cancel_all_of_a_million_orders_is_settled_within_2_gib_of_memory(
    start: Start, settings: dict[str, str]
) -> None:
    check(start, settings, CANCEL_ALL, CANCELLED)


@pytest.mark.acceptance("a sweep with a block of 128 MiB is settled in 2 GiB of memory")
@pytest.mark.parametrize("settings", [STORES["sql"]], indirect=True)
def test_a_sweep_whose_block_has_128_mib_is_settled_within_2_gib_of_memory(
    start: Start, settings: dict[str, str]
) -> None:
    check(start, settings, SWEEP, ORDERS)


def check(start: Start, settings: dict[str, str], commands: list[dict[str, Any]], orders: int) -> None:
    ends_well(start, "init_store", **settings)
    engine = start("run_engine", **settings).wait_until_ready()
    address = free_http_address()
    shared: dict[str, Any] = {
        **settings,
        "data_dir": engine.data_dir,
        "ENGINE_COMMAND_ADDRESS": engine.address("COMMAND"),
        "ENGINE_BLOCK_ADDRESS": engine.address("BLOCK"),
        "ENGINE_RETRANSMIT_ADDRESS": engine.address("RETRANSMIT"),
        "SETTLEMENT_HTTP_ADDRESS": address,
    }
    settlement = start("run_settlement", **shared)
    until(lambda: ready(address)[0] == 200, "settlement to be ready", PATIENCE_S)
    with Client(engine.address("COMMAND"), timeout_s=300) as client:
        place_orders(client, orders)
        assert send(client, commands) > orders
        client.call([deposit(3, "after")])
    last = last_block(engine)
    until(lambda: is_settled(settlement, address, last), f"block {last} to be settled", PATIENCE_S)
    peak = peak_bytes(settlement)
    print(f"{BLOCK_BYTES >> 20} MiB, {settings}: settlement's memory {peak >> 20} MiB at most")  # noqa: T201
    assert peak < MAX_MEMORY_BYTES
    assert told_by(start, "reconcile", shared)["ok"]
    assert settlement.stop() == 0, settlement.errors
    assert not [line for line in settlement.errors if "Traceback" in line]
    assert told_by(start, "verify_settlement", shared)["blocks"] == last
    recovers(start, engine, shared, last)


def told_by(start: Start, command: str, shared: dict[str, Any]) -> dict[str, Any]:
    """Runs a command that has to succeed. Returns its JSON document."""
    process = start(command, "--json", **shared)
    until(lambda: process.popen.poll() is not None, command, PATIENCE_S)
    assert process.stop() == 0, (process.lines, process.errors)
    found: dict[str, Any] = json.loads("".join(process.lines))
    return found


def recovers(start: Start, engine: Process, shared: dict[str, Any], last: int) -> None:
    """Checks that a restarted engine recovers all blocks, including the large one, from the store."""
    before = state_hash(engine)
    assert engine.stop() == 0, engine.errors
    again = start("run_engine", **shared)
    until(lambda: again.lines or again.popen.poll() is not None, "the engine to be back", PATIENCE_S)
    assert again.lines, again.errors
    assert (last_block(again), state_hash(again)) == (last, before)


def state_hash(engine: Process) -> str:
    with Client(engine.address("COMMAND")) as client:
        return str(client.status()["state_hash"])


def is_settled(settlement: Process, address: str, last: int) -> bool:
    assert settlement.popen.poll() is None, settlement.errors[-3:]
    found = metrics(address)
    return is_calm(found) and found["settlement_blocks_appended_total"] >= last
