"""A stream of JSON commands to an engine: encodes them and sends them in batches, several of which are in flight.

It keeps its registry up to date. The answer to a definition shows what to add. The engine's whole registry is loaded
again only if a name is unknown and the engine has more names, or if the answer to a definition is incomplete.
"""

import json
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge, Refusal
from matching.client.in_flight import Answered
from matching.core.blocks import Records
from matching.core.codes import CommandKind, EventKind, Reason, is_definition
from matching.core.errors import BadDefinition, BadMessage, EngineRefused, NoAnswer
from matching.core.registry import Registry
from matching.transport import wire

_UNKNOWN = {Reason.UNKNOWN_SYMBOL: "symbol", Reason.UNKNOWN_ASSET: "asset"}
_NAMES = ("symbol", "asset", "base", "quote")
_POLL_S = 1.0
_MAX_LOOKED_UP = 10_000


class Sent(NamedTuple):
    """A batch as it was sent, with the caller's token of each record: both of an oco have that of their command."""

    commands: Records
    texts: bytes
    tokens: list[Any]


class CommandStream:
    """Encodes, batches and sends commands on one connection. `batch_commands` is at most wire.MAX_BATCH_COMMANDS.

    `on_answer` is called for each batch, in order of arrival.

    `before_sending` is called with the number of a batch's first command and the tokens of its commands.
    """

    def __init__(
        self,
        connection: Connection,
        batch_commands: int,
        on_answer: Callable[[Sent, Answered], object],
        before_sending: Callable[[int, list[Any]], object] = lambda number, tokens: None,
    ) -> None:
        self._connection = connection
        self._batch_commands = batch_commands
        self._on_answer = on_answer
        self._before_sending = before_sending
        self.edge = Edge(Registry())
        self._builder = BatchBuilder(self.edge)
        self._tokens: list[Any] = []
        self._sent: dict[int, Sent] = {}
        self._looked_up: set[Hashable] = set()  # names that the engine did not know when last asked
        self._defines = False  # a definition is in flight: the next command is encoded after its answer
        self._stale = False  # the registry lacks something that the answers did not contain
        self.is_loaded = False

    def refresh(self) -> None:
        """Loads the engine's registry. Raises EngineUnreachable, NoAnswer, BadMessage."""
        document = self._connection.ask(wire.REGISTRY)
        try:
            self.edge.registry = Registry.load(document["registry"])
        except (KeyError, TypeError, BadDefinition) as error:
            raise BadMessage("The engine's registry cannot be read by this version.") from error
        self._stale = False
        self.is_loaded = True

    def refresh_after_answers(self) -> None:
        """Loads the registry to read answers that have arrived.

        Raises NoAnswer also if the engine refuses, for example because the key was revoked: EngineRefused would say
        that the commands were not applied.
        """
        try:
            self.refresh()
        except EngineRefused as error:
            raise NoAnswer(
                f"The commands were applied, but the engine does not give the names in its answers: {error}"
            ) from error

    def make_room(self, batch_commands: int | None = None) -> None:
        """Sends a full batch, or one that ends with a definition. Call before `add`; may be repeated after NoAnswer.

        `batch_commands` replaces that of the stream.
        """
        if self._builder.ends_block or self._defines:
            self.finish()
        elif len(self._builder) >= (batch_commands or self._batch_commands):
            self._send()

    def add(self, command: object, token: Any) -> Refusal | None:
        """Adds a command, or returns why the edge refuses it. If this raises, nothing was added."""
        encoded = self.edge.encode(command)
        if isinstance(encoded, Refusal) and encoded.reason in _UNKNOWN and isinstance(command, Mapping):
            names = tuple(str(command.get(name)) for name in _NAMES)
            if names not in self._looked_up and self._has_more_names():
                self.refresh()
                encoded = self.edge.encode(command)
            if len(self._looked_up) < _MAX_LOOKED_UP:
                self._looked_up.add(names)
        if not isinstance(encoded, Refusal) and len(self._builder) + len(encoded) > wire.MAX_BATCH_COMMANDS:
            self._send()  # an oco is not cut
        refusal = self._builder.add_encoded(encoded)
        self._tokens.extend([token] * (len(self._builder) - len(self._tokens)))
        return refusal

    def set_previous(self, is_refused: bool) -> None:
        """Says whether the edge refused the command before the next one, if this stream has not seen it."""
        self._builder.previous_refused = is_refused

    def flush(self) -> None:
        """Sends the commands added so far, even if the batch is not full."""
        if len(self._builder):
            self._send()

    def finish(self) -> None:
        """Sends the rest and waits for every answer. Raises NoAnswer, EngineRefused. May be repeated after NoAnswer."""
        self.flush()
        while self._sent:
            self.collect(_POLL_S)
        self._defines = False
        if self._stale:
            self.refresh_after_answers()
        self._looked_up.clear()

    def collect(self, timeout_s: float) -> None:
        """Passes the answers that have arrived to `on_answer`; waits at most `timeout_s` for the first."""
        for answered in self._connection.receive(timeout_s):
            sent = self._sent.pop(answered.answer.first_number)
            self._add_definition(sent, answered.answer)
            self._on_answer(sent, answered)

    def abandon(self) -> None:
        """Forgets all commands that were not answered."""
        self._sent.clear()
        self._builder = BatchBuilder(self.edge)
        self._tokens = []

    def _has_more_names(self) -> bool:
        """Asks the engine whether it has assets or instruments that this registry lacks."""
        status, registry = self._connection.ask(wire.STATUS), self.edge.registry
        counts = status.get("assets"), status.get("instruments")
        return None in counts or counts != (len(registry.assets), len(registry.instruments))

    def _add_definition(self, sent: Sent, answer: wire.Answer) -> None:
        """If the batch ended with a definition, adds the new asset or instrument to the registry."""
        command = sent.commands[-1]
        if not is_definition(int(command["kind"])):
            return
        start = int(command["text_offset"])
        text = sent.texts[start : start + int(command["text_length"])].decode("ascii")
        segment, registry = answer.segments[-1], self.edge.registry
        if segment.block_number == 0 or not len(segment.events):
            self._stale = True
            return
        event = segment.events[-1]
        kind, number = int(event["kind"]), int(event["instrument"])
        known = len(registry.assets if kind == EventKind.ASSET_ADDED else registry.instruments)
        if kind == EventKind.REJECTED:
            self._stale = self._stale or not _is_named(int(command["kind"]), text, registry)
        elif kind == EventKind.INSTRUMENT_STATUS_CHANGED or number == known:
            registry.apply(int(command["kind"]), text)
        else:
            self._stale = self._stale or number > known

    def _send(self) -> None:
        while self._connection.full:
            self.collect(_POLL_S)
        self._defines = self._defines or self._builder.ends_block
        commands, texts = self._builder.take()
        tokens, self._tokens = self._tokens, []
        self._before_sending(self._connection.next_number, tokens)
        number = self._connection.send(commands, texts)
        self._sent[number] = Sent(commands, texts, tokens)


def _is_named(kind: int, text: str, registry: Registry) -> bool:
    """Whether the registry has the asset or instrument of a definition."""
    named = registry.asset_by_symbol if kind == CommandKind.ASSET else registry.instrument_by_symbol
    return json.loads(text)["symbol"] in named
