"""Shares of an engine's thread for work that is not commands: questions, blocks and snapshots for readers."""

from collections.abc import Callable

TURN_S = 0.0002
"""Time for such work in one turn. A peer that floods the engine with questions delays other clients by this much."""
COSTLY_SHARE = 0.1
"""Share of the time that costly questions take at most."""


class TimeSlice:
    """The time that a kind of work may still use in this turn. `clock` returns monotonic seconds.

    A piece of work that has begun is finished, so that every turn makes progress.
    """

    def __init__(self, clock: Callable[[], float], turn_s: float = TURN_S) -> None:
        self._clock = clock
        self._turn_s = turn_s
        self._end_s = 0.0

    def begin_turn(self) -> None:
        self._end_s = self._clock() + self._turn_s

    @property
    def is_used_up(self) -> bool:
        return self._clock() >= self._end_s


class CostlyWork:
    """Allows a piece of costly work, and the next one after a pause, so that all of them take COSTLY_SHARE."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next_s = 0.0

    @property
    def is_due(self) -> bool:
        return self._clock() >= self._next_s

    def run(self, work: Callable[[], None]) -> None:
        started_s = self._clock()
        work()
        ended_s = self._clock()
        self._next_s = ended_s + (ended_s - started_s) * (1 / COSTLY_SHARE - 1)
