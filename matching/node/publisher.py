"""Publishes blocks and heartbeats on the block socket, and serves the retransmission socket.

A reader that is too slow may lose blocks on the block socket. It notices the gap and requests them on the
retransmission socket, which answers from the ring. A follower that needs blocks that the ring has dropped gets a
snapshot in chunks.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import BadMessage
from matching.node.retransmission.bulk_answers import BYTES_A_SECOND, BulkAnswers, SnapshotReader
from matching.node.retransmission.confirmations import Confirmations
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.transport import permissions, wire
from matching.transport.parts import in_parts
from matching.transport.sockets import Frame, Socket, Undelivered
from matching.transport.time_slice import TimeSlice

_REQUESTS_A_TURN = 64


class SnapshotSource(SnapshotReader, Protocol):
    """Makes this engine's snapshots, besides reading them; implemented by `matching.storage.snapshot_files`."""

    def advance(self, engine: Engine, ring: Ring) -> object:
        """Makes a snapshot if one is due. `ring` ends with the newest blocks of the chain."""


class Publisher:
    """Publishes an engine's blocks and answers the requests of its readers.

    `blocks` is a PUB socket, `retransmission` a ROUTER socket; `clock` returns monotonic seconds. Without `snapshots`,
    a follower that needs blocks that the ring has dropped gets the answer that it cannot join.
    """

    def __init__(
        self,
        blocks: Socket,
        retransmission: Socket,
        ring: Ring,
        board: StatusBoard,
        clock: Callable[[], float],
        snapshots: SnapshotSource | None = None,
        *,
        bytes_a_second: int = BYTES_A_SECOND,
    ) -> None:
        self._blocks = blocks
        self._retransmission = retransmission
        self._ring = ring
        self._board = board
        self.confirmations = Confirmations(ring, board.counters, clock)
        self._clock = clock
        self._turn = TimeSlice(clock)
        self._bulk = BulkAnswers(retransmission, ring, board.counters, clock, self._turn, snapshots, bytes_a_second)
        self._snapshots = snapshots
        self._followers: dict[wire.Addresses, float] = {}  # address → time of the last announcement
        self._next_heartbeat_s = clock()
        self.last_beat_s = clock()

    @property
    def addresses(self) -> wire.Addresses:
        """Addresses on which this engine listens."""
        return self._board.addresses

    def make_snapshot_if_due(self, engine: Engine) -> None:
        """For followers. Leaders and replicas make snapshots in their loops; a leader when its log has all blocks."""
        if self._snapshots is not None:
            self._snapshots.advance(engine, self._ring)

    def publish(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._blocks.send(wire.BLOCK, *in_parts(block.data))

    def beat(self) -> bool:
        """Sends a heartbeat if one is due. Returns whether it was sent."""
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
        """Seconds until the next heartbeat or an answer is due."""
        return max(0.0, min(self._next_heartbeat_s - self._clock(), self._bulk.idle_s))

    def serve(self) -> None:
        """Answers requests that wait on the retransmission socket, until the time of this turn is used."""
        self._turn.begin_turn()
        for number in range(_REQUESTS_A_TURN):
            if (number and self._turn.is_used_up) or (message := self._retransmission.receive()) is None:
                break
            sender, *frames = message
            try:
                self._serve_one(sender, frames)
            except BadMessage as error:
                refused = wire.Refused(self._board.counters.note_refusal(error), str(error))
                self._send(sender, wire.REFUSED, wire.encode_refused(refused))
        self._bulk.answer_due()

    def _serve_one(self, sender: bytes, frames: list[bytes]) -> None:
        verb = frames[0] if frames else b""
        if verb in permissions.ENGINE_VERBS:
            permissions.check_message(self._retransmission.peer, verb)
        if verb == wire.BLOCKS:
            self._bulk.request_blocks(sender, *wire.decode_numbers(frames[1:], 2))
        elif verb == wire.CONFIRM:
            refused = self.confirmations.take(sender, wire.decode_confirmation(frames[1:]))
            if refused is not None:
                self._send(sender, wire.REFUSED, wire.encode_refused(refused))
        elif verb == wire.SNAPSHOT:
            self._bulk.request_snapshot(sender, *wire.decode_numbers(frames[1:], 2))
        elif verb == wire.FOLLOWING and len(frames) == 2:
            self._note_follower(wire.decode_addresses(frames[1]))
        else:
            _, correlation = wire.decode_question(frames, (wire.STATUS,))
            self._send(sender, wire.STATUS, self._board.answer(wire.STATUS), correlation)

    def _note_follower(self, addresses: wire.Addresses) -> None:
        if addresses in self._followers or len(self._followers) < wire.MAX_FOLLOWERS:
            self._followers[addresses] = self._clock()
            self._board.followers = list(self._followers)

    def _forget_silent_followers(self, now_s: float) -> None:
        for addresses, heard_at_s in list(self._followers.items()):
            if now_s - heard_at_s > wire.FOLLOWERS_KEPT_S:
                del self._followers[addresses]
                self._board.followers = list(self._followers)

    def _send(self, reader: bytes, *frames: Frame) -> None:
        try:
            self._retransmission.send(reader, *frames)
        except Undelivered:
            self._board.counters.lost_answers += 1
