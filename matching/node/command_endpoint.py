"""The engine's side of the command socket: reads what clients send, answers questions, refuses what is no message.

Nothing here waits. A client that does not read its answers loses them once its queue is full, and asks again.
"""

from typing import NamedTuple

from matching.core.engine import Engine
from matching.core.errors import BadMessage
from matching.node.status import Counters, StatusBoard
from matching.transport import wire
from matching.transport.roles import LEADER, REPLICA, TAKE_COMMANDS
from matching.transport.sockets import Frame, Socket, Undelivered

_MESSAGES_A_TURN = 512
_COMMANDS_A_TURN = 8192
_DECISIONS_KEPT = 64

LEADS_ALREADY = "This engine leads already."
TAKES_PART = "This engine is a replica of a log, as all of them are: each takes commands, and there is none to promote."


class Promotion(NamedTuple):
    """Somebody asks that this engine become the leader; `forced`: whatever speaks against it."""

    sender: bytes
    correlation: bytes
    forced: bool


class CommandEndpoint:
    """`socket` is a ROUTER. A follower's `promotions` wait for whoever may decide; a leader refuses them."""

    def __init__(self, socket: Socket, engine: Engine, board: StatusBoard, counters: Counters) -> None:
        self._socket = socket
        self._engine = engine
        self._board = board
        self._counters = counters
        self._decided: dict[bytes, bytes] = {}  # correlation of a promotion → answer, newest last
        self._put_off: list[bytes] | None = None  # a costly question, the first thing to read in the next turn
        self.promotions: list[Promotion] = []

    def receive(self) -> list[tuple[bytes, wire.Batch]]:
        """What waits, up to one turn's worth: (sender, batch) in the order of arrival. Questions are answered here.

        Of the costly ones one is answered in a turn: the next one ends it, and begins the following turn. The same one
        again was asked while the answer was being made, and is not answered twice.
        """
        received: list[tuple[bytes, wire.Batch]] = []
        costly: list[bytes] | None = None
        commands = 0
        for _ in range(_MESSAGES_A_TURN):
            if commands >= _COMMANDS_A_TURN or (message := self._next_message()) is None:
                break
            sender, *frames = message
            if frames and frames[0] in wire.COSTLY_QUESTIONS:
                if message == costly:
                    continue
                if costly is not None:
                    self._put_off = message
                    break
                costly = message
            batch = self._read(sender, frames)
            if batch is not None:
                received.append((sender, batch))
                commands += len(batch.commands)
        return received

    def answer(self, client: bytes, payload: bytes) -> None:
        self._send(client, wire.ANSWER, *wire.in_parts(payload))

    def refuse(self, client: bytes, refused: wire.Refused) -> None:
        """A refusal of a batch."""
        self._counters.refused_batches += 1
        self._send(client, wire.REFUSED, wire.encode_refused(refused))

    def grant(self, promotion: Promotion, epoch: int, first_block: int) -> None:
        """Tells who asked that this engine leads, in `epoch` and from `first_block` on."""
        self._decide(promotion, {"ok": True, "epoch": epoch, "block": first_block})

    def deny(self, promotion: Promotion, message: str) -> None:
        self._decide(promotion, {"ok": False, "message": message})

    def _next_message(self) -> list[bytes] | None:
        message, self._put_off = self._put_off, None
        return message or self._socket.receive()

    def _decide(self, promotion: Promotion, decision: dict[str, object]) -> None:
        """Kept: who asked may have asked several times meanwhile, and what was decided once is not decided anew."""
        answer = wire.encode_json(decision)
        self._decided[promotion.correlation] = answer
        if len(self._decided) > _DECISIONS_KEPT:
            del self._decided[next(iter(self._decided))]
        self._send(promotion.sender, wire.PROMOTE, answer, promotion.correlation)

    def _read(self, sender: bytes, frames: list[bytes]) -> wire.Batch | None:
        try:
            if len(frames) == 2 and frames[0] == wire.COMMANDS:
                return self._read_batch(sender, frames[1])
            verb, correlation = wire.decode_question(frames, wire.QUESTIONS | wire.PROMOTIONS)
        except BadMessage as error:
            self._counters.bad_messages += 1
            self._send(sender, wire.REFUSED, wire.encode_refused(wire.Refused(wire.BAD_MESSAGE, str(error))))
            return None
        if verb in wire.PROMOTIONS:
            self._read_promotion(Promotion(sender, correlation, verb == wire.PROMOTE_FORCED))
        else:
            self._send(sender, verb, self._board.answer(verb), correlation)
        return None

    def _read_promotion(self, promotion: Promotion) -> None:
        decided = self._decided.get(promotion.correlation)
        if decided is not None:  # the answer was lost, or overtaken
            self._send(promotion.sender, wire.PROMOTE, decided, promotion.correlation)
        elif self._board.role == LEADER:
            self.deny(promotion, LEADS_ALREADY)
        elif self._board.role == REPLICA:
            self.deny(promotion, TAKES_PART)
        else:
            self.promotions.append(promotion)

    def _read_batch(self, sender: bytes, payload: bytes) -> wire.Batch | None:
        try:
            batch = wire.decode_batch(payload)
            # A follower refuses every batch: that it may not know an instrument yet does not make one a bad one. A
            # replica may be behind the one that has defined it: what is known is judged where the log is read.
            if self._board.role == REPLICA:
                self._engine.check_form(batch.commands, batch.texts)
            elif self._board.role in TAKE_COMMANDS:
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

    def _send(self, client: bytes, *frames: Frame) -> None:
        try:
            self._socket.send(client, *frames)
        except Undelivered:
            self._counters.lost_answers += 1
