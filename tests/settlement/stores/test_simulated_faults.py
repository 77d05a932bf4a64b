"""Settlement into each store, with kills and simulated store faults: the rows equal those of a run without faults.

The simulator itself (`manage.py simulate`) uses the SQL store alone. Here every store has the same faults. In addition,
single requests of a write time out, or the process is killed after one, which leaves half a batch in a store that is
not atomic.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from matching.core.blocks import Block
from matching.transport import wire
from settlement import worker
from settlement.durable.spill import Spill
from settlement.options import Options
from settlement.project.dead_letters import DeadLetters
from settlement.project.trail import Trail
from settlement.stores.base import Store, StoreUnavailable
from settlement.worker_status import WorkerStatus
from simulator.settlement_process import SimClock
from simulator.stores import Server, SimStore
from simulator.world import Machine, Process, Rates, World
from tests.settlement.conftest import Settle, empty, restarted, snapshotter_in, tables, trail_text
from tests.settlement.fakes import FakeClock, ScriptedFeed
from tests.settlement.test_worker import BLOCKS, LAST, expected_rows

SEEDS = range(1, 9)
FAULTY_S = 60.0
PEACE_S = 240.0
BETWEEN_BLOCKS_S = 2.0  # at most: all come while faults last
REQUEST_RATE = 0.02
"""Of a single request that is not answered, or is its process's last."""
WRITES = ("_send_batch", "write")
"""The requests of a store's session that write rows."""
RATES = Rates(
    crash=0.005,
    store_slow=0.1,
    store_before=0.05,
    store_after=0.15,
    store_away_a_minute=4,
    store_refuses=0.4,
)
KINDS = {
    "crash",
    "store slow",
    "store timeout before",
    "store timeout after",
    "store unavailable",
    "rows refused",
    "request not answered",
    "crash at a request",
}


@dataclass
class PacedFeed(ScriptedFeed):
    """An engine that makes its blocks one by one, and forgets those that are confirmed. Outlives settlement."""

    def receive(self, timeout_s: float, limit: int) -> list[Block]:
        self.clock.sleep(random.uniform(0, BETWEEN_BLOCKS_S))
        return super().receive(timeout_s, limit)

    def confirm(self, confirmation: wire.Confirmation) -> None:
        super().confirm(confirmation)
        self.ring = {kept: block for kept, block in self.ring.items() if kept > confirmation.number}


class Faulty:
    """Settlement of one seed, started again whenever it was killed."""

    def __init__(self, seed: int, store: Store, folder: Path) -> None:
        random.seed(seed)  # the jitter of retries
        self.world = World(seed)
        self.world.rates, self.world.faulty_until_s = RATES, FAULTY_S
        self.server = Server(self.world, store)  # draws when it goes away, by the rates
        self.machine = Machine("one")
        self.folder = folder
        arrivals, ring = [[block] for block in BLOCKS], {block.number: block for block in BLOCKS}
        self.feed = PacedFeed(FakeClock(), arrivals, ring)
        self.most_spilled = 0

    def settle(self) -> bool:
        """Until everything is projected; says whether it is."""
        self._start()
        try:
            return self.world.scheduler.run(self._is_done, FAULTY_S + PEACE_S)
        finally:
            self.world.scheduler.end()

    def _is_done(self) -> bool:
        # Settlement has the last block before the store is asked, at each turn, whether it is projected.
        return LAST in self.feed.confirmed and self.server.store.projected().block_number == LAST

    def _start(self) -> None:
        process = self.world.process("settlement", self.machine)
        process.at_end.append(lambda: self.world.scheduler.after(self.world.rng.uniform(0.1, 3), self._start))
        process.start(lambda: self._run(process))

    def _run(self, process: Process) -> None:
        opened = restarted(self.server.store)
        self._cut_off_requests(opened, process)
        store, clock = SimStore(self.server, process, opened), SimClock(process)
        self.feed.clock = clock
        spill, trail = Spill(self.folder / "spill", 1 << 20), Trail(self.folder)
        letters, options = DeadLetters(store, self.folder, clock), Options(batch_trades=1)
        try:
            worker.run(
                worker.Services(
                    feed=self.feed,
                    store=store,
                    trail=trail,
                    letters=letters,
                    spill=spill,
                    snapshotter=snapshotter_in(self.folder),
                    clock=clock,
                    stop=lambda: False,
                    options=options,
                    report=self._note_spill,
                )
            )
        finally:
            trail.close()
            spill.close()

    def _note_spill(self, status: WorkerStatus) -> None:
        self.most_spilled = max(self.most_spilled, status.spill_blocks)

    def _cut_off_requests(self, opened: Store, process: Process) -> None:
        session = opened._session  # type: ignore[attr-defined] # every store that we have has one
        for name in WRITES:
            if hasattr(session, name):
                setattr(session, name, self._cut_off(getattr(session, name), process))

    def _cut_off(self, request: Callable[..., Any], process: Process) -> Callable[..., Any]:
        """No time passes in a request: others would see a transaction that is still open."""

        def call(*arguments: Any, **options: Any) -> Any:
            if self.world.happens("crash at a request", REQUEST_RATE):
                process.crash()
            process.io()
            if self.world.happens("request not answered", REQUEST_RATE):
                raise StoreUnavailable("The database does not answer: time-out.")
            return request(*arguments, **options)

        return call


@pytest.mark.no_cover  # coverage that follows greenlets would make every other test slower
def test_store_faults_and_kills_leave_the_tables_and_the_trail_of_a_run_without_faults(
    store: Store, settle: Settle, clock: FakeClock, tmp_path: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, tmp_path / "data")
    counts = Counter[str]()
    spilled = 0
    for seed in SEEDS:
        sys.stdout.write(f"seed {seed}\n")  # shown when it fails
        empty(store)
        folder = tmp_path / str(seed)
        folder.mkdir()
        faulty = Faulty(seed, store, folder)
        assert faulty.settle(), f"not done {PEACE_S:g} s after the last fault: {store.projected()}"
        letters = DeadLetters(restarted(store), folder, clock)
        assert not any(letters.replay(letter) for letter in letters.unresolved())
        assert (tables(store), trail_text(folder)) == undisturbed
        counts += faulty.world.counts
        spilled += faulty.most_spilled
    assert counts.keys() >= KINDS
    assert spilled > 0
