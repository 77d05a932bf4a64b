"""Followers that join late, with a snapshot of their leader."""

import pytest

from matching.core import snapshots
from matching.core.engine import Engine
from matching.core.errors import Diverged
from matching.node.follower import CannotFollow
from matching.transport import wire
from matching.transport.snapshot_chunks import SnapshotChunk, encode_snapshot_chunk
from tests.matching.layout_1 import snapshot_of_layout_2
from tests.matching.stages import Stage


def test_a_leader_that_makes_no_snapshots_cannot_be_joined_late(stage: Stage) -> None:
    stage.make(5)
    stage.say()
    stage.turn()
    retransmission = stage.to_leader
    assert retransmission.take_sent(wire.BLOCKS) == [wire.encode_numbers(4, 8)]
    retransmission.inbox.append([wire.MISSING, *wire.encode_numbers(4, 7)])
    stage.turn()
    assert retransmission.take_sent(wire.SNAPSHOT) == [wire.encode_numbers(0, 0)]
    retransmission.inbox.append([wire.MISSING, *wire.encode_numbers(0, 7)])
    with pytest.raises(CannotFollow, match=r"no longer has block 4, its oldest is 7\. It makes no snapshots"):
        stage.turn()


def joining(stage: Stage) -> bytes:
    """A follower that has requested the snapshot of block 8; the leader only has blocks 9 and 10."""
    stage.make(5)
    snapshot = snapshots.encode(stage.leader)
    late = stage.make(2)
    stage.say(confirmed=8)
    stage.turn()
    stage.to_leader.inbox.append([wire.MISSING, *wire.encode_numbers(4, 9)])
    stage.turn()
    stage.show(*late)
    return snapshot


def part(stage: Stage, snapshot: bytes, start: int, end: int, number: int = 8) -> None:
    chunk = SnapshotChunk(number, start, len(snapshot), snapshot[start:end])
    stage.to_leader.inbox.append([wire.SNAPSHOT, *encode_snapshot_chunk(chunk)])
    stage.turn()


def test_a_snapshot_arrives_in_parts_and_a_part_of_another_one_restarts_the_download(stage: Stage) -> None:
    snapshot = joining(stage)
    part(stage, b"another snapshot", 0, 7, number=6)
    part(stage, snapshot, 0, 1000)
    part(stage, snapshot, 0, 1000)  # came twice
    stage.network.now_s += 0.6  # the answer was lost
    stage.turn()
    asked = stage.to_leader.take_sent(wire.SNAPSHOT)
    expected = [(0, 0), (6, 7), (8, 1000), (8, 1000)]
    assert asked == [wire.encode_numbers(*numbers) for numbers in expected]
    part(stage, snapshot, 1000, len(snapshot))
    stage.turn()
    assert stage.follower.engine.block_number == 10, "it goes on with what came meanwhile"
    assert (stage.ring.first, stage.ring.last, stage.ring.confirmed) == (9, 10, 8)
    assert stage.follower.engine.state_hash == stage.leader.state_hash


def test_unconfirmed_blocks_before_a_snapshot_are_fetched(stage: Stage) -> None:
    before = stage.make(5)
    snapshot, late = snapshots.encode(stage.leader), stage.make(2)
    stage.say(confirmed=5)
    stage.turn()
    stage.to_leader.inbox.append([wire.MISSING, *wire.encode_numbers(4, 6)])
    stage.turn()
    stage.to_leader.take_sent(wire.BLOCKS)
    part(stage, snapshot, 0, len(snapshot))
    stage.show(*late)
    stage.turn()
    assert (stage.follower.engine.block_number, stage.ring.last) == (8, 5)
    assert stage.to_leader.take_sent(wire.BLOCKS)[0] == wire.encode_numbers(6, 10)
    stage.show(*before[2:])
    stage.turn()
    assert (stage.ring.first, stage.ring.last, stage.ring.confirmed) == (6, 10, 5)
    assert stage.follower.engine.state_hash == stage.leader.state_hash


def test_a_different_block_before_the_snapshot_stops_the_follower(stage: Stage) -> None:
    before = stage.make(5)
    snapshot = snapshots.encode(stage.leader)
    stage.say(confirmed=7)
    stage.turn()
    stage.to_leader.inbox.append([wire.MISSING, *wire.encode_numbers(4, 8)])
    stage.turn()
    part(stage, snapshot, 0, len(snapshot))
    changed = Engine()
    changed.take_over_state(snapshots.decode(snapshot))
    changed.state_hash ^= 1
    stage.follower.engine.take_over_state(changed)
    stage.show(before[-1])
    with pytest.raises(Diverged, match="Block 8 is not the one that the snapshot was made after"):
        stage.turn()


def test_a_damaged_snapshot_is_not_used(stage: Stage) -> None:
    snapshot = bytearray(joining(stage))
    snapshot[-1] ^= 1
    with pytest.raises(CannotFollow, match="truncated or damaged"):
        part(stage, bytes(snapshot), 0, len(snapshot))
    assert stage.follower.engine.block_number == 3


def test_a_snapshot_of_an_earlier_layout_is_not_used(stage: Stage) -> None:
    snapshot = snapshot_of_layout_2(snapshots.decode(joining(stage)))
    with pytest.raises(CannotFollow, match=r"has record layout 2, .* run manage\.py migrate_layout"):
        part(stage, snapshot, 0, len(snapshot))
    assert stage.follower.engine.block_number == 3
