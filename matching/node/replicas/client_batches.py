"""Client side of a replica: appends clients' batches to the log as messages, and remembers who waits for an answer.

A message contains the commands of one block. Its result is decided when it is read from the log, by all replicas alike.
A batch that a client repeats while it is on its way through the log is not appended again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matching.core.codes import is_definition
from matching.core.engine import Engine
from matching.node.command_endpoint import CommandEndpoint, Received
from matching.node.sequencer import Sequencer
from matching.node.status import StatusBoard
from matching.storage.input_logs import frames
from matching.storage.input_logs.base import CommandLog
from matching.transport import wire

MAX_PENDING_MESSAGES = 32
"""Messages on their way through the log: enough to keep it busy. Later batches share the next message."""

_FULL = "The log's queue is full: the engine takes no commands until there is room."


@dataclass(slots=True)
class Waiting:
    """A batch whose sender waits for the answer."""

    sender: bytes
    batch: wire.Batch


class ClientBatches:
    """`instance` is unique for this process and prefixes the keys of its messages."""

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
        self._batches: dict[tuple[int, int, int, int, int], Waiting] = {}  # the same batches, by identity

    @property
    def is_busy(self) -> bool:
        """Whether to leave clients' batches in the socket, so that they share the next message to the log."""
        return len(self._messages) >= MAX_PENDING_MESSAGES and not self._board.halted

    def take(self, received: Sequence[Received]) -> None:
        """Takes batches that passed `Engine.check_form`. Raises LogUnusable."""
        new: list[Waiting] = []
        for sender, batch, _ in received:
            one = Waiting(sender, batch)
            pending = self._batches.get(batch.identity)
            if pending is not None:
                pending.sender = sender  # a repetition, perhaps over another connection
            elif (answer := self._sequencer.answer_repeated(batch)) is not None:
                self._endpoint.answer(sender, answer)
            elif self._board.halted or len(self._messages) >= MAX_PENDING_MESSAGES:
                self.refuse(one, wire.ENGINE_HALTED, self._board.halted or _FULL)
            else:
                new.append(one)
                self._batches[batch.identity] = one
        self._send(new)

    def claim(self, key: bytes) -> list[Waiting]:
        """Batches waiting for this message, which was read from the log; empty if another replica appended it."""
        waiting = self._messages.pop(key, [])
        for one in waiting:
            del self._batches[one.batch.identity]
        return waiting

    def refuse(self, one: Waiting, code: str, message: str) -> None:
        batch = one.batch
        applied = self._engine.clients.last_number(batch.client, batch.owner)
        self._endpoint.refuse(one.sender, wire.Refused(code, message, batch.client, batch.first_number, applied))

    def _send(self, new: Sequence[Waiting]) -> None:
        group: list[Waiting] = []
        payloads: list[bytes] = []
        commands, size = 0, frames.EMPTY_SIZE
        for one in new:
            batch = one.batch
            payload = batch.payload
            commands += len(batch.commands)
            size += frames.size_of(payload)
            if group and (commands > self._block_commands or size > frames.MAX_BYTES):
                self._append(group, payloads)
                group, payloads = [], []
                commands, size = len(batch.commands), frames.EMPTY_SIZE + frames.size_of(payload)
            group.append(one)
            payloads.append(payload)
            if is_definition(int(batch.commands["kind"][-1])):  # it ends a block
                self._append(group, payloads)
                group, payloads = [], []
                commands, size = 0, frames.EMPTY_SIZE
        if group:
            self._append(group, payloads)

    def _append(self, group: list[Waiting], payloads: Sequence[bytes]) -> None:
        self._appended += 1
        key = self._instance + self._appended.to_bytes(8, "little")
        self._messages[key] = group
        if not self._log.append(key, frames.encode(payloads, [one.batch.owner for one in group])):
            for one in self.claim(key):
                self.refuse(one, wire.ENGINE_HALTED, _FULL)
