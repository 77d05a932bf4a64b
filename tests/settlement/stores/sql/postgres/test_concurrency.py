"""Two processes that write to one PostgreSQL at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from scripts.services import Running
from settlement.stores.base import (
    Fenced,
    Outrun,
    StoreError,
    StoreUnavailable,
)
from settlement.stores.sql import statements
from settlement.stores.sql.store import SqlStore
from tests.matching.small_exchange import until
from tests.settlement.rows import block, epoch
from tests.settlement.stores.sql.postgres.conftest import ALIAS, Raw, elsewhere, waits_for_a_lock

pytestmark = pytest.mark.services("postgres")

ROUNDS = 30


def test_an_epoch_waits_for_blocks_that_are_being_appended(sql: SqlStore, other: Raw) -> None:
    with ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute("SELECT * FROM settlement_checkpoints FOR UPDATE")
            begin = pool.submit(elsewhere, sql, lambda store: store.begin_epoch(epoch(2, 2, 2**64 - 1)))
            until(lambda: waits_for_a_lock(other), "the epoch to wait")
            other.execute("UPDATE settlement_checkpoints SET block_number = 2 WHERE stage = 'appended'")
        assert isinstance(begin.result(10), Outrun)
    assert sql.epochs() == []


def test_blocks_wait_for_an_epoch_that_is_being_begun_and_are_fenced(sql: SqlStore, other: Raw) -> None:
    with ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute(statements.LOCK_CHECKPOINT.encode(), ["appended"])
            append = pool.submit(elsewhere, sql, lambda store: store.append_blocks([block(2)]))
            until(lambda: waits_for_a_lock(other), "the blocks to wait")
            values = [*epoch(2, 2)]
            values[2] = f"{values[2]:016x}"
            other.execute(statements.PUT_EPOCH.encode(), values)
        assert isinstance(append.result(10), Fenced)
    assert sql.appended().block_number == 1


@pytest.mark.parametrize("isolation", [None, *psycopg.IsolationLevel])
def test_of_a_block_and_an_epoch_that_rule_each_other_out_one_comes_about(
    postgres: Running, database: str, use: Callable[..., None], isolation: psycopg.IsolationLevel | None
) -> None:
    use(postgres, database, OPTIONS={} if isolation is None else {"isolation_level": isolation})
    store = SqlStore(ALIAS)
    barrier = threading.Barrier(2)

    def race(call: Callable[[SqlStore], None]) -> StoreError | None:
        """As settlement and engines do, they ask again when the store could not say."""
        barrier.wait(10)
        while isinstance(error := elsewhere(store, call), StoreUnavailable):
            assert "serialize" in str(error)
        return error

    with ThreadPoolExecutor(2) as pool:
        for number in range(1, ROUNDS + 1):
            height = store.appended().block_number + 1
            row, begins = block(height, epoch=number - 1), epoch(number, height, store.appended().hash)
            append = pool.submit(race, lambda store, row=row: store.append_blocks([row]))  # type: ignore[misc]
            begin = pool.submit(race, lambda store, begins=begins: store.begin_epoch(begins))  # type: ignore[misc]
            refusals = (type(append.result(30)), type(begin.result(30)))
            assert refusals in ((Fenced, type(None)), (type(None), Outrun))
            if refusals[0] is not Fenced:  # the next round's blocks are of the epoch before it
                store.begin_epoch(begins._replace(first_block=height + 1, prev_hash=row.hash))
    assert len(store.epochs()) == ROUNDS


def test_two_that_append_at_once_leave_every_block(sql: SqlStore) -> None:
    rows = [block(number) for number in range(2, 60)]

    def append(store: SqlStore) -> None:
        for row in rows:
            store.append_blocks([row])

    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(elsewhere, [sql, sql], [append, append])] == [None, None]
    assert [*sql.blocks(2)] == rows
