"""`kill -9` between any two steps of settlement, and a start after it."""

from pathlib import Path

import pytest

from settlement import worker
from settlement.dead_letters import DeadLetters
from settlement.options import Options
from settlement.spill import Spill
from settlement.stores.sql import SqlStore
from settlement.trail import Trail
from tests.reference.streams import random_commands
from tests.settlement.chains import Chain
from tests.settlement.conftest import empty_tables, tables, trail_text
from tests.settlement.fakes import Crash, FakeClock, Tripwires, feed_of

STEPS = {
    "feed": ("receive", "confirm"),
    "store": ("append_blocks", "insert_batch", "appended", "projected", "definitions", "get_orders", "get_balances"),
    "trail": ("append", "_rotate"),
    "session": ("write", "run"),
}
BLOCKS = Chain(step_ns=10**9).add(*random_commands(5, 70, instruments=1, accounts=3, wild=False), block_size=8).blocks


def settle_until_crash(clock: FakeClock, folder: Path, wires: Tripwires) -> None:
    store, feed = SqlStore(), feed_of(clock, BLOCKS, per_arrival=4, announced=len(BLOCKS))
    trail = Trail(folder)
    try:
        for name, wrapped in (("feed", feed), ("store", store), ("trail", trail), ("session", store._session)):
            wires.wrap(wrapped, STEPS[name])
        letters = DeadLetters(store, folder, clock)
        options = Options(batch_trades=5, batch_events=25)
        spill = Spill(folder / "spill", 1 << 20)
        worker.run(feed, store, trail, letters, clock, feed.is_silent, options, spill=spill)
    finally:
        trail.close()


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_and_a_restart_leave_the_same_tables_and_trail(
    db: None, clock: FakeClock, tmp_path: Path, after: bool
) -> None:
    settle_until_crash(clock, tmp_path / "undisturbed", Tripwires(at=0, after=after))
    undisturbed = tables(), trail_text(tmp_path / "undisturbed")
    assert len(undisturbed[1]) == 2  # the day ends within
    step = 0
    while True:
        step += 1
        empty_tables()
        folder = tmp_path / str(step)
        wires = Tripwires(at=step, after=after)
        try:
            settle_until_crash(clock, folder, wires)
        except Crash:
            settle_until_crash(clock, folder, Tripwires(at=0, after=after))
        else:
            break
        assert (tables(), trail_text(folder)) == undisturbed, f"crash at call {step}"
    assert step > 50
