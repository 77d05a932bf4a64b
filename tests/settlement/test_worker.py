"""Settlement with feeds that lose and corrupt blocks, stores that fail, and crashes between any two steps."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.core.errors import BadBlock
from matching.transport import wire
from settlement import metrics
from settlement.errors import ChainBroken, ChainConflict, GapUnfilled, Incident, StoreDamaged, TrailUnusable, WrongStore
from settlement.project.trail import NAME, lines_of
from settlement.receive.chain import stored
from settlement.stores.base import Checkpoint, Store
from settlement.stores.sql.store import SqlStore
from tests.reference.streams import random_commands
from tests.settlement.chains import Chain, chain_of, in_epoch
from tests.settlement.conftest import ON_SQL, Settle, empty, tables, trail_text
from tests.settlement.fakes import (
    ADDRESSES,
    FakeClock,
    ScriptedFeed,
    fail_after_doing,
    fail_before_doing,
    feed_of,
    note_calls,
)
from tests.settlement.rows import projection


def market(seed: int = 5, commands: int = 160, block_size: int = 12) -> Chain:
    return chain_of(random_commands(seed, commands, instruments=1, accounts=4, wild=False), block_size)


CHAIN = market()
BLOCKS = CHAIN.blocks
LAST = BLOCKS[-1].number


def flipped(block: Block, byte: int) -> Block:
    data = bytearray(block.data)
    data[byte] ^= 1
    return Block.decode(bytes(data))


undisturbed: dict[str, tuple[Any, Any]] = {}
"""What an undisturbed settlement of BLOCKS leaves, by the name of the store: it is the same each time."""


def expected_rows(store: Store, settle: Settle, clock: FakeClock, folder: Path) -> tuple[Any, Any]:
    """What an undisturbed settlement leaves: tables and trail. Leaves nothing behind itself."""
    name = store._session.alias if isinstance(store, SqlStore) else type(store).__name__
    if name not in undisturbed:
        settle(store, feed_of(clock, BLOCKS))
        undisturbed[name] = tables(store), trail_text(folder)
        empty(store)
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    return undisturbed[name]


def test_blocks_become_rows_and_are_confirmed(store: Store, settle: Settle, clock: FakeClock, folder: Path) -> None:
    feed = feed_of(clock, BLOCKS)
    assert settle(store, feed) == LAST
    assert [row.data for row in store.blocks(1)] == [block.data for block in BLOCKS]
    assert store.appended() == store.projected() == Checkpoint(LAST, CHAIN.engine.state_hash, 1)
    assert feed.confirmed[-1] == LAST
    assert feed.requests == []
    held = [tuple(row[:4]) for row in store.balances() if row.available or row.locked]
    assert held == CHAIN.engine.balances()
    assert [order.order_id for order in store.open_orders()] == sorted(CHAIN.engine.open_order_ids().tolist())
    trades = store.get_trades_by_sequence_range(1, 10**9, 10**6)
    assert len(trades) > 20
    assert [line.split(",")[0] for _, _, line in lines_of(folder)] == [str(trade.trade_id) for trade in trades]


def test_a_skipped_block_is_asked_for_and_settled_in_its_place(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    gaps = metrics.WORKER.get_sample_value("settlement_sequence_gaps_total") or 0
    feed = feed_of(clock, BLOCKS)
    feed.arrivals = [[block for block in arrival if block.number not in (4, 5, 9)] for arrival in feed.arrivals]
    settle(store, feed)
    assert (tables(store), trail_text(folder)) == undisturbed
    assert feed.requests[0][0] == 4
    assert metrics.WORKER.get_sample_value("settlement_sequence_gaps_total") == gaps + 2


def test_blocks_in_any_order_and_twice_are_settled_once(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    feed = ScriptedFeed(clock, [BLOCKS[6:], BLOCKS[:3], BLOCKS[2:8], BLOCKS[:5]])
    settle(store, feed)
    assert (tables(store), trail_text(folder)) == undisturbed


def test_a_block_that_the_engine_has_no_more_stops_settlement_with_nothing_written_past_it(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    feed = feed_of(clock, BLOCKS)
    feed.arrivals = [BLOCKS[:3], BLOCKS[4:]]
    del feed.ring[4]
    with pytest.raises(GapUnfilled, match="Block 4 is missing and the engine no longer has it"):
        settle(store, feed)
    assert store.appended().block_number == 3
    assert [row.number for row in store.blocks(1)] == [1, 2, 3]
    assert store.projected().block_number <= 3


def test_a_requested_block_without_any_answer_is_given_up_after_a_deadline(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    feed = feed_of(clock, BLOCKS, deaf=10**9, silent_after=1000)
    feed.arrivals = [BLOCKS[:3], BLOCKS[4:]]
    began = clock.monotonic()
    with pytest.raises(GapUnfilled, match="did not arrive after 6 requests"):
        settle(store, feed)
    assert store.appended().block_number == 3
    assert len(feed.requests) == 6
    assert 20 < clock.monotonic() - began < 60


def test_a_request_that_is_lost_is_sent_again(store: Store, settle: Settle, clock: FakeClock) -> None:
    feed = feed_of(clock, BLOCKS, deaf=3)
    feed.arrivals = [BLOCKS[:3], BLOCKS[4:]]
    assert settle(store, feed) == LAST
    assert [first for first, _ in feed.requests] == [4, 4, 4, 4]


def test_time_spent_projecting_is_not_time_without_an_answer(store: Store, settle: Settle, clock: FakeClock) -> None:
    """What was asked for is on its way meanwhile: asking again would bring it twice."""
    feed = ScriptedFeed(clock, [], announced=LAST, deaf=1)
    note_calls(feed, "request", lambda: feed.arrivals.extend([BLOCKS[:8], [], [], BLOCKS[8:]]))
    note_calls(store, "insert_batch", lambda: clock.sleep(60))
    assert settle(store, feed, batch_trades=1, batch_ms=0) == LAST
    assert feed.requests == [(1, LAST)]


def test_blocks_from_before_settlement_began_are_asked_for(store: Store, settle: Settle, clock: FakeClock) -> None:
    """The engine announces what it has; nobody publishes it again."""
    feed = feed_of(clock, BLOCKS, announced=LAST)
    feed.arrivals = []
    assert settle(store, feed, request_blocks=4) == LAST
    assert feed.requests[:2] == [(1, 4), (5, 8)]


def test_an_announced_block_is_given_time_to_arrive_by_itself(store: Store, settle: Settle, clock: FakeClock) -> None:
    feed = feed_of(clock, BLOCKS, announced=LAST)
    settle(store, feed)
    assert feed.requests == []


@pytest.mark.parametrize("byte", [9, 16, 24, 45, 65, 72, 79, 80, 200, -1])
def test_a_flipped_bit_stops_settlement_before_the_block(
    store: Store, settle: Settle, clock: FakeClock, byte: int
) -> None:
    feed = feed_of(clock, BLOCKS, per_arrival=1)
    feed.arrivals[4] = [flipped(BLOCKS[4], byte)]
    with pytest.raises(Incident):
        settle(store, feed)
    assert store.appended() == Checkpoint(4, BLOCKS[3].hash, 1)
    assert feed.confirmed[-1] == 4


def test_bytes_that_are_no_block_stop_settlement(store: Store, settle: Settle, clock: FakeClock) -> None:
    def garbage(timeout_s: float, limit: int) -> list[Block]:
        raise BadBlock("These bytes are no block.")

    feed = feed_of(clock, BLOCKS)
    feed.receive = garbage  # type: ignore[method-assign]
    with pytest.raises(ChainBroken, match="The message received after block 0 is not a block"):
        settle(store, feed)


def test_a_block_of_another_chain_is_refused(store: Store, settle: Settle, clock: FakeClock) -> None:
    other = market(seed=6).blocks
    with pytest.raises(ChainBroken, match="follows hash"):
        settle(store, feed_of(clock, [*BLOCKS[:3], *other[3:5]]))
    assert store.appended().block_number == 3


def test_a_block_of_an_older_epoch_than_the_one_before_is_refused(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    """Also where nobody has begun an epoch in the store."""
    (older,) = in_epoch(BLOCKS[1:2], 0, BLOCKS[0].hash)
    with pytest.raises(ChainConflict, match="epoch 0, but the chain is in epoch 1"):
        settle(store, feed_of(clock, [BLOCKS[0], older], per_arrival=1))
    assert store.appended().block_number == 1


def test_repeats_are_confirmed_again(store: Store, settle: Settle, clock: FakeClock) -> None:
    settle(store, feed_of(clock, BLOCKS))
    feed = ScriptedFeed(clock, [BLOCKS[2:5]], announced=LAST)
    assert settle(store, feed) == 0
    assert feed.confirmed == [LAST, LAST], "at the start, and when they came"


def test_a_repeat_with_other_bytes_stops_settlement(store: Store, settle: Settle, clock: FakeClock) -> None:
    settle(store, feed_of(clock, BLOCKS))
    with pytest.raises(ChainConflict, match="Block 3 was received again with other bytes"):
        settle(store, ScriptedFeed(clock, [[flipped(BLOCKS[2], 100)]], announced=LAST))


def test_a_repeat_of_a_block_that_the_store_has_lost_stops_settlement(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    settle(store, feed_of(clock, BLOCKS))
    get_block = store.get_block
    store.get_block = lambda number: None if number == 3 else get_block(number)  # type: ignore[method-assign]
    with pytest.raises(StoreDamaged, match=f"last block is {LAST}, but block 3 is missing"):
        settle(store, ScriptedFeed(clock, [BLOCKS[2:3]], announced=LAST))


@pytest.mark.parametrize("byte", [72, 100])
def test_a_repeat_of_a_block_of_this_run_with_other_bytes_stops_settlement(
    store: Store, settle: Settle, clock: FakeClock, byte: int
) -> None:
    with pytest.raises(ChainConflict, match="Block 2 was received again with other bytes"):
        settle(store, ScriptedFeed(clock, [BLOCKS[:3], [flipped(BLOCKS[1], byte)]], announced=LAST))
    assert store.appended().block_number == 3


def test_an_engine_that_is_behind_the_store_is_reported(store: Store, settle: Settle, clock: FakeClock) -> None:
    settle(store, feed_of(clock, BLOCKS))
    with pytest.raises(ChainConflict, match=f"at block 2, but the store already has block {LAST}"):
        settle(store, ScriptedFeed(clock, [], announced=2))


def test_an_engine_with_another_chain_as_long_is_reported(store: Store, settle: Settle, clock: FakeClock) -> None:
    settle(store, feed_of(clock, BLOCKS))
    other = flipped(BLOCKS[-1], 100)
    with pytest.raises(ChainConflict, match="was received again with other bytes"):
        settle(store, ScriptedFeed(clock, [], {LAST: other}, announced=LAST))


def test_an_engine_that_waits_for_a_lost_confirmation_gets_it(store: Store, settle: Settle, clock: FakeClock) -> None:
    settle(store, feed_of(clock, BLOCKS))
    feed = feed_of(clock, BLOCKS, announced=LAST)
    feed.arrivals = []
    settle(store, feed)
    assert feed.confirmed == [LAST, LAST], "at the start, and when it announced its last block"


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (wire.WRONG_STORE, WrongStore, "The engine uses another store than this settlement .* give both the same"),
        (wire.WRONG_BLOCK, ChainConflict, "The engine has another chain than the store .* Block 3 has hash 7"),
    ],
)
@ON_SQL
def test_a_refused_confirmation_stops_settlement_before_it_stores_a_block_and_says_what_is_wrong(
    store: Store, settle: Settle, clock: FakeClock, code: str, error: type[Exception], says: str
) -> None:
    feed = feed_of(clock, BLOCKS, refused=wire.Refused(code, "Block 3 has hash 7."))
    with pytest.raises(error, match=says):
        settle(store, feed)
    assert store.appended().block_number == 0


@ON_SQL
def test_a_refusal_of_an_engine_that_leads_no_more_is_forgotten_with_it(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    feed = feed_of(clock, BLOCKS, refused=wire.Refused(wire.WRONG_BLOCK, "Block 3 has hash 7."))
    receive = feed.receive

    def receive_and_be_replaced(timeout_s: float, limit: int) -> list[Block]:
        if not store.epochs():
            store.begin_epoch(Epoch(1, 1, 0, "one", ADDRESSES.commands, ADDRESSES.blocks, ADDRESSES.retransmission, 1))
        return receive(timeout_s, limit)

    feed.receive = receive_and_be_replaced  # type: ignore[method-assign]
    settle(store, feed)
    assert store.appended().block_number == LAST


def test_blocks_that_a_dead_engine_sent_too_early_are_forgotten(store: Store, settle: Settle, clock: FakeClock) -> None:
    """It is started again from what settlement has, and makes other blocks."""
    dead, feed = market(seed=6), ScriptedFeed(clock, [], deaf=10**9)
    told = [(BLOCKS[:3], 3), ([dead.blocks[8]], 9), ([], 3), *(([block], block.number) for block in BLOCKS[3:])]

    def receive(timeout_s: float, limit: int) -> list[Block]:
        feed.silent_rounds = 0 if told else feed.silent_rounds + 1
        blocks, feed.announced = told.pop(0) if told else ([], LAST)
        return blocks

    feed.receive = receive  # type: ignore[method-assign]
    settle(store, feed)
    assert store.appended() == Checkpoint(LAST, CHAIN.engine.state_hash, 1)


def test_it_stops_at_the_given_block(store: Store, settle: Settle, clock: FakeClock) -> None:
    assert settle(store, feed_of(clock, BLOCKS), until_block=7) == 7
    assert store.appended().block_number == store.projected().block_number == 7
    assert settle(store, feed_of(clock, BLOCKS), until_block=7) == 0


# The store

WRITES = ("append_blocks", "insert_batch")


@pytest.mark.parametrize("method", WRITES)
def test_a_store_that_times_out_after_writing_does_no_harm(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, method: str
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    calls = fail_after_doing(store, method, times=4)
    settle(store, feed_of(clock, BLOCKS))
    assert (tables(store), trail_text(folder)) == undisturbed
    assert len(calls) > 1


@pytest.mark.parametrize("method", [*WRITES, "appended", "projected", "definitions", "get_balances", "dead_letters"])
def test_a_store_that_does_not_answer_is_asked_again_later_and_later(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, method: str
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    began = clock.monotonic()
    fail_before_doing(store, method, times=6)
    settle(store, feed_of(clock, BLOCKS))
    assert (tables(store), trail_text(folder)) == undisturbed
    assert clock.monotonic() - began > 0.05 * (2**6 - 1)


def test_blocks_wait_in_bounded_memory_while_the_store_does_not_answer(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    feed = feed_of(clock, BLOCKS, per_arrival=1)
    asked: list[int] = []
    receive = feed.receive

    def noting(timeout_s: float, limit: int) -> list[Block]:
        asked.append(limit)
        return receive(timeout_s, limit)

    feed.receive = noting  # type: ignore[method-assign]
    fail_before_doing(store, "append_blocks", times=12)
    settle(store, feed, waiting_blocks=5, spill_bytes=0)
    assert store.projected().block_number == LAST
    assert asked[1:6] == [4, 3, 2, 1, 1]  # nothing is taken from the feed while five blocks wait


def test_it_stops_also_while_it_waits_for_the_store(store: Store, settle: Settle, clock: FakeClock) -> None:
    feed = feed_of(clock, BLOCKS)
    fail_before_doing(store, "append_blocks", times=10**9)
    assert settle(store, feed) == 0
    assert store.appended().block_number == 0


def test_projection_reads_back_what_memory_does_not_hold(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    settle(store, feed_of(clock, BLOCKS, per_arrival=100), backlog_bytes=1, batch_events=20)
    assert (tables(store), trail_text(folder)) == undisturbed


def test_appends_and_projection_both_continue_under_load(store: Store, settle: Settle, clock: FakeClock) -> None:
    order: list[str] = []
    for name in WRITES:
        note_calls(store, name, partial(order.append, name))
    settle(store, feed_of(clock, BLOCKS, per_arrival=1), receive_blocks=1, batch_events=1, batch_trades=1)
    first = order.index("insert_batch")
    assert order[:first] == ["append_blocks"] * 8
    assert "append_blocks" in order[first:]


def test_a_small_batch_is_projected_after_its_time(store: Store, settle: Settle, clock: FakeClock) -> None:
    feed = feed_of(clock, BLOCKS[:3])
    projected: list[float] = []
    note_calls(store, "insert_batch", lambda: projected.append(clock.monotonic()))
    began = clock.monotonic()
    settle(store, feed, batch_trades=10**6, batch_ms=250)
    assert len(projected) == 1
    assert 0.25 <= projected[0] - began < 0.5


def test_checkpoints_that_contradict_each_other_are_reported(store: Store, settle: Settle, clock: FakeClock) -> None:
    settle(store, feed_of(clock, BLOCKS[:3]))
    store.insert_batch(projection(5))
    with pytest.raises(StoreDamaged, match="projected to block 5, but has blocks only up to 3"):
        settle(store, feed_of(clock, BLOCKS))


def test_a_damaged_block_of_the_store_is_not_projected(store: Store, settle: Settle, clock: FakeClock) -> None:
    good, bad = stored(BLOCKS[0]), stored(BLOCKS[1])
    store.append_blocks([good, bad._replace(data=flipped(BLOCKS[1], 100).data), stored(BLOCKS[2])])
    with pytest.raises(StoreDamaged, match="Block 2 of the store is damaged"):
        settle(store, ScriptedFeed(clock, []))
    assert store.projected().block_number == 0


# The trail


def test_a_trail_that_was_taken_away_is_written_again(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS))
    text = trail_text(folder)
    for path in folder.glob("settled_trades*.csv"):
        path.unlink()
    settle(store, ScriptedFeed(clock, []))
    assert trail_text(folder) == text


def test_lines_are_in_the_trail_before_the_checkpoint_moves(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    lines: list[int] = []
    note_calls(store, "insert_batch", lambda: lines.append(len(list(lines_of(folder)))))
    settle(store, feed_of(clock, BLOCKS, per_arrival=100), batch_trades=10**6)
    assert lines == [len(store.get_trades_by_sequence_range(1, 10**9, 10**6))]


@pytest.mark.parametrize("wrong", ["8,", "999999,"])
def test_a_trail_of_another_chain_is_refused(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, wrong: str
) -> None:
    settle(store, feed_of(clock, BLOCKS))
    file = folder / NAME
    *lines, last = file.read_text().splitlines()
    file.write_text("\n".join([*lines, wrong + last.split(",", 1)[1]]) + "\n")
    with pytest.raises(TrailUnusable, match="belongs to another chain"):
        settle(store, ScriptedFeed(clock, []))
