"""Tests of a follower that waits for a snapshot of its leader."""

import pytest

from matching.core import snapshots
from matching.node.follower import CannotFollow
from matching.transport import wire
from matching.transport.snapshot_chunks import SnapshotChunk, encode_snapshot_chunk
from tests.matching.small_exchange import defined_engine
from tests.matching.stages import Stage


@pytest.fixture
def stage() -> Stage:
    """The follower has requested a snapshot: the leader is at block 8 and no longer has block 4."""
    made = Stage(defined_engine(), defined_engine())
    made.make(5)
    made.say(confirmed=8)
    made.turn()
    made.to_leader.inbox.append([wire.MISSING, *wire.encode_numbers(4, 9)])
    made.turn()
    assert made.to_leader.take_sent(wire.SNAPSHOT) == [wire.encode_numbers(0, 0)]
    return made


def pending(stage: Stage, minutes: int) -> None:
    """The leader answers once at the beginning of each minute that the snapshot is still being made."""
    for _ in range(minutes):
        stage.to_leader.inbox.append([wire.PENDING, *wire.encode_numbers(0)])
        stage.turn()
        stage.network.now_s += 60


def test_a_follower_does_not_wait_forever_for_a_snapshot_that_is_never_made(stage: Stage) -> None:
    pending(stage, 16)
    sentence = r"no longer has block 4, and has not finished a snapshot for 15 minutes.* start this follower again"
    with pytest.raises(CannotFollow, match=sentence):
        pending(stage, 1)


def test_a_late_snapshot_is_used(stage: Stage) -> None:
    snapshot = snapshots.encode(stage.leader)
    pending(stage, 15)
    for start, end in ((0, 1000), (1000, len(snapshot))):
        chunk = SnapshotChunk(8, start, len(snapshot), snapshot[start:end])
        stage.to_leader.inbox.append([wire.SNAPSHOT, *encode_snapshot_chunk(chunk)])
        stage.turn()
        if end == 1000:
            pending(stage, 15)  # the time counts from the last part on
    assert stage.follower.engine.block_number == 8


def test_a_follower_waits_for_a_silent_leader(stage: Stage) -> None:
    for _ in range(100):
        stage.turn()
        stage.network.now_s += 60
    assert stage.follower.download is not None
