"""Polls the store in a thread: for an epoch of another engine, and for the newest block of this engine in the store.

It also exchanges the key register with the store.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from exchange_site.operations.polling import EVERY_S, polling
from matching.core.epochs import Epoch, newest
from matching.storage.history import StoredUpTo
from settlement.stores.base import Store, StoreError


class StoreWatch:
    """What the last reads found.

    `newest`: the newest epoch, None before the first read; `known_s`: when that read began, by `clock`.
    `stored`: the newest block that both the store and this engine had, None if there is none.
    """

    def __init__(
        self,
        store: Store,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        pass_on: Callable[[Store], None] = lambda store: None,
    ) -> None:
        """`pass_on` is called after each read, to read and write the key register; it may raise StoreError."""
        self.newest: Epoch | None = None
        self.known_s = -math.inf
        self.stored: StoredUpTo | None = None
        self._clock = clock
        self._store = store
        self._every_s = every_s
        self._pass_on = pass_on

    def running(self, last_block: Callable[[], int]) -> AbstractContextManager[None]:
        """Polls until the end of the context. `last_block` returns the number of the engine's newest block."""
        return polling(lambda: self.read(last_block()), "store-watch", self._every_s)

    def read(self, last_block: int) -> None:
        """Reads the store once. If it does not answer, nothing changes: the engine continues."""
        asked_s = self._clock()
        try:
            self.newest, self.known_s = newest(self._store.epochs()), asked_s
            self.stored = self._stored_up_to(last_block)
            self._pass_on(self._store)
        except StoreError:
            return
        finally:
            self._store.close()

    def exchange_keys(self) -> None:
        """Reads and writes the key register once, before the first connection: a follower must know the engine's key.

        Does nothing if the store does not answer: the register of this machine may be new enough.
        """
        try:
            self._pass_on(self._store)
        except StoreError:
            return
        finally:
            self._store.close()

    def _stored_up_to(self, last_block: int) -> StoredUpTo | None:
        head = self._store.appended()
        if head.block_number <= last_block:
            return StoredUpTo(head.block_number, head.hash) if head.block_number else None
        # A replica or a follower that lags behind the others.
        return next((StoredUpTo(row.number, row.hash) for row in self._store.newest_blocks(1, last_block + 1)), None)
