"""The engine's side of the command socket: reads what clients send, answers questions, refuses what is no message.

Nothing here waits. A client that does not read its answers loses them once its queue is full, and asks again.
"""

from matching import wire
from matching.engine import Engine
from matching.errors import BadMessage
from matching.sockets import Socket, Undelivered
from matching.status import Counters, StatusBoard

_MESSAGES_A_TURN = 512
_COMMANDS_A_TURN = 8192


class Desk:
    """`socket` is a ROUTER."""

    def __init__(self, socket: Socket, engine: Engine, board: StatusBoard, counters: Counters) -> None:
        self._socket = socket
        self._engine = engine
        self._board = board
        self._counters = counters

    def receive(self) -> list[tuple[bytes, wire.Batch]]:
        """What waits, up to one turn's worth: (sender, batch) in the order of arrival. Questions are answered here."""
        received: list[tuple[bytes, wire.Batch]] = []
        commands = 0
        for _ in range(_MESSAGES_A_TURN):
            if commands >= _COMMANDS_A_TURN or (message := self._socket.receive()) is None:
                break
            sender, *frames = message
            batch = self._read(sender, frames)
            if batch is not None:
                received.append((sender, batch))
                commands += len(batch.commands)
        return received

    def answer(self, client: bytes, payload: bytes) -> None:
        self._send(client, wire.ANSWER, payload)

    def refuse(self, client: bytes, refused: wire.Refused) -> None:
        """A refusal of a batch."""
        self._counters.refused_batches += 1
        self._send(client, wire.REFUSED, wire.encode_refused(refused))

    def _read(self, sender: bytes, frames: list[bytes]) -> wire.Batch | None:
        try:
            if len(frames) == 2 and frames[0] == wire.COMMANDS:
                return self._read_batch(sender, frames[1])
            verb, correlation = wire.decode_question(frames, wire.QUESTIONS)
        except BadMessage as error:
            self._counters.bad_messages += 1
            self._send(sender, wire.REFUSED, wire.encode_refused(wire.Refused(wire.BAD_MESSAGE, str(error))))
            return None
        self._send(sender, verb, self._board.answer(verb), correlation)
        return None

    def _read_batch(self, sender: bytes, payload: bytes) -> wire.Batch | None:
        try:
            batch = wire.decode_batch(payload)
            self._engine.check(batch.commands, batch.texts)
        except BadMessage as error:
            self._counters.bad_messages += 1
            code = wire.TOO_LARGE if isinstance(error, wire.TooLarge) else wire.BAD_MESSAGE
            client, number = wire.addressee(payload)
            applied = self._engine.clients.get(client, 0)
            refused = wire.Refused(code, str(error), client, number, applied)
            self._send(sender, wire.REFUSED, wire.encode_refused(refused))
            return None
        return batch

    def _send(self, client: bytes, *frames: bytes) -> None:
        try:
            self._socket.send(client, *frames)
        except Undelivered:
            self._counters.lost_answers += 1
