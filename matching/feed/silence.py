"""Measures how long an engine has been silent, counting only time in which the reader listened.

While nobody reads the sockets, messages may be waiting there. So a poll that finds a message ends the silence, and one
that finds none adds the time since the poll before, up to a bound. A reader that was busy or paused for a minute, as on
a suspended machine, does not take the engine for dead afterwards.
"""

from collections.abc import Callable

MAX_POLL_INTERVAL_S = 1.0
"""Upper bound of the time counted per poll: five heartbeats, and longer than a message waits in a socket."""


class Silence:
    """The silence of one engine; `for_s` is its length at the last poll, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns monotonic seconds."""
        self._clock = clock
        self._polled_at_s = clock()
        self._has_message = False
        self.for_s = 0.0

    def note_message(self) -> None:
        """Call when a message from the engine was read."""
        self._has_message = True

    def note_poll(self) -> None:
        """Call at the end of a poll, when all waiting messages have been read."""
        now_s = self._clock()
        passed_s = min(now_s - self._polled_at_s, MAX_POLL_INTERVAL_S)
        self.for_s = 0.0 if self._has_message else self.for_s + passed_s
        self._polled_at_s, self._has_message = now_s, False
