"""The store is replaced by an older copy while settlement runs: settlement stops instead of leaving a gap."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from settlement.errors import StoreReplaced
from settlement.receive.chain import stored
from settlement.stores.base import Store, StoreMisconfigured
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.sql.store import SqlStore
from tests.settlement.conftest import Settle
from tests.settlement.durable.outages import at_confirmation
from tests.settlement.fakes import FakeClock, ScriptedFeed, feed_of
from tests.settlement.file_stores import store_in
from tests.settlement.test_worker import BLOCKS, LAST

COPIED, REPLACED = 4, 8
"""The last block of the copy, and the last that is stored and confirmed when it comes into its place."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.sqlite3"


@pytest.fixture
def sql(file: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[SqlStore]:
    with store_in(file, django_db_blocker) as store:
        yield store


def copy_and_put_back(file: Path, feed: ScriptedFeed, store: Store) -> None:
    """The file is copied at block COPIED, and replaced by the copy at block REPLACED; a look at epochs meets it."""
    elsewhere = file.with_name("copy")

    def copy() -> None:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(elsewhere)) as target:
            source.backup(target)

    def put_back() -> None:
        for name in file.parent.glob(f"{file.name}-*"):
            name.unlink()
        elsewhere.replace(file)
        store.epochs()

    at_confirmation(feed, COPIED, copy)
    at_confirmation(feed, REPLACED, put_back)


def test_a_database_file_that_was_put_back_stops_settlement_before_the_gap(
    sql: SqlStore, file: Path, settle: Settle, clock: FakeClock
) -> None:
    feed = feed_of(clock, BLOCKS, per_arrival=1)
    copy_and_put_back(file, feed, sql)
    with pytest.raises(
        StoreReplaced, match=f"Block {REPLACED + 1} was about .* ends with block {COPIED} and lacks the blocks"
    ):
        settle(sql, feed, gather_ms=0, batch_trades=10**6, batch_ms=10**9)
    assert feed.confirmed[-1] == REPLACED
    assert [row.number for row in sql.blocks(1)] == list(range(1, COPIED + 1))
    # Started again, it asks for what is missing; this engine still has it.
    settle(sql, feed_of(clock, BLOCKS[COPIED:], announced=LAST))
    assert sql.projected().block_number == LAST
    assert [row.number for row in sql.blocks(1)] == list(range(1, LAST + 1))


def test_projections_do_not_continue_past_a_gap_either(
    sql: SqlStore, file: Path, settle: Settle, clock: FakeClock
) -> None:
    """The copy comes with the last block, so that nothing is appended any more, only projected."""
    feed = feed_of(clock, BLOCKS[:REPLACED], per_arrival=1)
    copy_and_put_back(file, feed, sql)
    with pytest.raises(
        StoreReplaced,
        match=f"Blocks 1 to {REPLACED} were about to be projected, but the store ends with block {COPIED}",
    ):
        settle(sql, feed, gather_ms=0, batch_trades=10**6)
    assert sql.projected().block_number <= sql.appended().block_number == COPIED


@pytest.mark.services("cassandra")
def test_a_keyspace_that_was_put_back_stops_settlement_before_the_gap(
    new_scylla: Callable[[], ScyllaStore], settle: Settle, clock: FakeClock, db: None
) -> None:
    """No server is put back for this: what is asked is from then on another shard, which holds the first blocks."""
    store, older = new_scylla(), new_scylla()
    older.append_blocks([stored(block) for block in BLOCKS[:COPIED]])
    feed = feed_of(clock, BLOCKS, per_arrival=1)
    at_confirmation(feed, REPLACED, lambda: vars(store).update(vars(older)))
    with pytest.raises(
        StoreReplaced, match=f"Block {REPLACED + 1} was about .* ends with block {COPIED} and lacks the blocks"
    ):
        settle(store, feed, gather_ms=0, batch_trades=10**6, batch_ms=10**9)
    assert feed.confirmed[-1] == REPLACED
    assert [row.number for row in older.blocks(1)] == list(range(1, COPIED + 1))


# Damage


def test_a_damaged_index_stops_settlement_and_makes_no_dead_letters(
    sql: SqlStore, file: Path, settle: Settle, clock: FakeClock
) -> None:
    settle(sql, feed_of(clock, BLOCKS[:REPLACED]))
    sql.close()
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = raw.execute("PRAGMA page_size").fetchone()
        (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'orders_by_symbol'").fetchone()
    with file.open("r+b") as database:
        database.seek((page - 1) * size)
        database.write(b"\xff" * 64)
    with pytest.raises(StoreMisconfigured, match=rf"The database {file} is damaged.*malformed\. Keep a copy"):
        settle(sql, feed_of(clock, BLOCKS[REPLACED:], announced=LAST))
    assert sql.dead_letters() == []
    assert sql.projected().block_number == REPLACED
