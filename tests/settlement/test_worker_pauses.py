"""Time in which settlement was busy, stopped or suspended does not count as silence of the engine."""

import pytest

from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.feed.reader import Feed
from matching.transport import wire
from settlement.stores.base import Store
from settlement.worker_status import WorkerStatus
from tests.matching.stages import LEADER, ScriptedNetwork
from tests.settlement.chains import worked_example
from tests.settlement.conftest import ON_SQL, Settle
from tests.settlement.fakes import ADDRESSES, FakeClock, ScriptedFeed, feed_of, note_calls
from tests.settlement.test_worker import BLOCKS, LAST

CHAIN = worked_example()
PAUSE_S = 60.0


class Engine(ScriptedNetwork):
    """Sockets of an engine that sends heartbeats while anybody does whatever else; one that `is_gone` does not."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self._beats_at_s = clock.now_s
        self.is_gone = False
        self.rounds = 0

    def wait(self, sockets: object, timeout_s: float) -> bool:
        self.rounds += 1
        inbox = self.sockets[LEADER.blocks].inbox
        if not self.is_gone and self._clock.now_s >= self._beats_at_s:
            self._beats_at_s = self._clock.now_s + wire.HEARTBEAT_S
            inbox.append([wire.STATUS, wire.encode_json(STATUS)])
        if not inbox:
            self._clock.sleep(timeout_s)
        return bool(inbox)

    def send(self, block: Block) -> None:
        self.sockets[LEADER.blocks].inbox.append([wire.BLOCK, block.data])


STATUS = {
    "role": "leader",
    "block": len(CHAIN.blocks),
    "state_hash": "00",
    "epoch": 1,
    "ring": {"confirmed": 0},
    "addresses": {"commands": LEADER.commands, "blocks": LEADER.blocks, "retransmission": LEADER.retransmission},
}


@ON_SQL
@pytest.mark.parametrize("is_gone", [False, True])
def test_settlement_that_was_busy_for_long_does_not_take_a_living_engine_for_silent(
    store: Store, settle: Settle, clock: FakeClock, is_gone: bool
) -> None:
    engine, told = Engine(clock), list[WorkerStatus]()
    feed = Feed(LEADER.blocks, LEADER.retransmission, make_network=lambda: engine, clock=clock.monotonic)
    for block in CHAIN.blocks:
        engine.send(block)

    def project() -> None:
        clock.sleep(PAUSE_S)
        engine.is_gone = is_gone

    note_calls(store, "insert_batch", project)
    feed.is_silent = lambda: engine.rounds > 400  # type: ignore[attr-defined]
    settle(store, feed, report=told.append)
    assert store.projected().block_number == len(CHAIN.blocks)
    longest_s = max(status.engine_silent_for_s for status in told)
    assert longest_s > 30 if is_gone else longest_s <= 1


def test_a_pause_between_two_turns_uses_up_no_attempt_to_fill_a_gap(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    feed = feed_of(clock, BLOCKS, deaf=10**9, silent_after=20)
    feed.arrivals = [BLOCKS[:3], BLOCKS[4:]]
    settle(store, feed, report=lambda status: clock.sleep(PAUSE_S))
    assert len(feed.requests) == 3  # at once, after 0.5 s and after 1 s more of the two seconds that it listened


def test_a_pause_within_a_wait_uses_up_no_attempt_to_fill_a_gap(store: Store, settle: Settle, clock: FakeClock) -> None:
    class Paused(ScriptedFeed):
        def receive(self, timeout_s: float, limit: int) -> list[Block]:
            if not self.arrivals:
                self.clock.sleep(PAUSE_S)
            return super().receive(timeout_s, limit)

    feed = Paused(clock, [BLOCKS[:3], BLOCKS[4:]], deaf=10**9, silent_after=20)
    settle(store, feed)
    assert len(feed.requests) == 3


@ON_SQL
def test_blocks_that_a_new_subscription_missed_are_no_gap(store: Store, settle: Settle, clock: FakeClock) -> None:
    """At a first start the epoch begins while settlement listens already, so it connects anew and misses blocks."""
    told = list[WorkerStatus]()
    feed = feed_of(clock, BLOCKS, epoch=1)
    feed.arrivals = [[], BLOCKS[:3]]
    note_calls(feed, "move", lambda: feed.arrivals.append(BLOCKS[6:]))

    def begin_epoch(status: WorkerStatus) -> None:
        told.append(status)
        if len(told) == 1:
            store.begin_epoch(Epoch(1, 1, 0, "one", ADDRESSES.commands, ADDRESSES.blocks, ADDRESSES.retransmission, 1))

    assert settle(store, feed, report=begin_epoch) == LAST
    assert feed.moves
    assert feed.requests[0][0] == 4
    assert told[-1].gaps == 0


@ON_SQL
@pytest.mark.parametrize(("pause_s", "gaps"), [(0.0, 1), (PAUSE_S, 0)])
def test_blocks_that_arrived_during_a_pause_and_found_a_full_queue_are_no_gap(
    store: Store, settle: Settle, clock: FakeClock, pause_s: float, gaps: int
) -> None:
    told = list[WorkerStatus]()
    feed = feed_of(clock, BLOCKS)
    feed.arrivals = [BLOCKS[:3], BLOCKS[5:]]

    def pause(status: WorkerStatus) -> None:
        told.append(status)
        if len(told) == 1:
            clock.sleep(pause_s)

    assert settle(store, feed, report=pause) == LAST
    assert feed.requests[0][0] == 4
    assert told[-1].gaps == gaps
