"""A stream of JSON commands to an engine: encoded here, sent in batches, several under way at once.

Keeps the registry up to date by itself: after a command on reference data, and when a name is not known.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from matching.client.connection import Answered, Connection
from matching.client.edge import BatchBuilder, Edge, Refusal
from matching.core.blocks import Records
from matching.core.codes import Reason
from matching.core.errors import BadDefinition, BadMessage
from matching.core.registry import Registry
from matching.transport import wire

_UNKNOWN = {Reason.UNKNOWN_SYMBOL: "symbol", Reason.UNKNOWN_ASSET: "asset"}
_NAMES = ("symbol", "asset", "base", "quote")
_WAIT_S = 1.0


class Sent(NamedTuple):
    """A batch as it was sent, and what the caller calls its commands."""

    commands: Records
    texts: bytes
    tokens: list[Any]


class CommandStream:
    """`on_answer` is called for each batch, in order of arrival. `batch_commands` at most wire.MAX_BATCH_COMMANDS."""

    def __init__(
        self, connection: Connection, batch_commands: int, on_answer: Callable[[Sent, Answered], object]
    ) -> None:
        self._connection = connection
        self._batch_commands = batch_commands
        self._on_answer = on_answer
        self.edge = Edge(Registry())
        self._builder = BatchBuilder(self.edge)
        self._tokens: list[Any] = []
        self._sent: dict[int, Sent] = {}
        self._looked_up: set[Hashable] = set()  # names that were unknown when they were last asked for
        self._stale = False

    def refresh(self) -> None:
        """Loads the engine's registry. Raises EngineUnreachable, NoAnswer, BadMessage."""
        document = self._connection.ask(wire.REGISTRY)
        try:
            self.edge.registry = Registry.load(document["registry"])
        except (KeyError, TypeError, BadDefinition) as error:
            raise BadMessage("The engine's registry cannot be read by this version.") from error
        self._stale = False

    def make_room(self) -> None:
        """Before `add`: sends what is ready to be sent. May be called again after NoAnswer, as `finish`."""
        if self._builder.ends_block or self._stale:
            self.finish()
        elif len(self._builder) >= self._batch_commands:
            self._send()

    def add(self, command: object, token: Any) -> Refusal | None:
        """Adds a command, or says why the edge refuses it. When this raises, nothing was added."""
        refusal = self._builder.add(command)
        if refusal is not None and refusal.reason in _UNKNOWN and isinstance(command, Mapping):
            names = tuple(str(command.get(name)) for name in _NAMES)
            if names not in self._looked_up:
                self.refresh()
                self._looked_up.add(names)
                refusal = self._builder.add(command)
        if refusal is None:
            self._tokens.append(token)
        return refusal

    def flush(self) -> None:
        """Sends what was added, however little."""
        if len(self._builder):
            self._send()

    def finish(self) -> None:
        """Sends what is left and waits for every answer. Raises NoAnswer, EngineRefused."""
        self.flush()
        while self._sent:
            self.collect(_WAIT_S)
        if self._stale:
            self.refresh()
        self._looked_up.clear()

    def collect(self, timeout_s: float) -> None:
        """Hands over the answers that are there; waits at most `timeout_s` for the first."""
        for answered in self._connection.receive(timeout_s):
            self._on_answer(self._sent.pop(answered.answer.first_number), answered)

    def abandon(self) -> None:
        """Forgets what was not answered."""
        self._sent.clear()
        self._builder = BatchBuilder(self.edge)
        self._tokens = []

    def _send(self) -> None:
        while self._connection.full:
            self.collect(_WAIT_S)
        self._stale = self._stale or self._builder.ends_block
        commands, texts = self._builder.take()
        tokens, self._tokens = self._tokens, []
        number = self._connection.send(commands, texts)
        self._sent[number] = Sent(commands, texts, tokens)
