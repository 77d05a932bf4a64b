"""The Python client that every tool here uses: takes JSON commands, returns their events.

    with Client("tcp://127.0.0.1:5701") as client:
        for result in client.call([{"command": "cancel_all", "account": 1}]):
            print(result.command_sequence, result.events)

A command is applied at most once, even if it is sent several times or the leader changes. Several addresses may be
given, separated by commas. Not thread-safe: use one client per thread.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType
from typing import Any, Self

from matching.client import jsonlines, leaders
from matching.client.connection import Connection
from matching.client.in_flight import Answered
from matching.client.stream import CommandStream, Sent
from matching.core.blocks import Records
from matching.core.codes import NONE_ID, CommandKind, EventKind
from matching.core.registry import Registry
from matching.transport import wire
from matching.transport.network import ZmqNetwork
from matching.transport.sockets import Network

_BATCH_COMMANDS = 512
_NAMES_KEPT = 65_536
_ASSET_EVENTS = (EventKind.DEPOSITED, EventKind.WITHDRAWN, EventKind.ASSET_ADDED)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one command; `events` are in the JSON Lines form. An oco has the sequence of its limit leg, and the
    events of both.

    If a replace names its order by order_id and gives no new name, `order_replaced` has the field client_order_id only
    for one of the last 65,536 orders that this client has placed or called by their names.

    `command_sequence` is None in two cases: the edge refused the command (one `rejected` event), or `forgotten`: the
    command was applied before, and the engine no longer holds its events.
    """

    command_sequence: int | None
    block_number: int | None
    events: Sequence[dict[str, Any]]
    forgotten: bool = False

    @property
    def rejected(self) -> str | None:
        """The reject reason; None if the command was accepted."""
        rejections = (str(event["reason"]) for event in self.events if event["event"] == "rejected")
        return next(rejections, None)


class Client:
    """A client of an exchange, and a context manager that closes it.

    `timeout_s` limits the time until a batch or a question is answered.
    """

    def __init__(
        self,
        engines: leaders.Engines,
        *,
        timeout_s: float = 10.0,
        client_id: int | None = None,
        first_number: int = 1,
        batch_commands: int = _BATCH_COMMANDS,
        make_network: Callable[[], Network] = ZmqNetwork,
        clock: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`make_network`, `clock`, `random_bytes` and `time_ns` are passed to `Connection`.

        Raises AddressUnusable; EngineUnreachable if no engine answers.
        """
        self.connection = Connection(
            engines,
            timeout_s=timeout_s,
            client_id=client_id,
            first_number=first_number,
            make_network=make_network,
            clock=clock,
            random_bytes=random_bytes,
            time_ns=time_ns,
        )
        self._stream = CommandStream(self.connection, batch_commands, self._add_answer)
        self._commands: list[Any] = []
        self._results: list[Result | None] = []
        self._answered: list[tuple[Sent, wire.Answer]] = []
        self._names: jsonlines.Names = {}
        with ExitStack() as on_error:
            on_error.callback(self.connection.close)
            self.status()  # checks that an engine answers; the registry is loaded when a command first names something
            on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    @property
    def registry(self) -> Registry:
        """The engine's assets and instruments that this client knows; loaded on first use."""
        if not self._stream.is_loaded:
            self._stream.refresh()
        return self._stream.edge.registry

    def refresh(self) -> None:
        """Loads the registry again."""
        self._stream.refresh()

    def call(self, commands: Iterable[object]) -> list[Result]:
        """Sends commands and waits for all answers. Returns one result per command, in order.

        Raises NoAnswer after the timeout: it is unknown which commands were applied. `retry` continues from there;
        another `call` abandons them. Raises EngineRefused if the engine takes no commands.
        """
        self._stream.abandon()
        self._commands = list(commands)
        self._results = []
        self._answered = []
        return self._send_and_receive()

    def retry(self) -> list[Result]:
        """After NoAnswer from `call`: sends the same requests again, then the rest. Returns its results."""
        self.connection.retry()
        return self._send_and_receive()

    def status(self) -> dict[str, Any]:
        """Role, block, state hash, ring, whether it is halted: the document that `engine_status` prints."""
        return self.connection.ask(wire.STATUS)

    def state(self) -> dict[str, Any]:
        """Balances, open and pending orders at one block, in units, ticks and lots. Large: an engine makes one at a
        time."""
        return self.connection.ask(wire.STATE)

    def depth(self) -> dict[str, dict[str, list[list[int]]]]:
        """Symbol → best bid and ask, each as [[price in ticks, lots]], [] for an empty side."""
        found: dict[str, dict[str, list[list[int]]]] = self.connection.ask(wire.DEPTH)["depth"]
        return found

    def _send_and_receive(self) -> list[Result]:
        while len(self._results) < len(self._commands):
            self._stream.make_room()
            position = len(self._results)
            refusal = self._stream.add(self._commands[position], position)
            refused = refusal and Result(None, None, [refusal.event(position + 1)])
            self._results.append(refused or None)
        self._stream.finish()
        for sent, answer in self._answered:
            self._fill_in(sent, answer)
        return [result for result in self._results if result is not None]

    def _add_answer(self, sent: Sent, answered: Answered) -> None:
        self._answered.append((sent, answered.answer))

    def _fill_in(self, sent: Sent, answer: wire.Answer) -> None:
        if any(_names_unknown(segment.events, self._stream.edge.registry) for segment in answer.segments):
            self._stream.refresh_after_answers()
        found = results(sent, answer, self._stream.edge.registry, self._names)
        for token, kind, result in zip(sent.tokens, sent.commands["kind"].tolist(), found, strict=True):
            first = self._results[token] if kind == CommandKind.OCO_STOP else None
            self._results[token] = replace(first, events=[*first.events, *result.events]) if first else result
        self._forget_names()

    def _forget_names(self) -> None:
        """Keeps the newest names. Whether their orders are still open is not known: others trade with them."""
        surplus = len(self._names) - _NAMES_KEPT
        if surplus > _NAMES_KEPT:
            self._names = dict(islice(self._names.items(), surplus, None))


def results(
    sent: Sent, answer: wire.Answer, registry: Registry, names: jsonlines.Names | None = None
) -> Iterator[Result]:
    """One result per record of an answered batch, in order. `names` as in `jsonlines.events`, for all answers."""
    names = {} if names is None else names
    at = 0
    for segment in answer.segments:
        count, first = segment.command_count, segment.first_command_sequence
        if segment.block_number == 0:
            yield from [Result(None, None, [], forgotten=True)] * count
        else:
            events: list[list[dict[str, Any]]] = [[] for _ in range(count)]
            commands = sent.commands[at : at + count]
            for event in jsonlines.events(segment.events, commands, first, sent.texts, registry, names):
                events[event["command_sequence"] - first].append(event)
            for offset, caused in enumerate(events):
                yield Result(first + offset, segment.block_number, caused)
        at += count


def _names_unknown(events: Records, registry: Registry) -> bool:
    """Whether an event has an asset or instrument that this registry lacks: another client may have added it.

    A rejection is written without names, and its id may be that of an asset or of an instrument.
    """
    assets, instruments = len(registry.assets), len(registry.instruments)
    return any(
        named >= (assets if kind in _ASSET_EVENTS else instruments)
        for kind, named in set(zip(events["kind"].tolist(), events["instrument"].tolist(), strict=True))
        if kind != EventKind.REJECTED and named != NONE_ID
    )
