"""Measures how long an engine has been silent, counting only time in which the reader listened.

While nobody reads the sockets, messages may be waiting there. So a poll that finds a message ends the silence, and one
that finds none adds the time since the poll before, up to a bound. A reader that was busy or paused for a minute, as on
a suspended machine, does not take the engine for dead afterwards.
"""

from collections.abc import Callable

MAX_POLL_INTERVAL_S = 1.0
"""Upper bound of the time counted per poll: five heartbeats, and longer than a message waits in a socket."""


class Silence:
    """`clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._polled_at_s = clock()
        self._is_heard = False
        self.for_s = 0.0

    def note_message(self) -> None:
        """A message from the engine was read."""
        self._is_heard = True

    def note_poll(self) -> None:
        """A poll has ended: all waiting messages have been read."""
        now_s = self._clock()
        passed_s = min(now_s - self._polled_at_s, MAX_POLL_INTERVAL_S)
        self.for_s = 0.0 if self._is_heard else self.for_s + passed_s
        self._polled_at_s, self._is_heard = now_s, False
