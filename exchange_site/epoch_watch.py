"""Looks in the store, from a thread of its own, whether another engine has begun an epoch."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from matching.epochs import Epoch, newest
from settlement.stores.base import Store, StoreError

_EVERY_S = 1.0


class EpochWatch:
    """`newest` is what the store told last; None before it did."""

    def __init__(self, store: Store, every_s: float = _EVERY_S) -> None:
        self.newest: Epoch | None = None
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
        while not stop.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """Once. A store that is away changes nothing: what is not known cannot stop an engine."""
        try:
            self.newest = newest(self._store.epochs())
        except StoreError:
            return
        finally:
            self._store.close()
