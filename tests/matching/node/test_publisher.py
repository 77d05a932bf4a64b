from collections.abc import Sequence
from dataclasses import asdict

import pytest

from matching.core import snapshots
from matching.core.engine import Engine
from matching.node.publisher import Publisher
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.engine_roles import LEADER
from matching.transport.snapshot_chunks import SNAPSHOT_CHUNK_BYTES, SnapshotChunk, decode_snapshot_chunk
from tests.matching.histories import STORE
from tests.matching.small_exchange import defined_engine, deposit
from tests.matching.stages import HERE, OneSnapshot, ScriptedNetwork, ScriptedSocket, one_block


class Published:
    """A publisher at block 3 with an empty ring, and a reader of its sockets."""

    def __init__(self, snapshotter: OneSnapshot | None) -> None:
        self.network = ScriptedNetwork()
        self.blocks, self.retransmission = ScriptedSocket(), ScriptedSocket()
        self.engine: Engine = defined_engine()
        self.ring = Ring(4, 1 << 20)
        self.ring.begin_after(3)
        self.board = StatusBoard(self.engine, self.ring, HERE, LEADER, "none")
        self.publisher = Publisher(
            self.blocks, self.retransmission, self.ring, self.board, self.network.clock, snapshotter
        )

    def ask(self, *frames: bytes) -> list[list[bytes]]:
        """Sends a request. Returns the frames of each answer from its verb on."""
        self.retransmission.inbox.append([b"reader", *frames])
        self.publisher.serve()
        answers, self.retransmission.sent = self.retransmission.sent, []
        return [answer[1:] for answer in answers]

    def ask_snapshot(self, number: int = 0, offset: int = 0) -> list[bytes]:
        (answer,) = self.ask(wire.SNAPSHOT, *wire.encode_numbers(number, offset))
        return answer

    def make(self, count: int) -> None:
        for _ in range(count):
            self.ring.append(one_block(self.engine, [deposit(1, f"{self.engine.block_number}")]))
            self.ring.confirm(self.engine.block_number)


def snapshot_of(engine: Engine, size: int = 0) -> OneSnapshot:
    found = OneSnapshot()
    found.number, found.data = engine.block_number, bytes(size) or snapshots.encode(engine)
    return found


def chunk(answer: Sequence[bytes]) -> SnapshotChunk:
    assert answer[0] == wire.SNAPSHOT
    return decode_snapshot_chunk(answer[1:])


def test_a_snapshot_is_given_in_parts() -> None:
    size = SNAPSHOT_CHUNK_BYTES + 5
    published = Published(snapshot_of(defined_engine(), size))
    first = chunk(published.ask_snapshot())
    assert (first.number, first.offset, first.total_bytes, len(first.data)) == (3, 0, size, SNAPSHOT_CHUNK_BYTES)
    last = chunk(published.ask_snapshot(3, SNAPSHOT_CHUNK_BYTES))
    assert (last.number, last.offset, last.total_bytes, len(last.data)) == (3, size - 5, size, 5)


@pytest.mark.parametrize(("number", "offset"), [(2, 100), (3, 1 << 40)])
def test_a_request_for_a_part_of_another_snapshot_restarts_with_the_newest(number: int, offset: int) -> None:
    published = Published(snapshot_of(defined_engine()))
    assert chunk(published.ask_snapshot(number, offset))[:2] == (3, 0)


def test_a_snapshot_too_old_to_continue_from_is_not_sent_and_a_new_one_is_made() -> None:
    snapshotter = snapshot_of(defined_engine())
    published = Published(snapshotter)
    published.make(4)
    assert chunk(published.ask_snapshot()).number == 3, "block 4 is held"
    published.make(1)
    assert published.ask_snapshot(3, 100) == [wire.PENDING, *wire.encode_numbers(3)]
    assert snapshotter.requests == 1
    snapshotter.number, snapshotter.data = 8, snapshots.encode(published.engine)
    assert chunk(published.ask_snapshot(3, 100))[:2] == (8, 0)


def test_a_confirmation_of_another_store_is_refused_and_counted() -> None:
    published = Published(None)
    published.publisher.confirmations.begin(STORE)
    published.ring.append(block := one_block(published.engine, [deposit(1, "a")]))
    told = wire.Confirmation(block.number, block.hash, STORE)
    (answer,) = published.ask(wire.CONFIRM, wire.encode_confirmation(told._replace(store=bytes(16))))
    assert (answer[0], wire.decode_refused(answer[1]).code) == (wire.REFUSED, wire.WRONG_STORE)
    assert (published.ring.confirmed, published.board.counters.refused_confirmations) == (3, 1)
    assert published.ask(wire.CONFIRM, wire.encode_confirmation(told)) == []
    assert published.ring.confirmed == 4


def test_a_snapshot_older_than_an_empty_ring_is_not_sent() -> None:
    snapshotter = OneSnapshot()
    snapshotter.number, snapshotter.data = 2, b"the ring begins after block 3"
    assert Published(snapshotter).ask_snapshot()[0] == wire.PENDING


def test_a_snapshot_of_an_unreleased_block_is_not_sent() -> None:
    snapshotter = OneSnapshot()
    published = Published(snapshotter)
    published.ring.hold(block := one_block(published.engine, [deposit(1, "a")]))
    snapshotter.number, snapshotter.data = block.number, snapshots.encode(published.engine)
    assert published.ask_snapshot()[0] == wire.PENDING
    published.ring.release()
    assert chunk(published.ask_snapshot()).number == block.number


def test_an_engine_that_makes_no_snapshots_says_so() -> None:
    published = Published(None)
    published.make(5)
    assert published.ask_snapshot() == [wire.MISSING, *wire.encode_numbers(0, 5)]


def test_announced_followers_are_listed_until_they_are_silent() -> None:
    published = Published(None)
    followers = [wire.Addresses(f"tcp://{number}:1", "b", "r") for number in range(wire.MAX_FOLLOWERS + 1)]
    for follower in [*followers, followers[0]]:
        assert published.ask(wire.FOLLOWING, wire.encode_addresses(follower)) == []
    assert published.board.followers == followers[:-1], "no more than a status has room for"
    published.network.now_s += wire.FOLLOWERS_KEPT_S - 0.1
    published.ask(wire.FOLLOWING, wire.encode_addresses(followers[1]))
    published.publisher.beat()
    published.network.now_s += 0.2
    published.publisher.beat()
    heard, last = (wire.decode_json(frames[1])["followers"] for frames in published.blocks.sent)
    assert (len(heard), last) == (wire.MAX_FOLLOWERS, [asdict(followers[1])])


@pytest.mark.parametrize(
    "frames",
    [
        (wire.FOLLOWING,),
        (wire.FOLLOWING, b"{}"),
        (wire.FOLLOWING, b'{"commands":1,"blocks":"","retransmission":""}'),
        (wire.SNAPSHOT,),
        (wire.SNAPSHOT, bytes(8)),
        (wire.SNAPSHOT, *[b"\xff" * 8] * 2),
    ],
)
def test_an_invalid_request_is_refused_and_counted(frames: tuple[bytes, ...]) -> None:
    published = Published(OneSnapshot())
    ((verb, payload),) = published.ask(*frames)
    assert verb == wire.REFUSED
    assert wire.decode_refused(payload).code == wire.BAD_MESSAGE
    assert published.board.counters.bad_messages == 1
