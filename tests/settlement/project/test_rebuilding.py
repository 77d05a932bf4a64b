"""Projections are dropped and rebuilt from the blocks."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection, connections

from settlement.errors import NotReady, StoreDamaged
from settlement.options import Options
from settlement.project import rebuilding
from settlement.project.dead_letters import DeadLetters, encode
from settlement.project.projection import EmptyTables, Projector
from settlement.project.trail import Trail
from settlement.stores.base import Checkpoint, Store
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.scylla.write import resets
from settlement.stores.sql.store import SqlStore
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.conftest import ON_SCYLLA, ON_SQL, Settle, restarted, tables, trail_text
from tests.settlement.fakes import Crash, FakeClock, Tripwires, fail_before_doing, feed_of
from tests.settlement.rows import MOST, balance, entry, letter, projection

CHAIN = chain_of(random_commands(5, 200, instruments=1, accounts=4, wild=False), 12)
BLOCKS = CHAIN.blocks
LAST = BLOCKS[-1].number


@pytest.fixture
def settled(store: Store, settle: Settle, clock: FakeClock) -> Store:
    settle(store, feed_of(clock, BLOCKS))
    return store


def rebuild(
    store: Store, folder: Path, clock: FakeClock, from_block: int = 1, stop: Callable[[], bool] = lambda: False
) -> int:
    trail = Trail(folder)
    try:
        letters, options = DeadLetters(store, folder, clock), Options(batch_trades=5, batch_events=30)
        return rebuilding.rebuild(
            store, trail=trail, letters=letters, clock=clock, stop=stop, options=options, from_block=from_block
        )
    finally:
        trail.close()


def damage(store: Store, from_event: int) -> None:
    """Rows of this event and later ones are changed; in SQL some are removed and added too."""
    if isinstance(store, ScyllaStore):
        spoil(store, from_event)
        return
    assert isinstance(store, SqlStore)
    with connections[store._session.alias].cursor() as cursor:
        for statement in (
            "UPDATE settled_trades SET price = 1 WHERE trade_id >= %s",
            "DELETE FROM ledger_events WHERE entry >= %s * 16 AND entry %% 3 = 0",
            "UPDATE orders SET filled = 99, status = 'filled' WHERE updated_sequence >= %s",
            "UPDATE balances SET available = 7 WHERE sequence >= %s",
            "UPDATE balances SET account = account + 100 WHERE sequence >= %s AND asset = 'USD'",
            "DELETE FROM candles WHERE last_trade_id >= %s",
            "UPDATE trading_days SET last_trade_id = last_trade_id + 1000 WHERE last_trade_id >= %s",
        ):
            cursor.execute(statement, [from_event])


def spoil(store: Store, from_event: int) -> None:
    """As the newest projections of some other program would."""
    trades = store.get_trades_by_sequence_range(from_event, MOST, 10**4)
    orders = [row for row in store.get_orders_by_sequence_range(0, MOST, 10**4) if row.updated_sequence >= from_event]
    balances = [row for row in store.balances() if row.sequence >= from_event]
    candles = [row for row in store.candles("BTC-USD", 10**4) if row.last_trade_id >= from_event]
    foreign = projection(
        trades=[row._replace(price=MOST) for row in trades],
        orders=[row._replace(filled=MOST, status="open", updated_sequence=10**6) for row in orders],
        ledger_events=[entry(from_event, 7, account) for account in (1, 2, 100)],
        balances=[row._replace(available=MOST, sequence=10**6) for row in balances] + [balance(100, sequence=10**6)],
        candles=[row._replace(close=MOST, last_trade_id=10**6) for row in candles],
    )
    store.insert_rows(foreign)
    assert not trades or tables(store)["trades"] != trades


@pytest.mark.parametrize("from_block", [1, 2, 7, LAST, LAST + 1])
def test_a_rebuilt_store_is_the_store_again(settled: Store, clock: FakeClock, folder: Path, from_block: int) -> None:
    before = tables(settled), trail_text(folder)
    if from_block <= LAST:
        damage(settled, BLOCKS[from_block - 1].first_event_sequence)
    assert rebuild(settled, folder, clock, from_block) == LAST
    assert (tables(settled), trail_text(folder)) == before


def test_rebuilding_continues_where_projection_was_behind(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS))
    before = tables(store)
    rebuilt = rebuilding.state_after(store.blocks(1, 6), lambda done, last: None)
    store.reset_projections(BLOCKS[6].first_event_sequence, rebuilt)
    assert store.projected().block_number == 6
    assert rebuild(store, folder, clock, from_block=9) == LAST
    assert tables(store) == before


def test_a_rebuild_that_was_killed_is_continued_by_settlement(
    settled: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    before = tables(settled)
    wires = Tripwires(at=4, after=True)
    wires.wrap(settled, ["insert_batch"])
    with pytest.raises(Crash):
        rebuild(settled, folder, clock)
    assert 0 < settled.projected().block_number < LAST
    settle(settled, feed_of(clock, BLOCKS, announced=LAST))
    assert tables(settled) == before


def test_dead_letters_of_rebuilt_blocks_are_resolved(settled: Store, clock: FakeClock, folder: Path) -> None:
    for number in (3, 9):
        settled.put_dead_letter(letter(number, projection=encode([projection(number)])))
    rebuild(settled, folder, clock, from_block=5)
    assert [found.id for found in settled.dead_letters()] == [3]


def test_a_dead_letter_of_a_block_that_waits_to_be_projected_is_not_built_upon(
    settled: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    """A rebuild was killed between dropping the rows and resolving the letters."""
    before = tables(settled)
    refused = Projector(EmptyTables(), kept=None).project(BLOCKS)._replace(checkpoint=Checkpoint(9, 0, 1))
    settled.put_dead_letter(letter(9, projection=encode([refused])))
    settled.drop_projections()
    letters = DeadLetters(settled, folder, clock)
    with pytest.raises(NotReady, match="is projected only to block 0"):
        letters.replay(letters.unresolved()[0])
    settle(settled, feed_of(clock, BLOCKS, announced=LAST))
    assert tables(settled) == before
    assert settled.dead_letters() == []


@pytest.mark.parametrize("from_block", [1, 5, LAST + 1])
def test_where_nothing_is_projected_everything_is_made_again(
    settled: Store, clock: FakeClock, folder: Path, from_block: int
) -> None:
    """Whatever block was asked for: nobody knows what a rebuild that was killed has dropped."""
    before = tables(settled)
    settled.drop_projections()
    assert rebuild(settled, folder, clock, from_block) == LAST
    assert tables(settled) == before


@ON_SCYLLA
@pytest.mark.parametrize("from_block", [1, 5])
def test_a_rebuild_that_was_killed_while_it_dropped_can_be_started_again(
    settled: Store, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch, from_block: int
) -> None:
    def die(*arguments: object) -> None:
        raise Crash

    before = tables(settled)
    with monkeypatch.context() as patched:
        patched.setattr(resets.ProjectionReset, "_drop_by_account", die)
        with pytest.raises(Crash):
            rebuild(settled, folder, clock, from_block)
    assert tables(settled) != before
    assert rebuild(restarted(settled), folder, clock, from_block) == LAST
    assert tables(settled) == before


@pytest.mark.parametrize("from_block", [-1, 0, LAST + 2])
def test_a_block_that_is_not_there_is_refused(settled: Store, clock: FakeClock, folder: Path, from_block: int) -> None:
    before = tables(settled)
    with pytest.raises(NotReady, match="there is no block"):
        rebuild(settled, folder, clock, from_block)
    assert tables(settled) == before


@ON_SQL
def test_a_damaged_block_is_reported_before_anything_is_dropped(settled: Store, clock: FakeClock, folder: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engine_blocks SET data = %s WHERE number = 3", [BLOCKS[2].data[:-1] + b"x"])
    before = tables(settled)
    with pytest.raises(StoreDamaged, match="Block 3 of the store is damaged"):
        rebuild(settled, folder, clock, from_block=5)
    assert tables(settled) == before


@ON_SQL
def test_a_rebuild_waits_for_a_store_that_does_not_answer_until_it_is_stopped(
    settled: Store, clock: FakeClock, folder: Path
) -> None:
    before, began_s = tables(settled), clock.monotonic()
    fail_before_doing(settled, "insert_batch", times=2)
    assert rebuild(settled, folder, clock) == LAST
    assert clock.monotonic() > began_s
    assert tables(settled) == before
    other = restarted(settled)
    calls = fail_before_doing(other, "insert_batch", times=2)
    with pytest.raises(rebuilding.Stopped):
        rebuild(other, folder, clock, stop=lambda: bool(calls))


@ON_SQL
def test_a_rebuild_of_the_last_blocks_reads_the_earlier_ones_in_batches(
    settled: Store, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(settled)
    damage(settled, BLOCKS[LAST - 2].first_event_sequence)
    monkeypatch.setattr(rebuilding, "_BATCH_EVENTS", 25)
    assert rebuild(settled, folder, clock, from_block=LAST - 1) == LAST
    assert tables(settled) == before


@ON_SQL
@pytest.mark.parametrize("from_block", [1, 5])
def test_blocks_that_the_store_has_lost_are_reported(
    settled: Store, clock: FakeClock, folder: Path, from_block: int
) -> None:
    get_block = settled.get_block
    settled.get_block = lambda number: None if number == 4 else get_block(number)  # type: ignore[method-assign]
    settled.blocks = lambda first, last=None: iter(())  # type: ignore[method-assign]
    with pytest.raises(StoreDamaged, match="block 1 is missing" if from_block == 1 else "lacks block 4"):
        rebuild(settled, folder, clock, from_block)


@ON_SQL
def test_a_damaged_block_stops_a_rebuild_of_everything_before_the_block(
    settled: Store, clock: FakeClock, folder: Path
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engine_blocks SET data = %s WHERE number = 3", [BLOCKS[2].data[:-1] + b"x"])
    with pytest.raises(StoreDamaged, match="Block 3 of the store is damaged"):
        rebuild(settled, folder, clock)
    assert settled.projected().block_number < 3
