"""Blocks out: each once on the block socket, again on the retransmission socket, and heartbeats in between.

The block socket may lose a block for a reader that is too slow; the reader sees the gap and asks the retransmission
socket, which answers from the ring. What the ring has dropped a follower gets as a snapshot, a part at a time.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import BadMessage
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.sockets import Frame, Socket, Undelivered

_REQUESTS_A_TURN = 64
_BLOCKS_AN_ANSWER = 256
_BYTES_AN_ANSWER = 4 << 20
"""A reader that wants more asks again: nothing else waits long for it, and its queue stays small."""


class Snapshotter(Protocol):
    """Snapshots of this engine; `matching.storage.snapshot_files` makes and keeps them."""

    def newest(self) -> int | None:
        """Number of the block after which the newest complete one was made."""

    def read(self, number: int, offset: int, size: int) -> bytes | None:
        """Up to `size` bytes of one from `offset` on; None where it is gone."""

    def size_of(self, number: int) -> int | None:
        """In bytes; None where it is gone."""

    def request(self) -> None:
        """One is wanted soon; asking again while it is made changes nothing."""

    def look(self, engine: Engine, ring: Ring) -> object:
        """Makes one if it is due; `ring` ends with the chain's newest blocks."""


class Publisher:
    """`blocks` is a PUB, `retransmission` a ROUTER; `clock` gives seconds that never run back.

    Without `snapshots` a follower that comes too late for the ring is told that it cannot join.
    """

    def __init__(
        self,
        blocks: Socket,
        retransmission: Socket,
        ring: Ring,
        board: StatusBoard,
        clock: Callable[[], float],
        snapshots: Snapshotter | None = None,
    ) -> None:
        self._blocks = blocks
        self._retransmission = retransmission
        self._ring = ring
        self._board = board
        self._clock = clock
        self._snapshots = snapshots
        self._followers: dict[wire.Addresses, float] = {}  # when each announced itself last
        self._next_heartbeat_s = clock()
        self.last_beat_s = clock()

    @property
    def addresses(self) -> wire.Addresses:
        """Where this engine listens."""
        return self._board.addresses

    def make_snapshot_if_due(self, engine: Engine) -> None:
        """For an engine that nobody else looks after: a leader's loop does it when the input log has all."""
        if self._snapshots is not None:
            self._snapshots.look(engine, self._ring)

    def publish(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._blocks.send(wire.BLOCK, *wire.in_parts(block.data))

    def beat(self) -> bool:
        """Sends a heartbeat if one is due; says whether it was."""
        now_s = self._clock()
        if now_s < self._next_heartbeat_s:
            return False
        self.last_beat_s = now_s
        self._next_heartbeat_s = now_s + wire.HEARTBEAT_S
        self._forget_silent_followers(now_s)
        self._blocks.send(wire.STATUS, self._board.answer(wire.STATUS))
        return True

    @property
    def idle_s(self) -> float:
        """How long a turn may wait until the next heartbeat is due."""
        return max(0.0, self._next_heartbeat_s - self._clock())

    def serve(self) -> None:
        """Answers what waits on the retransmission socket."""
        for _ in range(_REQUESTS_A_TURN):
            message = self._retransmission.receive()
            if message is None:
                return
            sender, *frames = message
            try:
                self._serve_one(sender, frames)
            except BadMessage as error:
                self._board.counters.bad_messages += 1
                refused = wire.Refused(wire.BAD_MESSAGE, str(error))
                self._send(sender, wire.REFUSED, wire.encode_refused(refused))

    def _serve_one(self, sender: bytes, frames: list[bytes]) -> None:
        verb = frames[0] if frames else b""
        if verb == wire.BLOCKS:
            first, last = wire.decode_numbers(frames[1:], 2)
            self._send_blocks(sender, first, last)
        elif verb == wire.CONFIRM:
            (number,) = wire.decode_numbers(frames[1:], 1)
            self._ring.confirm(number)
        elif verb == wire.SNAPSHOT:
            number, offset = wire.decode_numbers(frames[1:], 2)
            self._send_snapshot(sender, number, offset)
        elif verb == wire.FOLLOWING and len(frames) == 2:
            self._note_follower(wire.decode_addresses(frames[1]))
        else:
            _, correlation = wire.decode_question(frames, (wire.STATUS,))
            self._send(sender, wire.STATUS, self._board.answer(wire.STATUS), correlation)

    def _send_blocks(self, sender: bytes, first: int, last: int) -> None:
        if self._ring.get(first) is None:
            self._send(sender, wire.MISSING, *wire.encode_numbers(first, self._ring.first))
            return
        size = 0
        number = first
        for number in range(first, min(last, first + _BLOCKS_AN_ANSWER - 1) + 1):
            block = self._ring.get(number)
            if block is None or size > _BYTES_AN_ANSWER or not self._send_block(sender, block):
                number -= 1
                break
            size += len(block.data)
        self._send(sender, wire.SENT, *wire.encode_numbers(number))

    def _send_block(self, sender: bytes, block: Block) -> bool:
        return self._send(sender, wire.BLOCK, *wire.in_parts(block.data))

    def _send_snapshot(self, sender: bytes, number: int, offset: int) -> None:
        """A part of the snapshot that is asked for, if it is still of use, else the beginning of the newest."""
        if self._snapshots is None:
            self._send(sender, wire.MISSING, *wire.encode_numbers(0, self._ring.first))
            return
        newest = self._snapshots.newest() or 0
        for wanted, start in ((number, offset), (newest, 0)):
            chunk = self._chunk(self._snapshots, wanted, start)
            if chunk is not None:
                self._send(sender, wire.SNAPSHOT, *wire.encode_snapshot_chunk(chunk))
                return
        self._snapshots.request()
        self._send(sender, wire.PENDING, *wire.encode_numbers(newest))

    def _chunk(self, snapshots: Snapshotter, number: int, offset: int) -> wire.SnapshotChunk | None:
        """None where the snapshot is gone, or of a block that nobody may see, or blocks after it are gone."""
        ring = self._ring
        if number == 0 or not (ring.first or ring.last + 1) - 1 <= number <= ring.last:
            return None
        total_bytes = snapshots.size_of(number)
        data = snapshots.read(number, offset, wire.SNAPSHOT_CHUNK_BYTES)
        return wire.SnapshotChunk(number, offset, total_bytes, data) if data and total_bytes else None

    def _note_follower(self, addresses: wire.Addresses) -> None:
        if addresses in self._followers or len(self._followers) < wire.MAX_FOLLOWERS:
            self._followers[addresses] = self._clock()
            self._board.replicas = list(self._followers)

    def _forget_silent_followers(self, now_s: float) -> None:
        for addresses, heard_at_s in list(self._followers.items()):
            if now_s - heard_at_s > wire.FOLLOWERS_KEPT_S:
                del self._followers[addresses]
                self._board.replicas = list(self._followers)

    def _send(self, reader: bytes, *frames: Frame) -> bool:
        try:
            self._retransmission.send(reader, *frames)
        except Undelivered:
            self._board.counters.lost_answers += 1
            return False
        return True
