"""Snapshots of an abandoned history in an engine's folder, such as those of a replaced leader."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from matching.client.client import Client
from matching.core import snapshots
from matching.core.engine import Engine
from matching.feed.reader import Feed
from matching.node.publisher import Publisher
from matching.node.status import StatusBoard
from matching.storage.disk import LocalDisk
from matching.storage.ring import Ring
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.transport import wire
from matching.transport.engine_roles import FOLLOWER
from matching.transport.snapshot_chunks import decode_snapshot_chunk
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import (
    Running,
    confirmation,
    defined_engine,
    deposit,
    follower,
    follower_with,
    leader_with,
    plan,
    services,
    until,
)
from tests.matching.stages import HERE, ScriptedNetwork, ScriptedSocket, one_block


@pytest.fixture
def folder(tmp_path: Path) -> SnapshotFolder:
    return SnapshotFolder(LocalDisk(), tmp_path / "snapshots", 3)


class Life:
    """An engine at block 3 that starts with this folder. Different values of `branch` give different blocks."""

    def __init__(self, folder: SnapshotFolder, branch: str, every_blocks: int = 0, ring_blocks: int = 100) -> None:
        self.engine = defined_engine()
        self.ring = Ring(ring_blocks, 1 << 20)
        self.ring.begin_after(3)
        self.snapshotter = Snapshotter(folder, DirectWriter(folder), every_blocks)
        self.branch = branch

    def make(self, upto: int) -> None:
        """Makes blocks up to `upto`, one each turn."""
        while self.engine.block_number < upto:
            block = one_block(self.engine, [deposit(1, f"{self.branch} {self.engine.block_number}")])
            self.ring.append(block)
            self.ring.confirm(block.number)
            self.turn()

    def turn(self) -> None:
        self.snapshotter.advance(self.engine, self.ring)


def dead_branch(folder: SnapshotFolder) -> None:
    """Leaves snapshots of blocks 20, 30 and 40."""
    Life(folder, "dead", 10).make(41)
    assert folder.numbers() == [20, 30, 40]


def passed_over(logs: Iterable[Mapping[str, object]]) -> list[tuple[str, object]]:
    return [
        (Path(str(entry["file"])).name.lstrip("0"), entry["reason"])
        for entry in logs
        if entry["event"] == "snapshot.rejected"
    ]


def test_snapshots_of_another_history_do_not_replace_new_ones(folder: SnapshotFolder) -> None:
    dead_branch(folder)
    life = Life(folder, "living", 3)
    life.make(19)
    assert (life.snapshotter.oldest(), life.snapshotter.newest()) == (10, 19)
    assert folder.numbers() == [10, 13, 16, 19, 20, 30, 40]


def test_each_foreign_snapshot_is_renamed_when_the_chain_reaches_its_block(folder: SnapshotFolder) -> None:
    dead_branch(folder)
    life = Life(folder, "living")
    with capture_logs() as logs:
        life.make(19)
        assert passed_over(logs) == []
        life.make(35)
    reason = "It is of another chain: this engine's chain has another block there."
    assert passed_over(logs) == [("20.snapshot", reason), ("30.snapshot", reason)]
    assert folder.numbers() == [40]
    assert len(list(folder.folder.glob("*.snapshot.unusable"))) == 2


def test_snapshots_of_the_same_history_are_used_from_their_block_on(folder: SnapshotFolder) -> None:
    dead_branch(folder)
    life = Life(folder, "dead")
    life.make(25)
    assert life.snapshotter.newest() == 20
    life.make(41)
    assert (life.snapshotter.oldest(), life.snapshotter.newest(), folder.numbers()) == (20, 40, [20, 30, 40])


def test_snapshots_older_than_the_ring_are_kept_for_a_recovery(folder: SnapshotFolder) -> None:
    dead_branch(folder)
    life = Life(folder, "living", ring_blocks=4)
    earlier = life.snapshotter
    life.snapshotter = Snapshotter(SnapshotFolder(LocalDisk(), folder.folder / "elsewhere", 3), DirectWriter(folder), 0)
    life.make(33)  # as after joining with a snapshot
    life.snapshotter = earlier
    life.turn()
    assert folder.numbers() == [20, 40], "block 30 is told by the ring, block 20 is older"
    assert earlier.newest() == 20


def test_a_snapshot_that_is_asked_for_is_made_although_there_is_a_newer_number(folder: SnapshotFolder) -> None:
    dead_branch(folder)
    life = Life(folder, "living")
    life.make(10)
    life.snapshotter.request()
    life.turn()
    life.turn()
    assert life.snapshotter.newest() == 10


def test_a_snapshot_with_an_unreadable_header_is_set_aside(folder: SnapshotFolder) -> None:
    whole = snapshots.encode(defined_engine())
    for number, data in ((5, b""), (6, whole[:30]), (7, b"nonsense" * 10), (8, whole)):
        folder.write(number, data)
    with capture_logs() as logs:
        Life(folder, "living").make(9)
    assert [name for name, _ in passed_over(logs)] == [f"{number}.snapshot" for number in (5, 6, 7, 8)]
    assert passed_over(logs)[-1][1] == "It is a snapshot of block 3, but its file is named for another block."


def test_no_foreign_snapshot_is_sent_to_a_joining_follower(folder: SnapshotFolder) -> None:
    dead_branch(folder)
    life = Life(folder, "living")
    network, retransmission = ScriptedNetwork(), ScriptedSocket()
    board = StatusBoard(life.engine, life.ring, HERE, FOLLOWER, "none")
    publisher = Publisher(ScriptedSocket(), retransmission, life.ring, board, network.clock, life.snapshotter)

    def given(number: int) -> int:
        """Block of the snapshot in the answer to a request for snapshot `number`; 0 if there is none yet."""
        network.now_s += 1  # so that the rate of such answers allows one
        retransmission.inbox.append([b"joiner", wire.SNAPSHOT, *wire.encode_numbers(number, 0)])
        publisher.serve()
        _, verb, *frames = retransmission.sent.pop()
        return decode_snapshot_chunk(frames).number if verb == wire.SNAPSHOT else 0

    assert [given(number) for number in (0, 20, 40)] == [0, 0, 0]
    life.make(19)
    assert [given(number) for number in (0, 20, 40)] == [4, 4, 4], "made when it was asked for"
    life.ring.append(one_block(life.engine, [deposit(1, "20")]))
    assert [given(number) for number in (0, 20, 40)] == [4, 4, 4], "not compared yet"
    life.make(35)
    assert [given(number) for number in (0, 20, 40)] == [4, 4, 4]


@contextmanager
def late_leader(folder: SnapshotFolder) -> Iterator[Running]:
    """A leader at block 8 whose ring has only the last blocks. It makes a snapshot on request."""
    own = services(MemoryHistory(), snapshotter=Snapshotter(folder, DirectWriter(folder), 0))
    with leader_with(plan(ring_blocks=4), own) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        with closing(Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)) as feed:
            for number in range(4, 9):
                feed.confirm(confirmation(running, number - 1))
                client.call([deposit(1, f"{number}")])
            until(lambda: running.parts.ring.first == 5, "the first blocks to be dropped")
            yield running


def test_a_follower_with_foreign_snapshots_lets_others_join(tmp_path: Path) -> None:
    used = SnapshotFolder(LocalDisk(), tmp_path / "second", 1)
    for number in (7, 8, 9, 5000):
        other = Engine()
        other.block_number, other.state_hash = number, 1
        used.write(number, snapshots.encode(other))
    own = services(MemoryHistory(), snapshotter=Snapshotter(used, DirectWriter(used), 0), engine="second")
    with (
        late_leader(SnapshotFolder(LocalDisk(), tmp_path / "first", 1)) as running,
        follower_with(plan(), own, running.commands) as second,
    ):
        until(lambda: second.parts.ring.last == 8, "the second to join")
        with follower(plan(), second.commands) as third:
            until(lambda: third.parts.ring.last == 8 or third.failures, "the third to join")
            assert third.failures == []
            assert third.parts.engine.state_hash == running.parts.engine.state_hash
