"""A command log in memory, for faults that cannot be produced on demand with a real one."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from matching.storage.input_logs.base import Logged

_STARTED_NS = time.time_ns()  # client ids are of this time, too


@dataclass
class Shared:
    """The messages, in the order that all readers see; an offset is an index."""

    messages: list[Logged] = field(default_factory=list)
    time_ns: Callable[[int], int] = lambda offset: _STARTED_NS + (1 + offset) * 1_000_000

    def put(self, key: bytes, frame: bytes) -> None:
        at = len(self.messages)
        self.messages.append(Logged(at, self.time_ns(at), key, frame))


@dataclass
class _End:
    raw: int


class MemoryCommandLog:
    """The log as one replica sees it. Faults stay active until they are switched off."""

    identity = "memory:test"

    def __init__(self, shared: Shared, arrival: int) -> None:
        self._shared = shared
        self._next = 0
        self.arrival = _End(arrival)
        self.rewinds = False  # reads messages again from the beginning
        self.skips = False  # skips the next message
        self.is_behind = False  # returns no messages
        self.takes = True
        self.holds_back = False  # appended messages are in flight, and their fate is unknown
        self.held: list[tuple[bytes, bytes]] = []
        self.given_up: list[bytes] = []
        self.away_because = ""

    def begin(self, offset: int, applied_ns: int) -> int:
        self._next = 0 if self.rewinds else offset
        return len(self._shared.messages)

    def read(self, most: int) -> list[Logged]:
        start = self._next + self.skips
        found = [] if self.is_behind else self._shared.messages[start : start + most]
        self._next = start + len(found) if found else self._next
        return found

    def append(self, key: bytes, frame: bytes) -> bool:
        if not self.takes:
            return False
        if self.holds_back:
            self.held.append((key, frame))
        else:
            self._shared.put(key, frame)
        return True

    def lost(self) -> list[bytes]:
        lost, self.given_up = self.given_up, []
        return lost

    def away(self) -> str:
        return self.away_because

    def has_reached_end(self) -> bool:
        return self._next >= len(self._shared.messages)

    def close(self) -> None:
        """Does nothing: no resource is open."""


@contextmanager
def command_log(shared: Shared) -> Iterator[MemoryCommandLog]:
    """A log that always signals new messages, by a pipe that is never read: the replica polls it without waiting."""
    reading, writing = os.pipe()
    os.write(writing, b"\0")
    try:
        yield MemoryCommandLog(shared, reading)
    finally:
        os.close(reading)
        os.close(writing)
