"""The engine's command socket: reads clients' messages, answers questions, refuses invalid messages.

Nothing here blocks. If a client does not read its answers, they are dropped when its queue is full, and it has to ask
again.
"""

from collections.abc import Callable
from typing import NamedTuple

from matching.core.engine import Engine
from matching.core.errors import BadMessage
from matching.node.costly_answers import AnswerMaker, Asked, AtOnce, CostlyAnswers
from matching.node.status import Counters, StatusBoard
from matching.transport import permissions, wire
from matching.transport.engine_roles import LEADER, REPLICA, TAKE_COMMANDS
from matching.transport.key_register import RegisteredKey, owner_of
from matching.transport.parts import in_parts
from matching.transport.permissions import NotPermitted
from matching.transport.sockets import Frame, Socket, Undelivered
from matching.transport.time_slice import TimeSlice

_MESSAGES_A_TURN = 512
_COMMANDS_A_TURN = 8192
_MAX_DECISIONS = 64

LEADS_ALREADY = "This engine leads already."
TAKES_PART = "This engine is a replica of a log: all replicas take commands, and none can be promoted."


class Received(NamedTuple):
    """A batch, and the connection to answer on. `lane` is the sender's key, or the connection if it has none."""

    sender: bytes
    batch: wire.Batch
    lane: bytes


class Promotion(NamedTuple):
    """A request to make this engine the leader; `forced`: even if the current leader is alive."""

    sender: bytes
    correlation: bytes
    forced: bool


class CommandEndpoint:
    """`socket` is a ROUTER, `clock` returns monotonic seconds, `maker` makes the answers to costly questions.

    A follower collects requests in `promotions`, to be decided later; others refuse them.
    """

    def __init__(
        self,
        socket: Socket,
        engine: Engine,
        board: StatusBoard,
        counters: Counters,
        clock: Callable[[], float],
        maker: AnswerMaker | None = None,
    ) -> None:
        self._socket = socket
        self._engine = engine
        self._board = board
        self._counters = counters
        self._decisions: dict[bytes, bytes] = {}  # correlation id of a promotion → answer, newest last
        self._slice = TimeSlice(clock)
        self._costly = CostlyAnswers(maker or AtOnce(), board.answer, self._send_costly, counters, clock)
        self.promotions: list[Promotion] = []

    @property
    def idle_s(self) -> float:
        """Seconds until `receive` has something to do, unless a message arrives."""
        return self._costly.idle_s

    def receive(self) -> list[Received]:
        """Reads the messages of one turn. Answers questions; returns batches in order of arrival.

        The turn ends when questions have used their time, so that they do not delay batches. ROUTER reads its peers in
        turn: a peer that sends more than others waits longer.
        """
        received: list[Received] = []
        commands = 0
        self._slice.begin_turn()
        for _ in range(_MESSAGES_A_TURN):
            if commands >= _COMMANDS_A_TURN or (message := self._socket.receive()) is None:
                break
            sender, *frames = message
            peer = self._socket.peer
            batch = self._read(sender, frames, peer)
            if batch is not None:
                received.append(Received(sender, batch, peer.public.encode() if peer and peer.public else sender))
                commands += len(batch.commands)
            elif self._slice.is_used_up:
                break
        self._costly.advance()
        return received

    def answer(self, client: bytes, payload: bytes) -> None:
        self._send(client, wire.ANSWER, *in_parts(payload))

    def refuse(self, client: bytes, refused: wire.Refused) -> None:
        """Refuses a batch."""
        self._counters.refused_batches += 1
        self._send(client, wire.REFUSED, wire.encode_refused(refused))

    def grant(self, promotion: Promotion, epoch: int, first_block: int) -> None:
        """Answers a promotion request: this engine leads in `epoch`, from `first_block` on."""
        self._decide(promotion, {"ok": True, "epoch": epoch, "block": first_block})

    def deny(self, promotion: Promotion, message: str) -> None:
        self._decide(promotion, {"ok": False, "message": message})

    def _send_costly(self, asked: Asked, answer: bytes) -> None:
        self._send(asked.sender, asked.verb, answer, asked.correlation)

    def _decide(self, promotion: Promotion, decision: dict[str, object]) -> None:
        """Sends the decision and stores it, because the client may have repeated its request meanwhile."""
        answer = wire.encode_json(decision)
        self._decisions[promotion.correlation] = answer
        if len(self._decisions) > _MAX_DECISIONS:
            del self._decisions[next(iter(self._decisions))]
        self._send(promotion.sender, wire.PROMOTE, answer, promotion.correlation)

    def _read(self, sender: bytes, frames: list[bytes], peer: RegisteredKey | None) -> wire.Batch | None:
        if len(frames) == 2 and frames[0] == wire.COMMANDS:
            return self._read_batch(sender, frames[1], peer)
        try:
            verb, correlation = wire.decode_question(frames, wire.QUESTIONS | wire.PROMOTIONS)
            permissions.check_message(peer, verb)
        except BadMessage as error:
            refused = wire.encode_refused(wire.Refused(self._counters.note_refusal(error), str(error)))
            # Correlated if it is a question: else its sender would wait for the answer.
            self._send(sender, wire.REFUSED, refused, *frames[1:2] if isinstance(error, NotPermitted) else ())
            return None
        if verb in wire.PROMOTIONS:
            self._read_promotion(Promotion(sender, correlation, verb == wire.PROMOTE_FORCED))
        elif verb not in wire.COSTLY_QUESTIONS:
            self._send(sender, verb, self._board.answer(verb), correlation)
        else:
            self._costly.ask(Asked(sender, verb, correlation))
        return None

    def _read_promotion(self, promotion: Promotion) -> None:
        decided = self._decisions.get(promotion.correlation)
        if decided is not None:  # a repeated request
            self._send(promotion.sender, wire.PROMOTE, decided, promotion.correlation)
        elif self._board.role == LEADER:
            self.deny(promotion, LEADS_ALREADY)
        elif self._board.role == REPLICA:
            self.deny(promotion, TAKES_PART)
        else:
            self.promotions.append(promotion)

    def _read_batch(self, sender: bytes, payload: bytes, peer: RegisteredKey | None) -> wire.Batch | None:
        try:
            batch = wire.decode_batch(payload, owner_of(peer))
            permissions.check_commands(peer, batch.commands)
            # A follower refuses every batch anyway, and may not know the instruments yet, so it does not check them. A
            # replica may not know them yet either; it checks them when it reads the batch from the log.
            if self._board.role == REPLICA:
                self._engine.check_form(batch.commands, batch.texts)
            elif self._board.role in TAKE_COMMANDS:
                self._engine.check(batch.commands, batch.texts)
        except BadMessage as error:
            code = self._counters.note_refusal(error)
            client, number = wire.addressee(payload)
            applied = self._engine.clients.last_number(client, owner_of(peer))
            refused = wire.Refused(code, str(error), client, number, applied)
            self._send(sender, wire.REFUSED, wire.encode_refused(refused))
            return None
        return batch

    def _send(self, client: bytes, *frames: Frame) -> None:
        try:
            self._socket.send(client, *frames)
        except Undelivered:
            self._counters.lost_answers += 1
