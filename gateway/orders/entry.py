"""Order entry: sends commands to the engine from an event loop, and hands out what became of each.

Commands that are submitted in one turn of the loop go to the engine as one batch. Each has a request number, under
which it is asked again until it is answered, also of another engine that leads by then; so no command is lost or
applied twice. `asked_s` after it was sent first its outcome is given up as unknown. What has not been sent while the
engine has been silent for `_SILENT_S` is not executed.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from gateway.orders.loop_network import LoopNetwork
from matching.client import leaders
from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge, Encoded
from matching.client.in_flight import Answered
from matching.core.codes import EventKind, Reason
from matching.core.errors import BadMessage, EngineRefused, EngineUnreachable
from matching.core.reading.event_rows import EventRow, event_rows
from matching.core.registry import Registry
from matching.transport import wire
from matching.transport.network import ZmqNetwork

log = structlog.get_logger(__name__)

_SILENT_S = 1.0
_TICK_S = 0.01
_IDLE_TICK_S = 0.1
_MAX_WAITING = 100_000
_CERTAIN = frozenset((wire.ENGINE_HALTED, wire.FOLLOWER, wire.OUT_OF_ORDER))
"""Refusals that say that no batch in flight was applied."""
_REJECTED = int(EventKind.REJECTED)


class NotExecuted(Exception):
    """The engine is halted or away, and the command was not applied: send it again later."""


class OutcomeUnknown(Exception):
    """The engine has not answered in time, and may have applied the command: query it before sending it again."""


class Outcome(NamedTuple):
    """What one command did. `sequence` is its command_sequence: the order_id of an order. An oco has that of its limit
    leg, and the events of both."""

    sequence: int
    block_number: int
    events: Sequence[EventRow]

    @property
    def refused(self) -> Reason | None:
        for event in self.events:
            if event.kind == _REJECTED:
                return Reason(event.reason)
        return None


class _Submission(NamedTuple):
    """Commands that stand together, each of one record or two, and who waits for them."""

    commands: Sequence[Sequence[Encoded]]
    outcomes: "asyncio.Future[list[Outcome]]"


class _Batch(NamedTuple):
    submissions: Sequence[_Submission]
    sent_at_s: float


class OrderEntry:
    """Used in one event loop, between `start` and `close`."""

    def __init__(
        self, engines: leaders.Engines, make_network: Callable[[], ZmqNetwork], *, asked_s: float = 10.0
    ) -> None:
        self._directory = leaders.engine_directory(engines)
        self._make_network = make_network
        self._asked_s = asked_s
        self._builder = BatchBuilder(Edge(Registry()))
        self._waiting: deque[_Submission] = deque()
        self._in_flight: dict[int, _Batch] = {}
        self._is_flush_due = False
        self._tick: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Connects, without waiting for the engine. Raises AddressUnusable."""
        self._loop = asyncio.get_running_loop()
        self._connect()
        self._on_tick()

    def close(self) -> None:
        """Gives up what is not answered."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
            self._connection.close()
            self._give_up(OutcomeUnknown("The gateway is being stopped."))
            self._refuse_waiting()

    @property
    def in_flight(self) -> int:
        """Number of batches that were sent and not answered."""
        return len(self._in_flight)

    @property
    def engine_addresses(self) -> Sequence[str]:
        """Command addresses of the engines that are known."""
        return self._directory.addresses

    @property
    def is_silent(self) -> bool:
        """Whether the engine has left a batch unanswered for longer than it should."""
        oldest = next(iter(self._in_flight.values()), None)
        return oldest is not None and time.monotonic() - oldest.sent_at_s > _SILENT_S

    async def submit(self, *commands: Sequence[Encoded]) -> list[Outcome]:
        """Sends commands, which the engine applies one after the other, and waits for their outcomes.

        Raises NotExecuted, OutcomeUnknown. A caller that is cancelled leaves the commands on their way.
        """
        if self._tick is None or self.is_silent or len(self._waiting) >= _MAX_WAITING:
            raise NotExecuted
        outcomes: asyncio.Future[list[Outcome]] = self._loop.create_future()
        self._waiting.append(_Submission(commands, outcomes))
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return await outcomes

    # Sending

    def _connect(self) -> None:
        network = LoopNetwork(self._make_network(), self._loop, self._receive)
        self._network = network
        self._connection = Connection(self._directory, timeout_s=self._asked_s, make_network=lambda: network)

    def _flush(self) -> None:
        self._is_flush_due = False
        while self._waiting and not self._connection.full:
            self._send_batch()
        self._receive()  # sending may have used up the notice of an answer

    def _send_batch(self) -> None:
        submissions: list[_Submission] = []
        while self._waiting:
            records = sum(map(len, self._waiting[0].commands))
            if len(self._builder) + records > wire.MAX_BATCH_COMMANDS:
                break
            submission = self._waiting.popleft()
            for encoded in submission.commands:
                self._builder.add_encoded(list(encoded))
            submissions.append(submission)
        commands, texts = self._builder.take()
        number = self._connection.send(commands, texts)
        self._in_flight[number] = _Batch(submissions, time.monotonic())

    # Receiving

    def _on_tick(self) -> None:
        self._tick = self._loop.call_later(_TICK_S if self._in_flight else _IDLE_TICK_S, self._on_tick)
        self._network.check()
        self._receive()
        if self.is_silent:
            self._refuse_waiting()

    def _receive(self) -> None:
        try:
            for answered in self._connection.receive(0):
                self._take(answered)
        except EngineRefused as error:
            self._handle_refusal(error)
        except (EngineUnreachable, BadMessage) as error:
            log.warning("gateway.orders_unanswered", batches=len(self._in_flight), reason=str(error))
            self._give_up(OutcomeUnknown(str(error)))
            self._reconnect()
        if self._waiting and not self._is_flush_due and not self._connection.full:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _take(self, answered: Answered) -> None:
        answer = answered.answer
        batch = self._in_flight.pop(answer.first_number)
        records = _records(answer)
        at = 0
        for submission in batch.submissions:
            outcomes: list[Outcome] = []
            for encoded in submission.commands:
                parts = records[at : at + len(encoded)]
                at += len(encoded)
                first = parts[0]
                outcomes.append(first if len(parts) == 1 else first._replace(events=[*first.events, *parts[1].events]))
            _settle(submission.outcomes, outcomes)

    def _handle_refusal(self, error: EngineRefused) -> None:
        """The connection has dropped all batches in flight."""
        log.warning("gateway.orders_refused", code=error.code, batches=len(self._in_flight), reason=str(error))
        is_certain = error.code in _CERTAIN or len(self._in_flight) == 1
        self._give_up(NotExecuted(str(error)) if is_certain else OutcomeUnknown(str(error)))

    def _give_up(self, error: Exception) -> None:
        batches, self._in_flight = list(self._in_flight.values()), {}
        for batch in batches:
            for submission in batch.submissions:
                _fail(submission.outcomes, error)

    def _refuse_waiting(self) -> None:
        while self._waiting:
            _fail(self._waiting.popleft().outcomes, NotExecuted("The engine is away."))

    def _reconnect(self) -> None:
        """Drops with the socket what it has queued, which an engine that comes back would still apply."""
        self._connection.close()
        self._connect()


def _records(answer: wire.Answer) -> list[Outcome]:
    """One outcome per record. Block 0: applied before, and the engine does not hold the events any more."""
    found: list[Outcome] = []
    for segment in answer.segments:
        first, count = segment.first_command_sequence, segment.command_count
        events: list[list[EventRow]] = [[] for _ in range(count)]
        for event in event_rows(segment.events):
            events[event.command_sequence - first].append(event)
        found += [Outcome(first + at, segment.block_number, caused) for at, caused in enumerate(events)]
    return found


def _settle(future: "asyncio.Future[list[Outcome]]", outcomes: list[Outcome]) -> None:
    if future.done():
        return  # nobody waits any more
    if any(outcome.block_number == 0 for outcome in outcomes):
        future.set_exception(OutcomeUnknown("The engine does not hold the events any more."))
    else:
        future.set_result(outcomes)


def _fail(future: "asyncio.Future[list[Outcome]]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
