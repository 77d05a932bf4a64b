"""Leaders that replace each other: whose blocks are settled or refused, and which engine settlement listens to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.transport import wire
from settlement import metrics
from settlement.durable.spill import Spill
from settlement.errors import ChainConflict, SpillOverruled
from settlement.receive.chain import Chain
from settlement.stores.base import Checkpoint, Store, StoredBlock, StoreUnavailable
from settlement.worker_status import WorkerStatus
from tests.settlement.chains import in_epoch
from tests.settlement.conftest import Settle, restarted
from tests.settlement.fakes import FakeClock, ScriptedFeed, fail_before_doing, feed_of, note_calls
from tests.settlement.rows import epoch
from tests.settlement.test_worker import BLOCKS, LAST

SHARED = BLOCKS[:5]
NEW = in_epoch(BLOCKS[5:], 2, SHARED[-1].hash)
"""What the second leader made of the same commands, from block 6 on."""
FIRST = epoch(1)
SECOND = epoch(2, 6, SHARED[-1].hash)
NOTHING_YET = Checkpoint(0, 0, 0)


def fenced() -> float:
    return metrics.WORKER.get_sample_value("settlement_fenced_blocks_total") or 0.0


def no_bytes(number: int) -> bytes | None:
    raise AssertionError(f"block {number} was asked for")


def accepted(chain: Chain, blocks: Sequence[Block]) -> list[int]:
    return [block.number for block in chain.accept(blocks, no_bytes)[0]]


# The chain


def test_blocks_of_an_ended_epoch_are_dropped_counted_and_reported_once() -> None:
    chain, before = Chain(NOTHING_YET, [FIRST, SECOND], 100), fenced()
    with capture_logs() as logs:
        assert accepted(chain, [*BLOCKS, *NEW, *BLOCKS]) == list(range(1, LAST + 1))
    assert chain.head == Checkpoint(LAST, NEW[-1].hash, 2)
    assert fenced() == before + 2 * len(BLOCKS[5:])
    assert [line["event"] for line in logs] == ["settlement.fenced_blocks_refused"]


def test_a_block_of_an_unknown_epoch_waits_until_the_epoch_is_known() -> None:
    chain = Chain(NOTHING_YET, [FIRST], 100)
    assert accepted(chain, [*SHARED, *NEW]) == [1, 2, 3, 4, 5]
    assert chain.unknown_epoch == 2
    assert accepted(chain, chain.update_epochs([FIRST, SECOND])) == list(range(6, LAST + 1))
    assert chain.unknown_epoch == 0


def test_a_block_of_an_epoch_that_nobody_has_begun_is_a_conflict() -> None:
    chain = Chain(NOTHING_YET, [FIRST], 100)
    accepted(chain, [*SHARED, *NEW])
    with pytest.raises(ChainConflict, match="Block 6 is of epoch 2, which has not begun"):
        chain.update_epochs([FIRST])


def test_blocks_of_unknown_epochs_are_bounded() -> None:
    chain = Chain(NOTHING_YET, [FIRST], 2)
    accepted(chain, [*SHARED, *NEW])
    assert [block.number for block in chain.update_epochs([FIRST, SECOND])] == [6, 7]


def test_a_head_that_a_newer_epoch_overrules_is_reported() -> None:
    chain = Chain(NOTHING_YET, [FIRST], 100)
    accepted(chain, SHARED)
    chain.update_epochs([FIRST, SECOND])
    assert not chain.is_overruled
    chain = Chain(NOTHING_YET, [FIRST], 100)
    accepted(chain, BLOCKS[:6])
    chain.update_epochs([FIRST, SECOND])
    assert chain.is_overruled


def test_blocks_that_came_early_and_are_overruled_are_dropped() -> None:
    chain, before = Chain(NOTHING_YET, [FIRST], 100), fenced()
    accepted(chain, BLOCKS[4:8])
    chain.update_epochs([FIRST, SECOND])
    assert chain.newest_early == 5
    assert fenced() == before + 3


@pytest.mark.parametrize("accept_first", [True, False])
def test_an_epoch_that_begins_after_another_block_than_ours_is_a_conflict(accept_first: bool) -> None:
    foreign = SECOND._replace(prev_hash=1)
    chain = Chain(NOTHING_YET, [FIRST] if accept_first else [FIRST, foreign], 100)
    if accept_first:
        accepted(chain, SHARED)
    with pytest.raises(ChainConflict, match="Epoch 2 begins after block 5 with hash 0000000000000001"):
        chain.update_epochs([FIRST, foreign]) if accept_first else accepted(chain, SHARED)
    with pytest.raises(ChainConflict, match="Epoch 2 begins"):
        Chain(Checkpoint(5, SHARED[-1].hash, 1), [FIRST, foreign], 100)


def test_an_epoch_that_was_overruled_from_its_first_block_on_begins_nowhere() -> None:
    """Its leader had blocks 6 and 7 of its own, and died before anybody got them."""
    lost = epoch(2, 8, prev_hash=1)
    third = epoch(3, 6, SHARED[-1].hash)
    chain = Chain(NOTHING_YET, [FIRST, lost, third], 100)
    assert accepted(chain, [*SHARED, *in_epoch(BLOCKS[5:], 3, SHARED[-1].hash)]) == list(range(1, LAST + 1))


def test_before_any_epoch_has_begun_blocks_are_of_the_first() -> None:
    chain = Chain(NOTHING_YET, [], 100)
    assert accepted(chain, SHARED) == [1, 2, 3, 4, 5]
    assert accepted(chain, NEW) == []
    assert chain.unknown_epoch == 2


# The worker


@dataclass
class TwoLeaders(ScriptedFeed):
    """The engine of the first epoch until it is moved to that of the second."""

    after_move: list[list[Block]] = field(default_factory=list)
    moved_at_s: float = 0.0

    def move(self, addresses: wire.Addresses) -> None:
        super().move(addresses)
        if addresses.commands == SECOND.commands:
            self.epoch, self.announced, self.arrivals = 2, LAST, self.after_move
            self.moved_at_s = self.clock.monotonic()
            self.ring = {block.number: block for block in [*SHARED, *NEW]}


def two_leaders(clock: FakeClock, arrivals: list[list[Block]], announced: int) -> TwoLeaders:
    ring = {block.number: block for block in BLOCKS}
    return TwoLeaders(clock, arrivals, ring, epoch=1, announced=announced)


def begun(store: Store, *epochs: Epoch) -> None:
    for one in epochs:
        store.begin_epoch(one)


def is_settled(store: Store) -> bool:
    return [row.hash for row in store.blocks(1)] == [block.hash for block in [*SHARED, *NEW]]


def addresses_of(one: Epoch) -> wire.Addresses:
    return wire.Addresses(one.commands, one.blocks, one.retransmission)


def test_settlement_listens_to_the_leader_that_the_store_names(store: Store, settle: Settle, clock: FakeClock) -> None:
    begun(store, FIRST, SECOND)
    feed = two_leaders(clock, [BLOCKS], LAST)
    settle(store, feed)
    assert feed.moves == [addresses_of(SECOND)]
    assert is_settled(store)
    assert store.appended() == Checkpoint(LAST, NEW[-1].hash, 2)


def test_before_any_epoch_settlement_listens_at_the_configured_addresses(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    feed = feed_of(clock, BLOCKS)
    settle(store, feed)
    assert feed.moves == []


def test_a_stale_engine_is_heard_and_refused_and_does_not_stop_settlement(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    begun(store, FIRST, SECOND)
    feed, before = two_leaders(clock, [], 0), fenced()
    feed.after_move = [BLOCKS[3:8], NEW[:2], BLOCKS[:8]]
    settle(store, feed)
    assert is_settled(store)
    assert fenced() == before + 2 * len(BLOCKS[5:8])


def test_a_leader_that_begins_while_settlement_runs_is_followed_within_a_second(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    begun(store, FIRST)
    feed = two_leaders(clock, [SHARED], 5)
    began_at: list[float] = []
    confirm = feed.confirm

    def confirm_and_lose_the_leader(confirmation: wire.Confirmation) -> None:
        confirm(confirmation)
        if confirmation.number == 5 and not began_at:
            began_at.append(clock.monotonic())
            begun(store, SECOND)

    feed.confirm = confirm_and_lose_the_leader  # type: ignore[method-assign]
    settle(store, feed)
    assert is_settled(store)
    assert feed.moves == [addresses_of(FIRST), addresses_of(SECOND)]
    assert feed.moved_at_s - began_at[0] < 1.5


def test_blocks_that_the_store_fences_are_dropped_and_the_new_leader_is_followed(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    """The second leader begins between the last look and the append."""
    begun(store, FIRST)
    feed = two_leaders(clock, [BLOCKS[:9]], 9)
    note_calls(store, "append_blocks", lambda: begun(store, SECOND))
    settle(store, feed, epochs_every_s=1e9)
    assert is_settled(store)
    assert feed.confirmed[-1] == LAST
    assert 9 not in feed.confirmed


def test_what_is_only_in_memory_gives_way_to_a_new_leader(store: Store, settle: Settle, clock: FakeClock) -> None:
    """The engine died with what nobody had made durable, and went on without it."""
    begun(store, FIRST)
    feed = two_leaders(clock, [SHARED, BLOCKS[5:9]], 9)
    append, failures = store.append_blocks, iter([1, 2, 3])

    def away_and_then_another_leads(blocks: Sequence[StoredBlock]) -> None:
        failure = next(failures, None) if blocks[-1].number == 9 else None
        if failure == 3:
            begun(store, SECOND)
        if failure:
            raise StoreUnavailable("The database does not answer.")
        append(blocks)

    store.append_blocks = away_and_then_another_leads  # type: ignore[method-assign]
    settle(store, feed, spill_after_s=1e9, epochs_every_s=1e9)
    assert is_settled(store)


def test_blocks_received_while_the_epochs_cannot_be_read_give_way_to_a_new_leader(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    """Settlement drops them when it reads the new epoch, before it tries to append them."""
    begun(store, FIRST)
    feed = two_leaders(clock, [SHARED], 5)
    epochs, elsewhere, failures = store.epochs, restarted(store), iter([1, 2, 3])

    def away_and_then_another_leads() -> list[Epoch]:
        failure = next(failures, None) if elsewhere.appended().block_number == 5 else None
        if failure == 1:
            feed.arrivals.append(BLOCKS[5:9])
        if failure == 3:
            begun(elsewhere, SECOND)
        if failure:
            raise StoreUnavailable("The database does not answer.")
        return epochs()

    store.epochs = away_and_then_another_leads  # type: ignore[method-assign]
    with capture_logs() as logs:
        settle(store, feed, spill_after_s=1e9)
    assert is_settled(store)
    assert next(failures, None) is None
    assert "settlement.append_fenced" not in [line["event"] for line in logs]


def test_a_block_of_an_unknown_epoch_makes_settlement_look_at_once(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    begun(store, FIRST)
    feed = feed_of(clock, [*SHARED, *NEW], epoch=1, per_arrival=5)
    note_calls(feed, "confirm", lambda: begun(store, SECOND))
    feed.ring = {}
    settle(store, feed, epochs_every_s=1e9)
    assert is_settled(store)


def test_an_engine_of_an_epoch_that_the_store_does_not_know_stops_settlement(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    begun(store, FIRST)
    with pytest.raises(ChainConflict, match="which has not begun in the store"):
        settle(store, feed_of(clock, [*SHARED, *NEW], epoch=2))
    assert store.appended().block_number == 5


@pytest.mark.parametrize(("engine_epoch", "role"), [(1, "leader"), (None, "leader"), (2, "follower")])
def test_an_engine_that_does_not_lead_may_be_behind_the_store(
    store: Store, settle: Settle, clock: FakeClock, engine_epoch: int | None, role: str
) -> None:
    begun(store, FIRST, SECOND)
    settle(store, two_leaders(clock, [], 0))
    feed = ScriptedFeed(clock, [], announced=3, epoch=engine_epoch, role=role)
    settle(store, feed)
    assert feed.requests == []


def test_the_leader_may_not_be_behind_the_store(store: Store, settle: Settle, clock: FakeClock) -> None:
    begun(store, FIRST, SECOND)
    settle(store, two_leaders(clock, [], 0))
    with pytest.raises(ChainConflict, match=f"at block 3, but the store already has block {LAST}"):
        settle(store, ScriptedFeed(clock, [], announced=3, epoch=2))


def test_a_silent_engine_leaves_no_gap(store: Store, settle: Settle, clock: FakeClock) -> None:
    """It is gone: who leads next may make other blocks, so nobody is asked and nothing is given up."""
    feed = feed_of(clock, BLOCKS, deaf=10**9, silent_after=2000)
    feed.arrivals = [BLOCKS[:3], BLOCKS[5:]]
    note_calls(feed, "request", lambda: setattr(feed, "silent_s", 6.0))
    settle(store, feed)
    assert store.appended().block_number == 3
    assert len(feed.requests) == 1


# The spill


def spill_of(folder: Path, blocks: Sequence[Block]) -> None:
    spill = Spill(folder / "spill", 1 << 20)
    spill.append(blocks)
    spill.close()


def test_spilled_blocks_that_an_epoch_has_overruled_are_an_incident_and_the_next_start_continues(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    begun(store, FIRST)
    settle(store, feed_of(clock, BLOCKS[:3], epoch=1))
    spill_of(folder, BLOCKS[3:9])
    begun(store, SECOND)
    with pytest.raises(SpillOverruled, match="Blocks 6 to 9 were confirmed from the spill, but epoch 2"):
        settle(store, two_leaders(clock, [], 0))
    assert store.appended() == Checkpoint(5, SHARED[-1].hash, 1), "what counts is in the store"
    (aside,) = (folder / "spill").iterdir()
    assert aside.name.endswith("overruled-by-epoch-2")
    settle(store, two_leaders(clock, [], 0))
    assert is_settled(store)


def test_an_outage_during_which_another_engine_takes_over_is_an_incident(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    begun(store, FIRST)
    feed = two_leaders(clock, [[block] for block in BLOCKS[:9]], 9)
    settle(store, feed_of(clock, BLOCKS[:5], epoch=1))
    fail_before_doing(store, "append_blocks", times=6)
    confirm = feed.confirm

    def confirm_and_be_replaced(confirmation: wire.Confirmation) -> None:
        confirm(confirmation)
        if confirmation.number == 9:
            begun(store, SECOND)

    feed.confirm = confirm_and_be_replaced  # type: ignore[method-assign]
    with pytest.raises(SpillOverruled, match="Blocks 6 to 9"):
        settle(store, feed)
    assert store.appended().block_number == 5


def test_the_status_names_epoch_and_leader(store: Store, settle: Settle, clock: FakeClock) -> None:
    begun(store, FIRST, SECOND)
    told: list[WorkerStatus] = []
    settle(store, two_leaders(clock, [], 0), report=told.append)
    assert (told[-1].epoch, told[-1].leader) == (2, SECOND.commands)
    assert metrics.WORKER.get_sample_value("settlement_epoch") == 2
