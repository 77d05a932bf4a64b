"""Settlement that dies while its store is unavailable, and the one that takes over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from settlement.durable.spill import Spill
from settlement.stores.base import Store
from tests.settlement.conftest import ON_SQL, Settle, tables, trail_text
from tests.settlement.durable.outages import Outage, at_confirmation, spilled
from tests.settlement.fakes import (
    Crash,
    FakeClock,
    ScriptedFeed,
    Tripwires,
    feed_of,
)
from tests.settlement.test_worker import BLOCKS, LAST, expected_rows

SPILL_CALLS = range(2, 20)
"""Calls of the spill in one outage: an append, then notes of what the store has, and reads in turn.

The first call is a read at the start, before the outage.
"""
A_NOTE = 11


@pytest.fixture
def settle_with_a_death(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, bool], tuple[Any, Any]]:
    """Settlement ends before or after the call number `at` of the spill, and another one takes over.

    Returns tables and trail, and those of a settlement without an outage.
    """

    def run(at: int, after: bool) -> tuple[Any, Any]:
        undisturbed = expected_rows(store, settle, clock, folder)
        feed, outage = feed_of(clock, BLOCKS, per_arrival=1), Outage(store)
        wires = Tripwires(at, after)
        at_confirmation(feed, LAST - 4, outage.end)
        with monkeypatch.context() as patched:
            for name in ("append", "mark_stored", "read"):
                patched.setattr(Spill, name, wires.tripping(getattr(Spill, name)))
            with pytest.raises(Crash):
                settle(store, feed, receive_blocks=2, gather_ms=0)
        outage.end()
        confirmed = max(feed.confirmed, default=0)
        again = ScriptedFeed(clock, [], {block.number: block for block in BLOCKS if block.number > confirmed})
        again.announced = LAST
        settle(store, again)
        return (tables(store), trail_text(folder)), undisturbed

    return run


@ON_SQL
@pytest.mark.parametrize("at", SPILL_CALLS)
@pytest.mark.parametrize("after", [False, True])
def test_settlement_that_dies_at_any_point_of_an_outage_continues_from_the_spill(
    settle_with_a_death: Callable[[int, bool], tuple[Any, Any]], folder: Path, at: int, after: bool
) -> None:
    settled, undisturbed = settle_with_a_death(at, after)
    assert settled == undisturbed
    assert spilled(folder) == []


@pytest.mark.parametrize("after", [False, True])
def test_every_store_takes_the_blocks_of_a_spill_that_it_has_in_part(
    settle_with_a_death: Callable[[int, bool], tuple[Any, Any]], folder: Path, after: bool
) -> None:
    """The death is between a write to the store and the note of it in the spill, or after the note."""
    settled, undisturbed = settle_with_a_death(A_NOTE, after)
    assert settled == undisturbed
    assert spilled(folder) == []
