"""Tables that are not those of this version: nothing is written to them, and no block is skipped."""

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from matching.core.engine import Engine
from scripts.services import Running
from settlement import wiring
from settlement.audit import verify
from settlement.stores.base import StoreMisconfigured, StoreUninitialized
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.scylla.tables.layout import Column, declared, mismatch, newer_columns
from settlement.stores.scylla.tables.models import MODELS
from settlement.stores.scylla.tables.schema import statements
from settlement.stores.sql.store import SqlStore
from tests.settlement.conftest import Settle
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.project.test_rebuilding import rebuild
from tests.settlement.rows import MOST, block
from tests.settlement.store_contents import full
from tests.settlement.test_worker import BLOCKS, LAST

REMEDY = "drop the table, then run manage.py init_store and rebuild_projections, or settle into another SCYLLA_KEYSPACE"
keyspaces = count()


@pytest.fixture
def own_keyspace(cassandra: Running, db: None) -> Iterator[Session]:
    """With its tables, for a test that spoils them."""
    access = Access((cassandra.host,), cassandra.port, f"settlement_own_{os.getpid()}_{next(keyspaces)}")
    session = Session(access)
    for statement in statements(access.keyspace, access.replication):
        session.run_plain(statement)
    yield session
    session.run_plain(f"DROP KEYSPACE {access.keyspace}")


OLD_BALANCES = (
    "CREATE TABLE {}.balances (shard int, account bigint, asset text, available bigint, locked bigint, "
    "sequence bigint, PRIMARY KEY ((shard, account), asset))"
)
"""As an earlier layout had it."""


@pytest.mark.services("cassandra")
@pytest.mark.parametrize(
    ("table", "change", "says"),
    [
        ("balances", OLD_BALANCES, "table balances has no column bucket: drop the table, then run"),
        ("orders", "ALTER TABLE {}.orders DROP filled", "table orders has no column filled: drop the table, then run"),
        (
            "candle_months",
            "CREATE TABLE {}.candle_months (shard int, symbol text, month bigint, PRIMARY KEY (shard, symbol, month))",
            "table candle_months has month bigint (clustering key 2 asc) instead of month int (clustering key 2 asc)",
        ),
        (
            "engine_epochs",
            "ALTER TABLE {}.engine_epochs DROP blocks",
            "table engine_epochs has no column blocks: settle into another SCYLLA_KEYSPACE.",
        ),
    ],
)
def test_a_keyspace_that_another_version_made_is_refused_by_every_process(
    own_keyspace: Session, table: str, change: str, says: str
) -> None:
    access = own_keyspace.access
    if change.startswith("CREATE"):
        own_keyspace.run_plain(f"DROP TABLE {access.keyspace}.{table}")
    own_keyspace.run_plain(change.format(access.keyspace))
    store = ScyllaStore(access, SqlStore())
    store.init()
    for ask in (store.ping, lambda: wiring.make_tables_if_missing(store), lambda: store.append_blocks([block(1)])):
        with pytest.raises(
            StoreMisconfigured, match=f"Keyspace {access.keyspace} was created by another version"
        ) as told:
            ask()
        assert says in str(told.value)
        assert type(told.value) is StoreMisconfigured


def test_columns_that_somebody_added_do_no_harm_unless_they_are_part_of_a_key() -> None:
    assert mismatch([Column("candles", "note", "text", "regular", -1, "none")]) == (
        "table candles has no column shard: " + REMEDY
    )
    fitting = [column for model in MODELS for column in declared(model)]
    assert mismatch(fitting) is None
    assert mismatch([*fitting, Column("candles", "note", "text", "regular", -1, "none")]) is None
    assert mismatch([*fitting, Column("candles", "note", "text", "clustering", 1, "asc")]) == (
        f"table candles has an unexpected note text (clustering key 2 asc): {REMEDY}"
    )


@pytest.mark.services("cassandra")
def test_a_column_that_is_dropped_while_settlement_runs_stops_it_and_no_block_is_skipped(
    own_keyspace: Session, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    access = own_keyspace.access
    store = ScyllaStore(access, SqlStore())
    half = LAST // 2
    settle(store, feed_of(clock, BLOCKS), until_block=half)
    own_keyspace.run_plain(f"ALTER TABLE {access.keyspace}.balances DROP available")
    for _ in range(2):
        with pytest.raises(StoreMisconfigured, match=r"init_store says what to do.*available"):
            settle(store, feed_of(clock, BLOCKS[store.appended().block_number :]))
    assert (list(store.dead_letters()), store.projected().block_number) == ([], half)

    own_keyspace.run_plain(f"DROP TABLE {access.keyspace}.balances")
    store.init()
    rebuild(store, folder, clock)
    settle(store, feed_of(clock, BLOCKS[store.appended().block_number :]))
    report = verify.verify(store, folder, Engine())
    assert (report.differences, report.to_block) == ([], LAST)


@pytest.mark.services("cassandra")
def test_transfers_of_blocks_that_a_version_without_them_projected_are_no_difference(
    own_keyspace: Session, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    store = ScyllaStore(own_keyspace.access, SqlStore())
    half = LAST // 2
    settle(store, feed_of(clock, BLOCKS), until_block=half)
    own_keyspace.run_plain(f"DROP TABLE {own_keyspace.access.keyspace}.transfers")
    store.init()
    assert store.transfers_missing_to() == half
    settle(store, feed_of(clock, BLOCKS[half:]))
    assert verify.verify(store, folder, Engine()).differences == []
    rebuild(store, folder, clock)
    assert store.transfers_missing_to() == 0
    assert verify.verify(store, folder, Engine()).differences == []


def of_earlier_version(statement: str) -> str:
    """A CREATE TABLE without the columns that were added since."""
    names = {column.name for column in newer_columns()}
    return "\n".join(line for line in statement.splitlines() if line.split()[0] not in names)


@pytest.fixture
def earlier_keyspace(own_keyspace: Session) -> Session:
    """Trades and orders as an earlier version created them, with a row each; no account settings."""
    keyspace = own_keyspace.access.keyspace
    store = ScyllaStore(own_keyspace.access, SqlStore())
    store.append_blocks([block(1)])
    for statement in statements(keyspace, own_keyspace.access.replication):
        table = next((name for name in ("settled_trades", "orders") if f".{name} (" in statement), None)
        if table:
            own_keyspace.run_plain(f"DROP TABLE {keyspace}.{table}")
            own_keyspace.run_plain(of_earlier_version(statement))
    own_keyspace.run_plain(f"DROP TABLE {keyspace}.account_settings")
    own_keyspace.run_plain(
        f"INSERT INTO {keyspace}.orders (shard, bucket, order_id, account, symbol, status, filled) "
        "VALUES (0, 0, 7, 1, 'BTC-USD', 'open', 0) USING TIMESTAMP 1"
    )
    return own_keyspace


@pytest.mark.services("cassandra")
def test_tables_of_an_earlier_version_get_the_columns_that_they_lack(earlier_keyspace: Session) -> None:
    access = replace(earlier_keyspace.access, in_flight=3)  # a connection of its own, which looks at the tables
    store = ScyllaStore(access, SqlStore())
    lacking = r"lacks account_settings, column trade_number of table settled_trades, .*: manage.py init_store"
    with pytest.raises(StoreUninitialized, match=lacking):
        store.ping()
    store.init()
    store.init()
    (old,) = store.get_orders([7])
    assert (old.symbol, old.trigger_price, old.order_list_id, old.triggered_at_ns) == ("BTC-USD", None, None, None)
    store.insert_batch(full())
    assert store.get_trades_by_sequence_range(0, MOST, 9) == list(full().trades)
    assert store.get_orders([3]) == [full().orders[-1]]
    assert list(store.account_settings()) == list(full().settings)


@pytest.mark.services("cassandra")
def test_a_column_that_was_added_and_then_dropped_is_not_added_again(own_keyspace: Session) -> None:
    own_keyspace.run_plain(f"ALTER TABLE {own_keyspace.access.keyspace}.orders DROP trigger_price")
    store = ScyllaStore(own_keyspace.access, SqlStore())
    store.init()
    with pytest.raises(StoreMisconfigured, match="table orders has no column trigger_price: drop the table"):
        store.ping()
