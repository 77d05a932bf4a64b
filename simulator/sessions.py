"""One connection of a simulated program: what it sends with it, and a record of every answer."""

from dataclasses import dataclass, field
from typing import NamedTuple

from matching.client.connection import Connection
from matching.client.edge import BatchBuilder
from matching.core.blocks import Records
from matching.core.errors import EngineUnreachable, NoAnswer
from matching.transport.wire import CLIENT_FORGOTTEN, Answer
from simulator.trust.keys import Keys
from simulator.world import Process


class ResultUnknown(Exception):
    """No engine tells this client any more whether a batch was applied: begin again as a new client."""


class Acknowledged(NamedTuple):
    """Answered commands of one client, with their events."""

    client: int
    first_number: int
    command_count: int
    block_number: int  # 0: applied earlier, and the events are no longer held
    first_command_sequence: int
    events: bytes
    at_s: float
    commands: tuple[bytes, ...]
    """`contents` of the commands as they were sent."""


@dataclass
class Record:
    """What one program, and others that use its client id by mistake, have sent and received."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    sent_revoked: set[tuple[int, int, bytes]] = field(default_factory=set)
    """Client, number and contents of the first command of each batch that was sent with a key revoked before."""


class Session:
    def __init__(self, connection: Connection, process: Process, keys: Keys, key: str, record: Record) -> None:
        """`key` is that of the connection."""
        self.connection = connection
        self.key = key
        self._process = process
        self._keys = keys
        self._record = record
        self._sent: dict[int, tuple[bytes, ...]] = {}  # contents of unanswered batches by first number

    def send(self, builder: BatchBuilder) -> None:
        connection = self.connection
        commands, texts = builder.take()
        sent = self._sent[connection.next_number] = contents(commands)
        if not self._keys.is_valid(self.key):
            self._record.sent_revoked.add((connection.client_id, connection.next_number, sent[0]))
        connection.send(commands, texts)

    def collect(self, max_unanswered: int) -> None:
        """Receives answers until at most `max_unanswered` batches are unanswered.

        Raises EngineRefused, ResultUnknown.
        """
        while self.connection.in_flight > max_unanswered or self.connection.full:
            try:
                self.receive(1.0)
            except EngineUnreachable as error:
                is_forgotten = isinstance(error, NoAnswer) and error.code == CLIENT_FORGOTTEN
                if is_forgotten or not self._keys.is_valid(self.key):
                    raise ResultUnknown from error
                self.connection.retry()

    def receive(self, timeout_s: float) -> None:
        """Raises EngineRefused, EngineUnreachable."""
        for answered in self.connection.receive(timeout_s):
            self._keep(answered.answer)

    def _keep(self, answer: Answer) -> None:
        sent = self._sent.pop(answer.first_number)
        for segment in answer.segments:
            at = segment.first_number - answer.first_number
            self._record.acknowledged.append(
                Acknowledged(
                    client=answer.client,
                    first_number=segment.first_number,
                    command_count=segment.command_count,
                    block_number=segment.block_number,
                    first_command_sequence=segment.first_command_sequence,
                    events=segment.events.tobytes(),
                    at_s=self._process.monotonic(),
                    commands=sent[at : at + segment.command_count],
                )
            )


def contents(commands: Records) -> tuple[bytes, ...]:
    """The records of commands without the place of their strings, which is another one in a block than in a batch."""
    commands = commands.copy()
    commands["text_offset"] = 0
    return tuple(command.tobytes() for command in commands)
