"""A fragment that many open pages ask for again and again: made at most once a second, whoever asks."""

import threading
import time
from collections.abc import Callable, Hashable

KEPT_S = 1.0


class SharedFragment:
    """Safe in several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}
        self._made: dict[Hashable, tuple[float, bytes]] = {}

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """What `make` has returned for this key within the last KEPT_S seconds.

        Of several threads one makes it, and the others wait for it. What `make` raises is raised in its own thread.
        There must be a limited number of keys.
        """
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            at_s, content = self._made.get(key, (float("-inf"), b""))
            if self._clock() - at_s >= KEPT_S:
                began_s = self._clock()
                content = make()
                self._made[key] = began_s, content
            return content
