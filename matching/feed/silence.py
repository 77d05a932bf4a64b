"""How long nothing came of an engine, counted only while somebody listened.

Time in which nobody looked at the sockets says nothing of the engine: what it sent may be waiting there. So a look
that finds something ends the silence, and one that finds nothing adds the time since the look before, up to a bound.
A reader that was busy or paused for a minute, as on a suspended machine, does not take an engine for dead afterwards.
"""

from collections.abc import Callable

MAX_BETWEEN_LOOKS_S = 1.0
"""Counted at most between two looks: five heartbeats, and more than a message needs to come out of a socket."""


class Silence:
    """`clock` gives seconds that never run back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._looked_at_s = clock()
        self._is_heard = False
        self.for_s = 0.0

    def hear(self) -> None:
        """Something of the engine was read."""
        self._is_heard = True

    def look(self) -> None:
        """What waited has been read."""
        now_s = self._clock()
        passed_s = min(now_s - self._looked_at_s, MAX_BETWEEN_LOOKS_S)
        self.for_s = 0.0 if self._is_heard else self.for_s + passed_s
        self._looked_at_s, self._is_heard = now_s, False
