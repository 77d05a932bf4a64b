"""Blocks out: each once on the block socket, again on the retransmission socket, and heartbeats in between.

The block socket may lose a block for a reader that is too slow; the reader sees the gap and asks the retransmission
socket, which answers from the ring.
"""

from collections.abc import Callable, Iterable

from matching import wire
from matching.blocks import Block
from matching.errors import BadMessage
from matching.ring import Ring
from matching.sockets import Socket, Undelivered
from matching.status import StatusBoard

_REQUESTS_A_TURN = 64
_BLOCKS_AN_ANSWER = 256
_BYTES_AN_ANSWER = 4 << 20
"""A reader that wants more asks again: nothing else waits long for it, and its queue stays small."""


class Publisher:
    """`blocks` is a PUB, `retransmission` a ROUTER; `clock` gives seconds that never run back."""

    def __init__(
        self, blocks: Socket, retransmission: Socket, ring: Ring, board: StatusBoard, clock: Callable[[], float]
    ) -> None:
        self._blocks = blocks
        self._retransmission = retransmission
        self._ring = ring
        self._board = board
        self._clock = clock
        self._next_heartbeat_s = clock()
        self.last_beat_s = clock()

    def publish(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._blocks.send(wire.BLOCK, block.data)

    def beat(self) -> bool:
        """Sends a heartbeat if one is due; says whether it was."""
        now_s = self._clock()
        if now_s < self._next_heartbeat_s:
            return False
        self.last_beat_s = now_s
        self._next_heartbeat_s = now_s + wire.HEARTBEAT_S
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
            if block is None or size > _BYTES_AN_ANSWER or not self._send(sender, wire.BLOCK, block.data):
                number -= 1
                break
            size += len(block.data)
        self._send(sender, wire.SENT, *wire.encode_numbers(number))

    def _send(self, reader: bytes, *frames: bytes) -> bool:
        try:
            self._retransmission.send(reader, *frames)
        except Undelivered:
            self._board.counters.lost_answers += 1
            return False
        return True
