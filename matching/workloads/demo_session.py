"""Runs the demo market against an engine, through everything that may happen to an engine meanwhile.

The edges are injected: how to connect, what time it is, how to wait. An engine that is halted is waited for as long as
it takes; one that is not there, at the start or later, for `patience_s`. After either the market begins anew: it takes
its orders out of the books and goes on from the prices that stand there.
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

_MOST_AT_ONCE = 500
_SLOWEST_TURN_S = 0.5
_FASTEST_TURN_S = 0.02
_ASK_AGAIN_S = 1.0
_PASSING = (wire.ENGINE_HALTED, wire.OUT_OF_ORDER)


class Venue(Protocol):
    """What the market needs of `matching.client.Client`."""

    @property
    def registry(self) -> Registry: ...
    def status(self) -> dict[str, Any]: ...
    def depth(self) -> dict[str, dict[str, list[list[int]]]]: ...
    def call(self, commands: Sequence[demo_venue.Command]) -> list[Result]: ...


class _Forgotten(Exception):
    """The engine does not know any more what came of a command: nor does the market know its orders."""


@dataclass
class Session:
    """`pause` waits so many seconds and says whether to stop; `rate` is commands a second; `limit` None: no end."""

    connect: Callable[[], AbstractContextManager[Venue]]
    seed: int
    rate: float
    limit: int | None
    patience_s: float
    clock: Callable[[], float]
    pause: Callable[[float], bool]
    say: Callable[[str], object]
    sent: int = 0
    _told: str = ""
    _silent_since_s: float | None = None

    def run(self) -> int:
        """Trades until stopped or `limit` commands were sent; gives how many these were.

        Raises AddressUnusable; EngineUnreachable after `patience_s`; EngineRefused when the engine never will.
        """
        while not (self._finished() or self.pause(0)):
            try:
                with self.connect() as venue:
                    self._trade(venue, begin(venue, self.seed))
            except (EngineUnreachable, EngineRefused, _Forgotten) as error:
                self._bear(error)
                self.pause(_ASK_AGAIN_S)
        return self.sent

    def _bear(self, trouble: EngineUnreachable | EngineRefused | _Forgotten) -> None:
        """Says once what is the matter, and raises what waiting does not mend."""
        if isinstance(trouble, EngineRefused) and trouble.code not in _PASSING:
            raise trouble
        if not isinstance(trouble, EngineUnreachable):
            self._silent_since_s = None
        elif self._silent_since_s is None:
            self._silent_since_s = self.clock()
        elif self.clock() - self._silent_since_s > self.patience_s:
            raise EngineUnreachable(f"No engine has answered for {self.patience_s:g} s: given up.") from trouble
        if str(trouble) != self._told:
            self._told = str(trouble)
            self.say(self._told)

    def _trade(self, venue: Venue, market: Market) -> None:
        self.say(f"trading {', '.join(market.books)}, {self.rate:g} commands a second")
        self._told, self._silent_since_s = "", None
        turn_s = min(_SLOWEST_TURN_S, max(_FASTEST_TURN_S, 1 / self.rate))
        began_s, sent = self.clock(), 0
        while not (self._finished() or self.pause(0)):
            due = int((self.clock() - began_s) * self.rate) + 1 - sent
            if due > self.rate + _MOST_AT_ONCE:  # it cannot keep up: what was missed is not made up for
                began_s, sent, due = self.clock(), 0, 1
            count = min(due, _MOST_AT_ONCE, due if self.limit is None else self.limit - self.sent)
            if count > 0:
                self._send(venue, market, count)
                sent += count
            if due < _MOST_AT_ONCE:
                self.pause(turn_s)

    def _send(self, venue: Venue, market: Market, count: int) -> None:
        commands = [market.next() for _ in range(count)]
        results = venue.call(commands)
        self.sent += count
        if any(result.forgotten for result in results):
            raise _Forgotten("The engine has forgotten what came of a command: beginning anew.")
        for command, result in zip(commands, results, strict=True):
            market.saw(command, result.events)

    def _finished(self) -> bool:
        return self.limit is not None and self.sent >= self.limit


def begin(venue: Venue, seed: int) -> Market:
    """Defines and funds what is missing, clears what an earlier run left, and gives a market at the books' prices.

    Names and references carry the engine's command sequence, which no two beginnings share.
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
