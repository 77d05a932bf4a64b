"""Fakes of the worker's interfaces: a clock without waiting, a feed that loses messages, a store that fails."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from matching.core.blocks import Block
from matching.transport import wire
from settlement.clock import Clock
from settlement.stores.base import Store, StoreUnavailable

ADDRESSES = wire.Addresses("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3")
FIRST_NS = 1_800_000_000_000_000_000


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def time_ns(self) -> int:
        return FIRST_NS + int(self.now_s * 1e9)


@dataclass
class ScriptedFeed:
    """Delivers `arrivals` one after the other, then nothing; requested blocks come from `ring`.

    `deaf`: number of requests that are lost. `announced`: the engine's newest block, if it is not the last delivered.
    """

    clock: Clock
    arrivals: list[list[Block]]
    ring: dict[int, Block] = field(default_factory=dict)
    deaf: int = 0
    announced: int | None = None
    says_missing: bool = True
    silent_after: int = 300  # rounds without blocks; longer than any wait for the store
    requests: list[tuple[int, int]] = field(default_factory=list)
    confirmed: list[int] = field(default_factory=list)
    silent_rounds: int = 0
    epoch: int | None = None  # epoch in the engine's heartbeat; None: no heartbeat
    role: str = "leader"
    halted: bool = False
    silent_s: float = 0.0
    refused: wire.Refused | None = None
    moves: list[wire.Addresses] = field(default_factory=list)
    _newest: int = 0
    _missing: tuple[int, int] | None = None

    def receive(self, timeout_s: float, limit: int) -> list[Block]:
        if not self.arrivals:
            self.silent_rounds += 1
            self.clock.sleep(max(timeout_s, 0.001))
            return []
        self.silent_rounds = 0
        blocks = self.arrivals.pop(0)
        if len(blocks) > limit:
            self.arrivals.insert(0, blocks[limit:])
        self._newest = max([self._newest, *(block.number for block in blocks)])
        return blocks[:limit]

    def request(self, first: int, last: int) -> None:
        self.requests.append((first, last))
        self._missing = None
        if self.deaf:
            self.deaf -= 1
        elif first in self.ring:
            self.arrivals.append([self.ring[number] for number in range(first, last + 1) if number in self.ring])
        elif self.says_missing:
            self._missing = (first, min((number for number in self.ring if number > first), default=0))

    def missing(self) -> tuple[int, int] | None:
        return self._missing

    def newest(self) -> int:
        return self._newest if self.announced is None else self.announced

    def status(self) -> wire.Status | None:
        if self.epoch is None:
            return None
        fields = {"epoch": self.epoch, "halted": self.halted, "halted_reason": "full" if self.halted else None}
        return wire.Status(self.role, self.newest(), 0, 0, ADDRESSES, fields)

    def silent_for_s(self) -> float:
        return self.silent_s

    def move(self, addresses: wire.Addresses) -> None:
        self.moves.append(addresses)
        self.refused = None
        self._newest = 0

    def confirm(self, confirmation: wire.Confirmation) -> None:
        if confirmation.number:
            self.confirmed.append(confirmation.number)

    def refusal(self) -> wire.Refused | None:
        return self.refused

    def close(self) -> None:
        pass

    def is_silent(self) -> bool:
        """Whether no more blocks will arrive, so that the worker can stop."""
        return self.silent_rounds >= self.silent_after and not self.arrivals


def feed_of(clock: FakeClock, blocks: Sequence[Block], per_arrival: int = 3, **more: Any) -> ScriptedFeed:
    """A feed that delivers all blocks in order, `per_arrival` at a time, and has all of them in its ring."""
    arrivals = [list(blocks[start : start + per_arrival]) for start in range(0, len(blocks), per_arrival)]
    return ScriptedFeed(clock, arrivals, {block.number: block for block in blocks}, **more)


class Crash(BaseException):
    """Simulates `kill -9`: no code catches it."""


class Tripwires:
    """Counts the calls of wrapped methods and raises Crash before or after call number `at`."""

    def __init__(self, at: int, after: bool) -> None:
        self.at = at
        self.after = after
        self.calls = 0

    def wrap(self, wrapped: Any, names: Iterable[str]) -> None:
        """Replaces methods of the object by counting ones."""
        for name in names:
            setattr(wrapped, name, self.tripping(getattr(wrapped, name)))

    def tripping(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            trips = self.calls == self.at
            if trips and not self.after:
                raise Crash
            result = method(*arguments, **options)
            if trips:
                raise Crash
            return result

        return call


def note_calls(wrapped: Any, name: str, note: Callable[[], object]) -> None:
    """Calls `note` before each call of a method."""
    method = getattr(wrapped, name)

    def call(*arguments: Any) -> Any:
        note()
        return method(*arguments)

    setattr(wrapped, name, call)


def fail_after_doing(store: Store, name: str, times: int) -> list[str]:
    """The first `times` calls are executed but raise a timeout. Returns the list of calls so far."""
    method, calls = getattr(store, name), list[str]()

    def call(*arguments: Any) -> Any:
        result = method(*arguments)
        calls.append(name)
        if len(calls) <= times:
            raise StoreUnavailable("The database timed out.")
        return result

    setattr(store, name, call)
    return calls


def fail_before_doing(store: Store, name: str, times: int) -> list[str]:
    """The first `times` calls raise an error without any effect. Returns the list of calls so far."""
    method, calls = getattr(store, name), list[str]()

    def call(*arguments: Any) -> Any:
        calls.append(name)
        if len(calls) <= times:
            raise StoreUnavailable("The database does not answer.")
        return method(*arguments)

    setattr(store, name, call)
    return calls
