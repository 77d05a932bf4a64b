"""`kill -9` between any two steps of settlement, and the restart."""

from pathlib import Path

import pytest

from settlement.durable.spill import Spill
from settlement.options import Options
from settlement.project.trail import Trail
from settlement.stores.base import Store
from settlement.stores.sql.store import SqlStore
from tests.reference.streams import random_commands
from tests.settlement.chains import Chain
from tests.settlement.conftest import empty, restarted, settle_in, tables, trail_text
from tests.settlement.fakes import Crash, FakeClock, Tripwires, feed_of

STEPS = {
    "feed": ("receive", "confirm"),
    "store": ("append_blocks", "insert_batch", "appended", "projected", "definitions", "get_orders", "get_balances"),
    "trail": ("append", "_rotate"),
    "session": ("write", "run", "send"),
}
BLOCKS = Chain(step_ns=10**9).add(*random_commands(5, 70, instruments=1, accounts=3, wild=False), block_size=8).blocks


ENGINE = {"announced": len(BLOCKS), "silent_after": 20}
"""Each round in which nothing arrives is a step too, so there are few of them."""


def settle_until_crash(known: Store, clock: FakeClock, folder: Path, wires: Tripwires) -> None:
    store, feed = restarted(known), feed_of(clock, BLOCKS, per_arrival=4, **ENGINE)
    trail = Trail(folder)
    try:
        session = store._session  # type: ignore[attr-defined] # every store that we have has one
        for name, wrapped in (("feed", feed), ("store", store), ("trail", trail), ("session", session)):
            wires.wrap(wrapped, [method for method in STEPS[name] if hasattr(wrapped, method)])
        options = Options(batch_trades=5, batch_events=25)
        settle_in(folder, store, feed, clock, trail=trail, spill=Spill(folder / "spill", 1 << 20), options=options)
    finally:
        trail.close()


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_and_a_restart_leave_the_same_tables_and_trail(
    store: Store, clock: FakeClock, tmp_path: Path, after: bool
) -> None:
    settle_until_crash(store, clock, tmp_path / "undisturbed", Tripwires(at=0, after=after))
    undisturbed = tables(store), trail_text(tmp_path / "undisturbed")
    assert len(undisturbed[1]) == 2  # the day ends within
    step = 0
    while True:
        # Real servers take a second each time; ScyllaDB's requests are cut off one by one in test_scylla_undo.
        step += 1 if isinstance(store, SqlStore) and store._session.alias == "default" else 7
        empty(store)
        folder = tmp_path / str(step)
        wires = Tripwires(at=step, after=after)
        try:
            settle_until_crash(store, clock, folder, wires)
        except Crash:
            settle_until_crash(store, clock, folder, Tripwires(at=0, after=after))
        else:
            break
        assert (tables(store), trail_text(folder)) == undisturbed, f"crash at call {step}"
    assert step > 50
