"""Settlement into a real PostgreSQL that is killed and restarted while commands arrive."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from scripts.services import Postgres, Running, Server
from tests.matching.small_exchange import until
from tests.system.conftest import Process, Start
from tests.system.test_settlement_kills import market
from tests.system.test_store_away import is_calm, metrics

pytestmark = [pytest.mark.processes, pytest.mark.services("postgres"), pytest.mark.timeout(600)]

KILLS = 3
BLOCKS_BETWEEN = 30


def asked(server: Running, statement: str) -> int:
    with psycopg.connect(host=server.host, port=server.port, user="postgres", dbname="postgres") as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0] or 0)


def appended(server: Running) -> int:
    return asked(server, "SELECT MAX(block_number) FROM settlement_checkpoints WHERE stage = 'appended'")


def ends_well(start: Start, *arguments: str, **settings: Any) -> Process:
    """Runs a command that has to succeed, to its end."""
    process = start(*arguments, **settings)
    until(lambda: process.popen.poll() is not None, arguments[0], 300)
    assert process.stop() == 0, (process.lines, process.errors)
    return process


def kill_under_load(server: Running, settlement: str) -> Running:
    """Kills and restarts the server. Returns the restarted one."""
    before = appended(server)
    until(lambda: appended(server) > before + BLOCKS_BETWEEN, "blocks to be settled", 60)
    server.kill()
    until(lambda: metrics(settlement)["settlement_store_up"] == 0, "settlement to notice", 60)
    restarted = server.restart()
    until(lambda: metrics(settlement)["settlement_store_up"] == 1, "settlement to be connected again", 60)
    return restarted


def test_a_postgresql_that_is_killed_under_load_loses_nothing(
    start: Start, launch: Callable[[Server], Running]
) -> None:
    server = launch(Postgres())
    url = f"postgres://postgres@{server.address}/postgres"
    ends_well(start, "init_store", DATABASE_URL=url)
    engine = start("run_engine", DATABASE_URL=url).wait_until_ready()
    address = free_http_address()
    shared: dict[str, Any] = {
        "data_dir": engine.data_dir,
        "DATABASE_URL": url,
        **engine.stream_settings,
        "SETTLEMENT_HTTP_ADDRESS": address,
    }
    settlement = start("run_settlement", **shared)
    with market(engine, seed=11):
        for _ in range(KILLS):
            server = kill_under_load(server, address)
            assert settlement.popen.poll() is None, settlement.errors
    with Client(engine.address("COMMAND")) as client:
        last = int(client.status()["block"])
    until(lambda: appended(server) == last, f"block {last} to be settled", 60)
    until(lambda: is_calm(metrics(address)), "the projection to catch up", 60)
    assert asked(server, "SELECT COUNT(*) FROM settled_trades") > 0
    assert asked(server, "SELECT COUNT(*) FROM dead_letters") == 0
    reconciled = ends_well(start, "reconcile", "--json", **shared)
    assert json.loads("".join(reconciled.lines))["ok"]
    assert settlement.stop() == 0, settlement.errors
    assert not [line for line in settlement.errors if "Traceback" in line]
    verified = ends_well(start, "verify_settlement", "--json", **shared)
    assert json.loads("".join(verified.lines))["blocks"] == last
