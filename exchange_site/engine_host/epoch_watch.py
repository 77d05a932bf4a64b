"""Polls the store in a thread for an epoch of another engine."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matching.core.epochs import Epoch, newest
from settlement.stores.base import Store, StoreError

_EVERY_S = 1.0


class EpochWatch:
    """`newest`: the last epoch read, None before the first read; `known_s`: when that read began, by `clock`."""

    def __init__(self, store: Store, every_s: float = _EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.newest: Epoch | None = None
        self.known_s = -math.inf
        self._clock = clock
        self._store = store
        self._every_s = every_s

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=(stop,), name="epoch-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()

    def _watch(self, stop: threading.Event) -> None:
        self.read_epochs()
        while not stop.wait(self._every_s):
            self.read_epochs()

    def read_epochs(self) -> None:
        """Reads the epochs once. If the store does not answer, nothing changes: the engine continues."""
        asked_s = self._clock()
        try:
            self.newest, self.known_s = newest(self._store.epochs()), asked_s
        except StoreError:
            return
        finally:
            self._store.close()
