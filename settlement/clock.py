"""The clock interface of settlement, so that tests can use a fake clock."""

import time
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Monotonic seconds."""

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
