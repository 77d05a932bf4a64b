"""Runs the demo market against an engine and handles the engine's failures.

Connection, clock and waiting are injected. The session waits without limit for an engine that is halted, and for
`patience_s` for one that does not answer. Afterwards it starts a new market: it cancels its orders and continues from
the prices in the books.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from matching.client.client import Result
from matching.core.errors import EngineRefused, EngineUnreachable
from matching.core.registry import Registry
from matching.transport import wire
from matching.workloads import demo_venue
from matching.workloads.demo_market import Market, book_of

_MAX_BATCH = 500
_MAX_TURN_S = 0.5
_MIN_TURN_S = 0.02
_RETRY_S = 1.0
_TEMPORARY = (wire.ENGINE_HALTED, wire.OUT_OF_ORDER)


class Venue(Protocol):
    """The part of `matching.client.Client` that the market uses."""

    @property
    def registry(self) -> Registry: ...
    def status(self) -> dict[str, Any]: ...
    def depth(self) -> dict[str, dict[str, list[list[int]]]]: ...
    def call(self, commands: Sequence[demo_venue.Command]) -> list[Result]: ...


class _ResultUnknown(Exception):
    """The engine no longer has the result of a command, so the market does not know its own orders."""


@dataclass
class Session:
    """`rate`: commands a second. `limit`: number of commands, None for no limit. `clock`: monotonic seconds.

    `pause` waits for a number of seconds and returns whether to stop. `say` prints a message to the user.
    """

    connect: Callable[[], AbstractContextManager[Venue]]
    seed: int
    rate: float
    limit: int | None
    patience_s: float
    clock: Callable[[], float]
    pause: Callable[[float], bool]
    say: Callable[[str], object]
    sent: int = 0
    _last_message: str = ""
    _silent_since_s: float | None = None

    def run(self) -> int:
        """Trades until stopped or `limit` commands were sent. Returns the number of commands sent.

        Raises AddressUnusable; EngineUnreachable after `patience_s`; EngineRefused if the refusal is permanent.
        """
        while not (self._finished() or self.pause(0)):
            try:
                with self.connect() as venue:
                    self._trade(venue, begin(venue, self.seed))
            except (EngineUnreachable, EngineRefused, _ResultUnknown) as error:
                self._handle_failure(error)
                self.pause(_RETRY_S)
        return self.sent

    def _handle_failure(self, failure: EngineUnreachable | EngineRefused | _ResultUnknown) -> None:
        """Prints a new kind of failure once; raises permanent ones."""
        if isinstance(failure, EngineRefused) and failure.code not in _TEMPORARY:
            raise failure
        if not isinstance(failure, EngineUnreachable):
            self._silent_since_s = None
        elif self._silent_since_s is None:
            self._silent_since_s = self.clock()
        elif self.clock() - self._silent_since_s > self.patience_s:
            raise EngineUnreachable(f"No engine has answered for {self.patience_s:g} s.") from failure
        if str(failure) != self._last_message:
            self._last_message = str(failure)
            self.say(self._last_message)

    def _trade(self, venue: Venue, market: Market) -> None:
        self.say(f"trading {', '.join(market.books)}, {self.rate:g} commands a second")
        self._last_message, self._silent_since_s = "", None
        turn_s = min(_MAX_TURN_S, max(_MIN_TURN_S, 1 / self.rate))
        began_s, sent = self.clock(), 0
        while not (self._finished() or self.pause(0)):
            due = int((self.clock() - began_s) * self.rate) + 1 - sent
            if due > self.rate + _MAX_BATCH:  # the engine cannot keep up: do not catch up
                began_s, sent, due = self.clock(), 0, 1
            count = min(due, _MAX_BATCH, due if self.limit is None else self.limit - self.sent)
            if count > 0:
                self._send(venue, market, count)
                sent += count
            if due < _MAX_BATCH:
                self.pause(turn_s)

    def _send(self, venue: Venue, market: Market, count: int) -> None:
        commands = [market.next() for _ in range(count)]
        results = venue.call(commands)
        self.sent += count
        if any(result.forgotten for result in results):
            raise _ResultUnknown("The engine no longer has the result of a command: starting a new market.")
        for command, result in zip(commands, results, strict=True):
            market.observe(command, result.events)

    def _finished(self) -> bool:
        return self.limit is not None and self.sent >= self.limit


def begin(venue: Venue, seed: int) -> Market:
    """A market at the prices in the books. Defines and funds missing instruments, cancels orders of an earlier run.

    Names and references contain the engine's command sequence, which differs for each market.
    """
    tag, depth = str(venue.status()["command_sequence"]), venue.depth()
    definitions = demo_venue.missing(venue.registry)
    venue.call(definitions)
    books = [
        book_of(instrument, depth.get(instrument.symbol, {}))
        for instrument in venue.registry.instruments
        if instrument.symbol in demo_venue.SYMBOLS
    ]
    if not books:
        raise EngineRefused("unknown_symbol", "The engine has other assets of these names: no demo instrument fits.")
    venue.call(list(demo_venue.clearing()))
    if definitions:
        venue.call(list(demo_venue.deposits(tag)))
    return Market(seed, tag, books)
