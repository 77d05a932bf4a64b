"""Answers with much data for readers: blocks of the ring and chunks of a snapshot.

libzmq's I/O thread moves the bytes of all sockets, so a reader that requests blocks without end would delay the
commands and answers of everyone else. These answers therefore have a rate in bytes, which readers share: each has one
answer in turn. Of a reader's requests only the newest waits.
"""

from collections.abc import Callable
from typing import Protocol

from matching.core.blocks import Block
from matching.node.status import Counters
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.parts import in_parts
from matching.transport.snapshot_chunks import SNAPSHOT_CHUNK_BYTES, SnapshotChunk, encode_snapshot_chunk
from matching.transport.sockets import Frame, Socket, Undelivered
from matching.transport.time_slice import Pace, TimeSlice

BYTES_A_SECOND = 64 << 20
_BLOCKS_AN_ANSWER = 64
_BYTES_AN_ANSWER = 1 << 20
"""Limits of one answer, so that it does not delay others and queues stay small. Readers ask again for more."""
_MAX_WAITING = 1024


class SnapshotReader(Protocol):
    """Reads the snapshots of this engine, implemented by `matching.storage.snapshot_files`."""

    def newest(self) -> int | None:
        """Block number of the newest complete snapshot."""

    def read(self, number: int, offset: int, size: int) -> bytes | None:
        """At most `size` bytes of a snapshot from `offset` on, None if it is missing."""

    def size_of(self, number: int) -> int | None:
        """Size in bytes, None if it is missing."""

    def request(self) -> None:
        """Requests a snapshot. Has no effect while one is being made."""


class BulkAnswers:
    """`retransmission` is a ROUTER socket, `clock` returns monotonic seconds, `turn` is the time of the turn.

    Without `snapshots`, a follower that needs blocks that the ring has dropped gets the answer that it cannot join.
    """

    def __init__(
        self,
        retransmission: Socket,
        ring: Ring,
        counters: Counters,
        clock: Callable[[], float],
        turn: TimeSlice,
        snapshots: SnapshotReader | None,
        bytes_a_second: int,
    ) -> None:
        self._socket = retransmission
        self._ring = ring
        self._counters = counters
        self._turn = turn
        self._snapshots = snapshots
        self._pace = Pace(clock, bytes_a_second)
        self._waiting: dict[bytes, Callable[[], None]] = {}  # reader → answers its newest request

    def request_blocks(self, reader: bytes, first: int, last: int) -> None:
        self._request(reader, lambda: self._send_blocks(reader, first, last))

    def request_snapshot(self, reader: bytes, number: int, offset: int) -> None:
        self._request(reader, lambda: self._send_snapshot(reader, number, offset))

    def answer_due(self) -> None:
        """Answers readers in turn, until the turn's time or the rate is used up."""
        while self._waiting and self._pace.due_in_s <= 0:
            self._waiting.pop(next(iter(self._waiting)))()
            if self._turn.is_used_up:
                return

    @property
    def idle_s(self) -> float:
        """Seconds until an answer is due, infinity if none is wanted."""
        return self._pace.due_in_s if self._waiting else float("inf")

    def _request(self, reader: bytes, answer: Callable[[], None]) -> None:
        if reader in self._waiting or len(self._waiting) < _MAX_WAITING:
            self._waiting[reader] = answer
        else:
            self._counters.lost_answers += 1

    def _send_blocks(self, reader: bytes, first: int, last: int) -> None:
        if self._ring.get(first) is None:
            self._send(reader, wire.MISSING, *wire.encode_numbers(first, self._ring.first))
            return
        size = 0
        number = first
        for number in range(first, min(last, first + _BLOCKS_AN_ANSWER - 1) + 1):
            block = self._ring.get(number)
            is_over = size > _BYTES_AN_ANSWER or (number > first and self._turn.is_used_up)
            if block is None or is_over or not self._send_block(reader, block):
                number -= 1
                break
            size += len(block.data)
        self._send(reader, wire.SENT, *wire.encode_numbers(number))

    def _send_block(self, reader: bytes, block: Block) -> bool:
        return self._send(reader, wire.BLOCK, *in_parts(block.data))

    def _send_snapshot(self, reader: bytes, number: int, offset: int) -> None:
        """Sends the requested chunk of a snapshot if that is still usable, else the first chunk of the newest one."""
        if self._snapshots is None:
            self._send(reader, wire.MISSING, *wire.encode_numbers(0, self._ring.first))
            return
        newest = self._snapshots.newest() or 0
        for wanted, start in ((number, offset), (newest, 0)):
            chunk = self._chunk(self._snapshots, wanted, start)
            if chunk is not None:
                self._send(reader, wire.SNAPSHOT, *encode_snapshot_chunk(chunk))
                return
        self._snapshots.request()
        self._send(reader, wire.PENDING, *wire.encode_numbers(newest))

    def _chunk(self, snapshots: SnapshotReader, number: int, offset: int) -> SnapshotChunk | None:
        """A chunk of a snapshot.

        None if it is missing, its block is not visible yet, or blocks after it were dropped.
        """
        ring = self._ring
        if number == 0 or not (ring.first or ring.last + 1) - 1 <= number <= ring.last:
            return None
        total_bytes = snapshots.size_of(number)
        data = snapshots.read(number, offset, SNAPSHOT_CHUNK_BYTES)
        return SnapshotChunk(number, offset, total_bytes, data) if data and total_bytes else None

    def _send(self, reader: bytes, *frames: Frame) -> bool:
        try:
            self._socket.send(reader, *frames)
        except Undelivered:
            self._counters.lost_answers += 1
            return False
        self._pace.count(sum(map(len, frames)))
        return True
