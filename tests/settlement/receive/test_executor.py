"""Settlement executes every block on its own engine, and takes none whose events its commands do not give."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from matching.core.blocks import Block
from matching.storage.disk import LocalDisk
from matching.storage.snapshot_files import SnapshotFolder
from settlement.errors import EarlierLayout, EventsDiffer
from settlement.receive.chain import stored
from settlement.stores.base import Store
from simulator.trust.forged_blocks import encoded_again, forged
from tests.matching.layout_1 import snapshot_of_layout_1
from tests.settlement.chains import in_layout_1
from tests.settlement.conftest import ON_SQL, SNAPSHOT_BLOCKS, Settle, empty
from tests.settlement.fakes import FakeClock, ScriptedFeed, fail_before_doing, feed_of
from tests.settlement.test_worker import BLOCKS, LAST

pytestmark = ON_SQL

FALSE = 9
"""Number of the forged block."""


def with_forged(amount: int = 10**18) -> list[Block]:
    return [*BLOCKS[: FALSE - 1], forged(BLOCKS[FALSE - 1], amount)]


def snapshots_in(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in (folder / "settlement-snapshots").glob("*.snapshot"))


def restored(logs: list[Any]) -> list[int]:
    """The blocks from which settlement's engine continued."""
    return [entry["block"] for entry in logs if entry["event"] == "settlement.state_restored"]


def test_a_block_with_events_that_its_commands_do_not_give_is_an_incident_and_not_stored(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    feed = feed_of(clock, with_forged(), per_arrival=1)
    with pytest.raises(EventsDiffer, match=f"Block {FALSE}, received from the engine, is not .*{10**18} found") as told:
        settle(store, feed)
    assert "Make sure that only your engine listens at its addresses" in str(told.value)
    assert (store.appended().block_number, feed.confirmed[-1]) == (FALSE - 1, FALSE - 1)
    settle(store, feed_of(clock, BLOCKS, announced=LAST))
    assert store.appended().block_number == store.projected().block_number == LAST


@pytest.mark.parametrize("field", ["timestamp_ns", "first_command_sequence", "first_event_sequence"])
def test_a_header_that_does_not_continue_the_state_is_refused(
    store: Store, settle: Settle, clock: FakeClock, field: str
) -> None:
    wrong = encoded_again(BLOCKS[FALSE - 1], **{field: getattr(BLOCKS[FALSE - 2], field) - 1})
    with pytest.raises(EventsDiffer, match=f"Block {FALSE}, received from the engine"):
        settle(store, feed_of(clock, [*BLOCKS[: FALSE - 1], wrong], per_arrival=1))
    assert store.appended().block_number == FALSE - 1


def test_a_block_of_an_earlier_record_layout_is_not_stored(store: Store, settle: Settle, clock: FakeClock) -> None:
    with pytest.raises(EventsDiffer, match=r"has record layout 1, and .* layout 3: start an engine of this version\."):
        settle(store, feed_of(clock, in_layout_1(BLOCKS).blocks))
    assert store.appended().block_number == 0


def test_settlement_does_not_start_beside_snapshots_of_an_earlier_layout(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    earlier = SnapshotFolder(LocalDisk(), folder / "settlement-snapshots", 3)
    earlier.write(LAST, snapshot_of_layout_1(in_layout_1(BLOCKS).engine))
    with pytest.raises(EarlierLayout, match=r"snapshots in .* record layout 1, .* run manage\.py migrate_layout\."):
        settle(store, feed_of(clock, BLOCKS))
    assert earlier.numbers() == [LAST]


def test_no_random_change_of_events_is_stored(store: Store, settle: Settle, clock: FakeClock, seed: int) -> None:
    rng = random.Random(seed)
    settle(store, feed_of(clock, BLOCKS[: FALSE - 1]))
    for _ in range(20):
        events = BLOCKS[FALSE - 1].events.copy()
        raw = events.view("u1")
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        changed = encoded_again(BLOCKS[FALSE - 1], events=events)
        with pytest.raises(EventsDiffer):
            settle(store, feed_of(clock, [changed], announced=FALSE))
    assert store.appended().block_number == FALSE - 1


def test_a_replica_that_forges_a_block_is_refused_and_the_others_are_read(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    refused: list[str] = []

    def refuse(origin: str, reason: str) -> bool:
        refused.append(origin)
        return True

    false = with_forged()[-1]
    false.origin = "bad"
    for block in BLOCKS:
        block.origin = "good"
    try:
        feed = ScriptedFeed(clock, [BLOCKS[:3], BLOCKS[3 : FALSE - 1], [false], BLOCKS[FALSE - 1 :]], role="replica")
        feed.ring = {block.number: block for block in BLOCKS}
        settle(store, feed, refuse=refuse)
    finally:
        for block in BLOCKS:
            block.origin = ""
    assert refused == ["bad"]
    assert [row.hash for row in store.blocks(1)] == [block.hash for block in BLOCKS]


def test_a_start_continues_from_the_newest_own_snapshot_and_executes_the_blocks_since_then(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS[:-2], per_arrival=1))
    kept = snapshots_in(folder)
    assert kept
    assert kept[-1] <= LAST - 2
    with capture_logs() as logs:
        settle(store, feed_of(clock, BLOCKS, announced=LAST))
    assert restored(logs) == [kept[-1]]
    assert LAST - kept[-1] <= SNAPSHOT_BLOCKS + 2
    assert store.appended().block_number == LAST


def test_without_snapshots_everything_is_executed_from_block_1_on(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS[:-2]))
    shutil.rmtree(folder / "settlement-snapshots")
    with capture_logs() as logs:
        settle(store, feed_of(clock, BLOCKS, announced=LAST))
    assert restored(logs) == [0]
    assert store.appended().block_number == LAST


def test_damaged_snapshots_and_those_of_another_chain_are_set_aside(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS[: SNAPSHOT_BLOCKS + 1], per_arrival=1))
    (number,) = snapshots_in(folder)
    snapshots = folder / "settlement-snapshots"
    good = (snapshots / f"{number:020d}.snapshot").read_bytes()
    (snapshots / f"{number + 1:020d}.snapshot").write_bytes(good[:-1])
    (snapshots / f"{LAST:020d}.snapshot").write_bytes(good)
    with capture_logs() as logs:
        settle(store, feed_of(clock, BLOCKS, announced=LAST))
    assert restored(logs) == [number]
    assert len(list(snapshots.glob("*.unusable"))) == 2


def test_a_snapshot_of_a_block_that_the_store_does_not_have_is_not_used(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    """An older copy of the store was put back."""
    settle(store, feed_of(clock, BLOCKS, per_arrival=1))
    assert snapshots_in(folder)

    empty(store)
    store.append_blocks([stored(block) for block in BLOCKS[:3]])
    for path in folder.glob("*.csv"):
        path.unlink()
    with capture_logs() as logs:
        settle(store, feed_of(clock, BLOCKS, announced=LAST))
    assert restored(logs) == [0]
    assert store.appended().block_number == LAST


def test_snapshots_are_made_of_stored_blocks_only(store: Store, settle: Settle, clock: FakeClock, folder: Path) -> None:
    fail_before_doing(store, "append_blocks", times=10**9)
    settle(store, feed_of(clock, BLOCKS, per_arrival=1))
    assert snapshots_in(folder) == []


def test_blocks_of_the_spill_are_executed_at_the_start(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    append = store.append_blocks
    fail_before_doing(store, "append_blocks", times=10**9)
    settle(store, feed_of(clock, BLOCKS[:-2], per_arrival=1))
    assert store.appended().block_number == 0
    store.append_blocks = append  # type: ignore[method-assign]
    settle(store, feed_of(clock, BLOCKS, announced=LAST))
    assert store.appended().block_number == LAST


def test_a_forged_block_that_an_earlier_version_has_stored_is_named_at_the_start(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    store.append_blocks([stored(block) for block in with_forged()])
    with pytest.raises(EventsDiffer, match=f"Block {FALSE} in the store is not what its commands give"):
        settle(store, ScriptedFeed(clock, []))
    assert store.projected().block_number == 0
