"""A store to settle into, and settlement's run as a test starts it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from settlement import worker
from settlement.dead_letters import DeadLetters
from settlement.options import Options
from settlement.spill import Spill
from settlement.standing import Report
from settlement.stores.base import Store
from settlement.stores.sql import SqlStore
from settlement.trail import Trail
from tests.settlement.fakes import FakeClock, ScriptedFeed

STORES: dict[str, Callable[[], Store]] = {"sql": SqlStore}
"""Every store that keeps the contract; a new one joins here."""

TABLES = (
    "engine_blocks",
    "settled_trades",
    "orders",
    "ledger_events",
    "balances",
    "candles",
    "trading_days",
    "definitions",
    "settlement_checkpoints",
)


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, db: None) -> Store:
    """Empty and connected."""
    made = STORES[request.param]()
    made.connect()
    return made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


Settle = Callable[..., int]


@pytest.fixture
def settle(clock: FakeClock, folder: Path) -> Settle:
    """settle(store, feed, **options): settles until the feed has nothing more."""

    def run(
        store: Store,
        feed: ScriptedFeed,
        *,
        spill_bytes: int = 1 << 30,
        report: Report = lambda standing: None,
        **options: Any,
    ) -> int:
        folder.mkdir(exist_ok=True)
        trail = Trail(folder)
        letters = DeadLetters(store, folder, clock)
        choices = Options(**{"batch_trades": 5, **options})
        spill = Spill(folder / "spill", spill_bytes)
        try:
            return worker.run(feed, store, trail, letters, clock, feed.is_silent, choices, spill=spill, report=report)
        finally:
            trail.close()
            spill.close()

    return run


def tables() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the SQL store."""
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
            found[table] = cursor.fetchall()
    return found


def empty_tables() -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")


def trail_text(folder: Path) -> dict[str, str]:
    """File name → text."""
    return {path.name: path.read_text() for path in sorted(folder.glob("settled_trades*.csv"))}
