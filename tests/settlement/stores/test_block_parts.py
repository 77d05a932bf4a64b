"""Large blocks are stored in parts and read as a whole; rows of versions without parts are still read."""

import os
import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from django.db import connections

from matching.core.blocks import Block
from matching.core.errors import BadBlock
from scripts.services import Running
from settlement import wiring
from settlement.receive.chain import stored
from settlement.stores import block_parts
from settlement.stores.base import Checkpoint, Store, StoredBlock, StoreUninitialized
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.scylla.tables.schema import statements
from settlement.stores.sql.store import SqlStore
from tests.settlement.conftest import ON_SCYLLA, ON_SQL, restarted
from tests.settlement.large_blocks import large_block
from tests.settlement.rows import block, epoch

SMALL = 1000
MIB = 1 << 20
OLD_LIMIT = 15 * MIB
keyspaces = count()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_parts, "PART_BYTES", SMALL)


def sized(number: int, size: int, **more: Any) -> StoredBlock:
    return block(number, data=random.Random(size).randbytes(size), **more)


# Of any size


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, 7 * SMALL + 3])
def test_parts_are_bounded_and_give_the_block_again(small_parts: None, size: int) -> None:
    whole = sized(1, size)
    row = whole._replace(data=block_parts.in_row(whole.data))
    parts = list(block_parts.parts_of(whole))
    assert [part.part for part in parts] == list(range(1, len(parts) + 1))
    assert {part.parts for part in parts} <= {len(parts)}
    assert all(0 < len(part.data) <= SMALL for part in parts)
    assert block_parts.may_have_parts(row) or not parts
    assert block_parts.joined(row, (part.data for part in parts)) == whole


def test_blocks_in_parts_come_back_byte_for_byte_from_every_lookup(store: Store, small_parts: None) -> None:
    sizes = (SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, 21 * SMALL + 7, 5)
    written = [sized(number, size) for number, size in enumerate(sizes, 1)]
    store.append_blocks(written)
    store.append_blocks(written)
    assert list(restarted(store).blocks(1)) == written
    assert [store.get_block(one.number) for one in written] == written
    assert [store.block_of_event(one.last_event_sequence) for one in written] == written
    assert store.newest_blocks(1, before=6) == [written[4]._replace(data=b"")]


def test_a_block_past_the_old_limit_is_stored_and_read(store: Store) -> None:
    large = stored(large_block(17 * MIB))
    assert len(large.data) > OLD_LIMIT
    store.append_blocks([large])
    found = restarted(store).get_block(1)
    assert found == large
    Block.decode(large.data).verify(1, 0)
    assert store.appended() == Checkpoint(1, large.hash, 1)
    following = block(2, prev_hash=large.hash)
    store.append_blocks([following])
    assert list(store.blocks(1)) == [large, following]


@ON_SCYLLA
def test_parts_of_a_copy_that_an_epoch_overruled_are_not_read(store: Store, small_parts: None) -> None:
    """An append of the old epoch died after its blocks; the new epoch's block of that number is a shorter one."""
    assert isinstance(store, ScyllaStore)
    store.append_blocks([block(1)])
    store.begin_epoch(epoch(1, 2, block(1).hash))
    overruled, ours = sized(2, 9 * SMALL, hash=7), sized(2, 3 * SMALL, epoch=2)
    store._fences._put_blocks([overruled])
    store.begin_epoch(epoch(2, 2, block(1).hash))
    store.append_blocks([ours])
    store._fences._put_blocks([overruled])
    assert restarted(store).get_block(2) == ours


@pytest.mark.parametrize("part", [1, 3])
@ON_SQL
def test_a_block_without_one_of_its_parts_is_reported_as_damaged(store: Store, small_parts: None, part: int) -> None:
    large = stored(large_block(10 * SMALL))
    store.append_blocks([large])
    with connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM engine_block_parts WHERE part = %s", [part])
    found = store.get_block(1)
    assert found is not None
    with pytest.raises(BadBlock, match="truncated or damaged"):
        Block.decode(found.data)


# As older versions left it

OLD_SQL = (
    "INSERT INTO engine_blocks (number, hash, prev_hash, epoch, timestamp_ns, first_command_sequence, "
    "last_command_sequence, first_event_sequence, last_event_sequence, trade_count, data) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
OLD_CQL = (
    "INSERT INTO engine_blocks (shard, bucket, number, epoch, timestamp_ns, first_command_sequence, "
    "last_command_sequence, first_event_sequence, last_event_sequence, trade_count, hash, prev_hash, data) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
OLD_CHECKPOINT = (
    "INSERT INTO settlement_checkpoints (shard, stage, block_number, hash, epoch, generation) "
    "VALUES (?, 'appended', ?, ?, ?, 0) USING TIMESTAMP ?"
)
NEW_TABLES = {"engine_block_parts", "key_registers", "projection_progress"}
"""The versions before parts do not have them."""
OLD_SIZES = (100, MIB - 1, MIB, MIB + 1, 5 * MIB, 12)
SQL_DATABASES = [
    pytest.param("default", marks=pytest.mark.django_db),
    pytest.param(
        "postgres",
        marks=[pytest.mark.services("postgres"), pytest.mark.django_db(databases=["default", "postgres"])],
    ),
]


@pytest.fixture
def old_keyspace(cassandra: Running, db: None) -> Iterator[Access]:
    """As a version without parts made it."""
    access = Access((cassandra.host,), cassandra.port, f"settlement_old_{os.getpid()}_{next(keyspaces)}")
    session = Session(access)
    for statement in statements(access.keyspace, access.replication):
        name = statement.partition(f"{access.keyspace}.")[2].split(" ")[0]
        if name not in NEW_TABLES:
            session.run_plain(statement)
    yield access
    session.run_plain(f"DROP KEYSPACE {access.keyspace}")


def old_rows() -> list[StoredBlock]:
    return [sized(number, size) for number, size in enumerate(OLD_SIZES, 1)]


@pytest.mark.parametrize("alias", SQL_DATABASES)
def test_rows_of_a_version_without_parts_are_read_from_sql(alias: str) -> None:
    rows = old_rows()
    with connections[alias].cursor() as cursor:
        for one in rows:
            cursor.execute(OLD_SQL, [one.number, f"{one.hash:016x}", f"{one.prev_hash:016x}", *one[3:]])
    assert list(SqlStore(alias).blocks(1)) == rows
    assert [SqlStore(alias).get_block(one.number) for one in rows] == rows


@pytest.mark.services("cassandra")
def test_a_keyspace_of_a_version_without_parts_is_upgraded_and_its_rows_are_read(old_keyspace: Access) -> None:
    store, rows = ScyllaStore(old_keyspace, SqlStore()), old_rows()
    with pytest.raises(StoreUninitialized, match=r"lacks engine_block_parts.*: manage.py init_store creates"):
        store.ping()
    wiring.make_tables_if_missing(store)
    session = Session(old_keyspace)
    for one in rows:
        digests = f"{one.hash:016x}", f"{one.prev_hash:016x}"
        session.run(OLD_CQL, (0, one.number // 64, one.number, *one[3:-1], *digests, one.data, 1 << 34))
    session.run(OLD_CHECKPOINT, (0, len(rows), f"{rows[-1].hash:016x}", 1, 1 << 34))
    assert list(store.blocks(1)) == rows
    assert [store.get_block(one.number) for one in rows] == rows
    following = sized(len(rows) + 1, 3 * MIB)
    store.append_blocks([following])
    assert list(restarted(store).blocks(len(rows))) == [rows[-1], following]
