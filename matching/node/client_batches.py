"""A replica's half that faces its clients: batches come in, go to the log as messages, and wait there to be answered.

A message is the commands of one block. What becomes of it is decided where it comes out of the log, by every replica
alike; here it is only remembered who waits. A batch that comes a second time while it is under way is not sent twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matching.core.codes import FIRST_REFERENCE_COMMAND
from matching.core.engine import Engine
from matching.node.command_endpoint import CommandEndpoint
from matching.node.sequencer import Sequencer
from matching.node.status import StatusBoard
from matching.storage.input_logs import frames
from matching.storage.input_logs.base import CommandLog
from matching.transport import wire

MOST_UNDER_WAY = 32
"""Messages at once: enough to keep a log busy; what comes meanwhile gathers, and shares the next one."""

_FULL = "The log takes no more at the moment: the engine takes no commands until it does."


@dataclass(slots=True)
class Waiting:
    """One batch that somebody waits for."""

    sender: bytes
    batch: wire.Batch

    @property
    def name(self) -> tuple[int, int, int]:
        return self.batch.client, self.batch.first_number, len(self.batch.commands)


class ClientBatches:
    """`instance` is a name that no other process has: it begins the keys of this one's messages."""

    def __init__(
        self,
        *,
        log: CommandLog,
        endpoint: CommandEndpoint,
        engine: Engine,
        sequencer: Sequencer,
        board: StatusBoard,
        block_commands: int,
        instance: bytes,
    ) -> None:
        self._log = log
        self._endpoint = endpoint
        self._engine = engine
        self._sequencer = sequencer
        self._board = board
        self._block_commands = block_commands
        self._instance = instance
        self._appended = 0
        self._messages: dict[bytes, list[Waiting]] = {}  # by key
        self._batches: dict[tuple[int, int, int], Waiting] = {}  # the same ones, by name

    @property
    def is_busy(self) -> bool:
        """Nothing is to be received, though clients have sent: it may gather, for what is under way comes soon."""
        return len(self._messages) >= MOST_UNDER_WAY and not self._board.halted

    def take(self, received: Sequence[tuple[bytes, wire.Batch]]) -> None:
        """Batches that `Engine.check_form` let pass. Raises LogUnusable."""
        new: list[Waiting] = []
        for sender, batch in received:
            one = Waiting(sender, batch)
            under_way = self._batches.get(one.name)
            if under_way is not None:
                under_way.sender = sender  # it asks again, perhaps over another connection
            elif (answer := self._sequencer.answer_repeated(batch)) is not None:
                self._endpoint.answer(sender, answer)
            elif self._board.halted or len(self._messages) >= MOST_UNDER_WAY:
                self.refuse(one, wire.ENGINE_HALTED, self._board.halted or _FULL)
            else:
                new.append(one)
                self._batches[one.name] = one
        self._send(new)

    def claim(self, key: bytes) -> list[Waiting]:
        """Who waits for this message, which has come out of the log; nobody, where another replica has sent it."""
        waiting = self._messages.pop(key, [])
        for one in waiting:
            del self._batches[one.name]
        return waiting

    def refuse(self, one: Waiting, code: str, message: str) -> None:
        batch = one.batch
        applied = self._engine.clients.get(batch.client, 0)
        self._endpoint.refuse(one.sender, wire.Refused(code, message, batch.client, batch.first_number, applied))

    def _send(self, new: Sequence[Waiting]) -> None:
        together: list[Waiting] = []
        payloads: list[bytes] = []
        commands, size = 0, frames.EMPTY_SIZE
        for one in new:
            batch = one.batch
            payload = wire.encode_batch(batch.client, batch.first_number, batch.commands, batch.texts)
            commands += len(batch.commands)
            size += frames.size_of(payload)
            if together and (commands > self._block_commands or size > frames.MAX_BYTES):
                self._append(together, payloads)
                together, payloads = [], []
                commands, size = len(batch.commands), frames.EMPTY_SIZE + frames.size_of(payload)
            together.append(one)
            payloads.append(payload)
            if int(batch.commands["kind"][-1]) >= FIRST_REFERENCE_COMMAND:  # it ends a block
                self._append(together, payloads)
                together, payloads = [], []
                commands, size = 0, frames.EMPTY_SIZE
        if together:
            self._append(together, payloads)

    def _append(self, together: list[Waiting], payloads: Sequence[bytes]) -> None:
        self._appended += 1
        key = self._instance + self._appended.to_bytes(8, "little")
        self._messages[key] = together
        if not self._log.append(key, frames.encode(payloads)):
            for one in self.claim(key):
                self.refuse(one, wire.ENGINE_HALTED, _FULL)
