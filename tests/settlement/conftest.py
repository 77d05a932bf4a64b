"""Stores of every kind, and a function that runs settlement."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from matching.core.codes import CommandKind
from matching.storage.disk import LocalDisk
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from settlement import worker
from settlement.clock import Clock
from settlement.durable.spill import Spill
from settlement.options import Options
from settlement.project.columns.trades import day_of
from settlement.project.dead_letters import DeadLetters
from settlement.project.trail import Trail
from settlement.receive.chain import Refuse, never_refuse
from settlement.stores.base import Store
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.sql.statements import PROJECTED_TABLES
from settlement.stores.sql.store import SqlStore
from settlement.worker_status import Report
from tests.conftest import scylla_shards
from tests.settlement.fakes import FakeClock, ScriptedFeed
from tests.settlement.rows import MOST

TABLES = (
    "engine_blocks",
    "engine_block_parts",
    "projection_progress",
    "engine_epochs",
    "key_registers",
    "settlement_checkpoints",
    "signed_checkpoints",
    "store_identities",
    *PROJECTED_TABLES,
)
"""Databases of the SQL store."""

STORES = [
    "sql",
    pytest.param(
        "postgres", marks=[pytest.mark.services("postgres"), pytest.mark.django_db(databases=["default", "postgres"])]
    ),
    pytest.param("scylla", marks=pytest.mark.services("cassandra")),
]
"""Every implementation of the store interface; add new ones here and in `store`."""

ON_SQL = pytest.mark.parametrize("store", ["sql"], indirect=True)
"""For tests that change rows with SQL statements."""

ON_SCYLLA = pytest.mark.parametrize("store", STORES[2:], indirect=True)


SNAPSHOT_BLOCKS = 10


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, db: None) -> Store:
    """An empty, connected store."""
    make: dict[str, Callable[[], Store]] = {
        "sql": SqlStore,
        "postgres": lambda: SqlStore("postgres"),
        "scylla": lambda: request.getfixturevalue("new_scylla")(),
    }
    made = make[request.param]()
    made.connect()
    return made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def snapshotter_in(folder: Path) -> Snapshotter:
    """Of settlement's own engine, every SNAPSHOT_BLOCKS blocks."""
    snapshots = SnapshotFolder(LocalDisk(), folder / "settlement-snapshots", keep=2)
    return Snapshotter(snapshots, DirectWriter(snapshots), SNAPSHOT_BLOCKS)


def settle_in(
    folder: Path, store: Store, feed: ScriptedFeed, clock: Clock, *, trail: Trail, spill: Spill, **edges: Any
) -> int:
    """Settles until the feed has nothing more, with the files of `folder`. `edges`: more of `worker.Services`."""
    return worker.run(
        worker.Services(
            feed=feed,
            store=store,
            trail=trail,
            letters=DeadLetters(store, folder, clock),
            spill=spill,
            snapshotter=snapshotter_in(folder),
            clock=clock,
            **{"options": Options(), "stop": feed.is_silent, **edges},
        )
    )


Settle = Callable[..., int]


@pytest.fixture
def settle(clock: FakeClock, folder: Path) -> Settle:
    """settle(store, feed, **options): settles until the feed has nothing more."""

    def run(
        store: Store,
        feed: ScriptedFeed,
        *,
        spill_bytes: int = 1 << 30,
        report: Report = lambda status: None,
        refuse: Refuse = never_refuse,
        **options: Any,
    ) -> int:
        folder.mkdir(exist_ok=True)
        trail = Trail(folder)
        choices = Options(**{"batch_trades": 5, **options})
        spill = Spill(folder / "spill", spill_bytes)
        edges = {"options": choices, "report": report, "refuse": refuse}
        try:
            return settle_in(folder, store, feed, clock, trail=trail, spill=spill, **edges)
        finally:
            trail.close()
            spill.close()

    return run


def tables(store: Store, *, is_restarted: bool = True) -> dict[str, list[Any]]:
    """All rows, read through the store interface by another instance than the one that wrote them."""
    store = restarted(store) if is_restarted else store
    trades, balances = store.get_trades_by_sequence_range(0, MOST, 10**6), list(store.balances())
    accounts = sorted({balance.account for balance in balances})
    definitions = store.definitions()
    symbols = sorted(json.loads(one.text)["symbol"] for one in definitions if one.kind == CommandKind.INSTRUMENT)
    return {
        "blocks": list(store.blocks(1)),
        "epochs": list(store.epochs()),
        "checkpoints": [store.appended(), store.projected()],
        "trades": trades,
        "trades of accounts": [store.get_trades_by_account(account, 10**4) for account in accounts],
        "trades of symbols": [store.newest_trades(10**4, symbol=symbol) for symbol in symbols],
        "trading days": [store.trading_day(day) for day in sorted({day_of(trade.timestamp_ns) for trade in trades})],
        "orders": store.get_orders_by_sequence_range(0, MOST, 10**6),
        "orders of accounts": [store.get_orders_by_account(account, 10**4) for account in accounts],
        "orders of symbols": [store.newest_orders(10**4, symbol=symbol) for symbol in symbols],
        "open orders": list(store.open_orders()),
        "ledger": store.get_ledger_events(0, MOST >> 5),
        "ledger of accounts": [store.get_ledger_events_by_account(account, 10**4) for account in accounts],
        "transfers": store.get_transfers_by_sequence_range(0, MOST),
        "balances": balances,
        "account settings": list(store.account_settings()),
        "candles": [store.candles(symbol, 10**4) for symbol in symbols],
        "definitions": list(definitions),
    }


def empty(store: Store) -> None:
    """An empty store without dead letters."""
    alias, emptied = (store._session.alias, TABLES) if isinstance(store, SqlStore) else ("default", ())
    with connections[alias].cursor() as cursor:
        for table in ("dead_letters", *emptied):
            cursor.execute(f"DELETE FROM {table}")
    if isinstance(store, ScyllaStore):
        vars(store).update(vars(ScyllaStore(store._session.access, SqlStore(), shard=next(scylla_shards))))


def restarted(store: Store) -> Store:
    """A new instance of the same store, without cached state, as in another process."""
    if isinstance(store, ScyllaStore):
        return ScyllaStore(store._session.access, SqlStore(), shard=store._shard)
    assert isinstance(store, SqlStore)
    return SqlStore(store._session.alias)


def trail_text(folder: Path) -> dict[str, str]:
    """Text by file name."""
    return {path.name: path.read_text() for path in sorted(folder.glob("settled_trades*.csv"))}
