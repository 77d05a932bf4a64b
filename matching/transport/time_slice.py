"""Limits of the time that an engine's thread spends on questions, on readers and on commands of costly senders."""

from collections.abc import Callable

TURN_S = 0.00005
"""Time for such work in one turn. A peer that floods the engine with questions delays other clients by this much."""
COSTLY_SHARE = 0.1
"""Share of the time that costly questions take at most, and commands of costly senders while others send commands.

With a larger share, more than one in a hundred of the others' commands would wait for such work (`bench_floods`).
"""
BURST_S = 0.004
"""Bulk answers may be sent this much earlier than their rate allows: short requests are not delayed."""


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
    """Allows a piece of costly work, and the next one after a pause: together they take COSTLY_SHARE of the time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next_s = 0.0

    @property
    def due_in_s(self) -> float:
        """Seconds until the next piece is due, zero or below if it is due now."""
        return _rounded(self._next_s - self._clock())

    def run(self, work: Callable[[], None]) -> None:
        started_s = self._clock()
        work()
        self.count(self._clock() - started_s)

    def count(self, seconds: float, longest_pause_s: float = float("inf")) -> None:
        """Begins the pause after work that took so many seconds, in this thread or in another process."""
        pause_s = min(seconds * (1 / COSTLY_SHARE - 1), longest_pause_s)
        self._next_s = max(self._next_s, self._clock()) + pause_s


class Pace:
    """Limits a rate in bytes: sent bytes are followed by a wait, as long as they take at that rate.

    `count` adds their time to the wait. The next bytes may be sent BURST_S before it is over.
    """

    def __init__(self, clock: Callable[[], float], bytes_a_second: int) -> None:
        self._clock = clock
        self._bytes_a_second = bytes_a_second
        self._next_s = 0.0

    @property
    def due_in_s(self) -> float:
        """Seconds until more may be sent, zero or below if it may be sent now."""
        return _rounded(self._next_s - self._clock() - BURST_S)

    def count(self, size: int) -> None:
        self._next_s = max(self._next_s, self._clock()) + size / self._bytes_a_second


def _rounded(due_in_s: float) -> float:
    """0 instead of less than a nanosecond: adding it to a clock may change nothing, and then the wait never ends."""
    return due_in_s if abs(due_in_s) > 1e-9 else 0.0
