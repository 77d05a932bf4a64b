"""Time as settlement uses it, so that a test can bring its own."""

import time
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that never run back."""

    def sleep(self, seconds: float) -> None: ...

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def time_ns(self) -> int:
        return time.time_ns()
