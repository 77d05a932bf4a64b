"""A rebuild that is asked for while settlement and a market run: a real engine, settlement and store."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_http_address
from tests.matching.small_exchange import until
from tests.system.conftest import DATABASE, ROOT, START_S, Process, Start
from tests.system.test_settlement_kills import appended_block, market

pytestmark = pytest.mark.processes

BLOCKS = 40
REBUILT_S = 120


def query(settlement: Process, statement: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(settlement.data_dir / DATABASE, timeout=START_S)) as database, database:
        return database.execute(statement, values).fetchall()


def state(settlement: Process) -> str:
    ((found,),) = query(settlement, "SELECT state FROM rebuild_requests WHERE number = 7")
    return str(found)


def test_damaged_rows_are_right_again_while_a_market_runs(start: Start, seed: int) -> None:
    engine = start("run_engine", ENGINE_SNAPSHOT_BLOCKS="0").wait_until_ready()
    shared = {name: value for name, value in engine.environment.items() if name.startswith("ENGINE_")}
    http = free_http_address()
    settlement = start("run_settlement", data_dir=engine.data_dir, SETTLEMENT_HTTP_ADDRESS=http, **shared)
    with market(engine, seed):
        until(lambda: appended_block(settlement) >= BLOCKS, "some blocks", START_S)
        query(settlement, "UPDATE orders SET filled = 99")
        query(
            settlement,
            "INSERT INTO rebuild_requests (number, from_block, state, to_block, projected, refusal) "
            "VALUES (7, 1, 'asked', 0, 0, '')",
        )
        until(lambda: state(settlement) == "done", "the rebuild", REBUILT_S)
        ((to_block,),) = query(settlement, "SELECT to_block FROM rebuild_requests")
        until(lambda: appended_block(settlement) > to_block, "blocks after the rebuild", START_S)
    assert to_block >= BLOCKS
    assert settlement.stop() == 0, settlement.errors
    verified = subprocess.run(
        [sys.executable, "manage.py", "verify_settlement"],
        cwd=ROOT,
        env=settlement.environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
