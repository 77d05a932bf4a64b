"""The volume of a minute may exceed int64: every trade is stored, and the candle has the largest int64."""

from pathlib import Path
from typing import Any

import pytest

from matching.core.decimals import INT64_MAX
from matching.core.engine import Engine
from settlement.audit import verify
from settlement.options import Options
from settlement.project import dead_letters, projector, rebuilding
from settlement.project.dead_letters import DeadLetters
from settlement.project.trail import Trail
from settlement.stores.base import MAX_VOLUME, Candle, Store
from tests.settlement.chains import Chain, deposit
from tests.settlement.conftest import Settle, tables
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.row_by_row import projection as row_by_row
from tests.settlement.rows import candle
from tests.settlement.rows import projection as rows_of

LOTS = 4 * 10**18
"""Traded by one order; the supply of an asset is at most 2^62, which is a little more."""
UNBOUNDED = 1 << 80

DEFINITIONS: list[dict[str, Any]] = [
    {"command": "asset", "symbol": "AAA", "decimals": 6},
    {"command": "asset", "symbol": "USD", "decimals": 6},
    {
        "command": "instrument",
        "symbol": "AAA-USD",
        "base": "AAA",
        "quote": "USD",
        "tick_size": "1",
        "lot_size": "0.000001",
        "min_quantity": "0.000001",
        "max_quantity": "4611686018427.387904",
        "min_notional": "0",
        "maker_fee": 0,
        "taker_fee": 0,
    },
]


def trade_of(lots: int, seller: int, buyer: int) -> list[dict[str, Any]]:
    """Two orders that meet at a price of 1."""
    quantity = f"{lots // 10**6}.{lots % 10**6:06}"
    shared = {"command": "order", "symbol": "AAA-USD", "order_type": "limit", "price": "1", "quantity": quantity}
    return [{**shared, "account": seller, "side": "sell"}, {**shared, "account": buyer, "side": "buy"}]


def passes_int64() -> Chain:
    """The same lots go to and fro three times in one minute, one lot more follows in it, and two in the next."""
    chain = Chain(start_ns=1_767_225_620_000_000_000, step_ns=10 * 10**9).add(*DEFINITIONS)  # at 20 s of a minute
    chain.add(deposit(1, "AAA", str(LOTS // 10**6), "a"), deposit(2, "USD", str(LOTS // 10**6), "b"))
    for seller, buyer in ((1, 2), (2, 1), (1, 2)):
        chain.add(*trade_of(LOTS, seller, buyer))
    chain.add(*trade_of(1, 2, 1))
    for _ in range(2):
        chain.end_block()
    return chain.add(*trade_of(2, 2, 1))


CHAIN = passes_int64()
BLOCKS = CHAIN.blocks
PASSES = 7
"""The block whose trade takes the volume past int64."""


def candles_of(store: Store) -> list[Candle]:
    return store.candles("AAA-USD", 10)


def unbound_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settlement as in a version that did not bound volumes: it projected row by row."""
    monkeypatch.setattr(projector, "Projector", row_by_row.RowProjector)
    for module in (row_by_row, dead_letters):
        monkeypatch.setattr(module, "MAX_VOLUME", UNBOUNDED)


def told(store: Store) -> list[tuple[int, int]]:
    """(volume, trades) of each minute."""
    return [(candle.volume, candle.trade_count) for candle in candles_of(store)]


def test_a_volume_beyond_int64_is_stored_as_the_largest_and_loses_no_block(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS, per_arrival=1), batch_trades=1)
    assert store.dead_letters() == []
    assert len(store.get_trades_by_sequence_range(0, INT64_MAX, 100)) == 5
    assert told(store) == [(MAX_VOLUME, 4), (2, 1)]
    assert verify.verify(store, folder, Engine()).differences == []


def test_a_volume_is_the_same_whatever_the_batches_and_restarts(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    """A process that begins in the middle of the minute reads the candle back from the store."""
    for number, block in enumerate(BLOCKS, 1):
        settle(store, feed_of(clock, [block]), until_block=number)
    one_by_one = tables(store)
    store.drop_projections()
    settle(store, feed_of(clock, []), until_block=len(BLOCKS))
    assert tables(store) == one_by_one
    assert told(store) == [(MAX_VOLUME, 4), (2, 1)]


@pytest.fixture
def refused(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[Any]]:
    """`store` as a version that did not bound volumes has left it; the tables that it should have."""
    settle(store, feed_of(clock, BLOCKS))
    undisturbed = tables(store)
    store.drop_projections()
    unbound_volumes(monkeypatch)
    settle(store, feed_of(clock, []), until_block=len(BLOCKS))
    monkeypatch.undo()
    assert [letter.block_number for letter in store.dead_letters()] == [PASSES, PASSES + 1]
    assert tables(store) != undisturbed
    return undisturbed


def test_a_replay_repairs_what_an_earlier_version_made_a_dead_letter(
    store: Store, refused: dict[str, list[Any]], clock: FakeClock, folder: Path
) -> None:
    letters = DeadLetters(store, folder, clock)
    assert {letters.replay(letter) for letter in letters.unresolved()} == {None}
    assert store.dead_letters() == []
    assert tables(store) == refused
    assert verify.verify(store, folder, Engine()).differences == []


def test_a_rebuild_repairs_what_an_earlier_version_made_a_dead_letter(
    store: Store, refused: dict[str, list[Any]], clock: FakeClock, folder: Path
) -> None:
    letters = DeadLetters(store, folder, clock)
    rebuilding.rebuild(store, trail=Trail(folder), letters=letters, clock=clock, stop=lambda: False, options=Options())
    assert store.dead_letters() == []
    assert tables(store) == refused
    assert verify.verify(store, folder, Engine()).differences == []


def test_a_block_in_the_minute_of_an_unresolved_letter_is_stored(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its candle goes on from the letter's, which holds a number that no store takes."""
    unbound_volumes(monkeypatch)
    settle(store, feed_of(clock, BLOCKS), until_block=PASSES)
    monkeypatch.undo()
    settle(store, feed_of(clock, BLOCKS[PASSES:]))
    assert [letter.block_number for letter in store.dead_letters()] == [PASSES]
    assert told(store) == [(MAX_VOLUME, 4), (2, 1)]


def test_the_largest_volume_comes_back_as_it_was_written(store: Store) -> None:
    most = candle(1)._replace(volume=MAX_VOLUME, trade_count=INT64_MAX)
    store.insert_batch(rows_of(1, candles=[most]))
    assert store.get_candles([(most.symbol, most.minute_ns)]) == [most]
