"""Answers with much data have a rate in bytes, which the readers share."""

import pytest

from matching.core import snapshots
from matching.node.publisher import Publisher
from matching.node.retransmission import bulk_answers
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.engine_roles import LEADER
from tests.matching.histories import STORE
from tests.matching.small_exchange import defined_engine, deposit
from tests.matching.stages import HERE, OneSnapshot, ScriptedNetwork, ScriptedSocket, one_block


class Readers:
    """A publisher whose ring has blocks 4 to 6, and a snapshot of a MiB; readers of its retransmission socket."""

    def __init__(self, bytes_a_second: int = bulk_answers.BYTES_A_SECOND) -> None:
        self.network, self.socket = ScriptedNetwork(), ScriptedSocket()
        self.engine = defined_engine()
        self.ring = Ring(16, 1 << 26)
        self.ring.begin_after(3)
        snapshot = OneSnapshot()
        snapshot.number, snapshot.data = 3, snapshots.encode(self.engine) + bytes(1 << 20)
        self.board = StatusBoard(self.engine, self.ring, HERE, LEADER, "none")
        self.publisher = Publisher(
            ScriptedSocket(),
            self.socket,
            self.ring,
            self.board,
            self.network.clock,
            snapshot,
            bytes_a_second=bytes_a_second,
        )
        self.publisher.confirmations.begin(STORE)
        for number in range(4, 7):
            self.ring.append(one_block(self.engine, [deposit(1, f"{number}")]))

    def request_blocks(self, reader: bytes, first: int, last: int) -> None:
        self.socket.inbox.append([reader, wire.BLOCKS, *wire.encode_numbers(first, last)])

    def request_snapshot(self, reader: bytes) -> None:
        self.socket.inbox.append([reader, wire.SNAPSHOT, *wire.encode_numbers(3, 0)])

    def serve(self) -> list[tuple[bytes, bytes]]:
        """One turn. Returns (reader, verb) of each answer."""
        self.publisher.serve()
        answers, self.socket.sent = self.socket.sent, []
        self.sent_bytes = sum(len(frame) for answer in answers for frame in answer)
        return [(bytes(answer[0]), bytes(answer[1])) for answer in answers]


def test_a_reader_that_requests_without_end_gets_the_bytes_of_the_rate() -> None:
    readers = Readers(10 << 20)
    started_s, sent = readers.network.now_s, 0
    while readers.network.now_s < started_s + 2:
        readers.request_snapshot(b"greedy")
        readers.serve()
        sent += readers.sent_bytes
        readers.network.now_s += 0.001
    assert 0.95 * (20 << 20) < sent < 1.05 * (20 << 20)


def test_readers_that_wait_are_answered_in_turn_and_each_one_once() -> None:
    readers = Readers()
    answered = []
    for _ in range(8):
        for reader in (b"one", b"one", b"two", b"one"):
            readers.request_snapshot(reader)
        answered += [reader for reader, _ in readers.serve()]
        readers.network.now_s += 0.0011  # the time of one chunk of a snapshot, and a little more
    assert abs(answered.count(b"one") - answered.count(b"two")) <= 1
    assert len(answered) < 16, "not every request was due"


def test_a_confirmation_is_taken_while_readers_wait() -> None:
    readers = Readers()
    readers.publisher.beat()
    answers = [(b"", b"")]
    while answers:  # until the rate is used up
        readers.request_snapshot(b"greedy")
        answers = readers.serve()
    readers.request_blocks(b"settlement", 4, 6)
    block = readers.ring.get(5)
    assert block is not None
    confirmation = wire.encode_confirmation(wire.Confirmation(5, block.hash, STORE))
    readers.socket.inbox.append([b"settlement", wire.CONFIRM, confirmation])
    assert readers.serve() == []
    assert readers.ring.confirmed == 5
    assert 0 < readers.publisher.idle_s <= 0.01, "the loop wakes up when the next answer is due"
    readers.network.now_s += readers.publisher.idle_s + 0.0001
    assert readers.serve()[0] == (b"greedy", wire.SNAPSHOT)


def test_readers_beyond_the_limit_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_answers, "_MAX_WAITING", 2)
    readers = Readers(1)
    for number in range(4):
        readers.request_snapshot(b"%d" % number)
        readers.serve()
    assert readers.board.counters.lost_answers == 1
