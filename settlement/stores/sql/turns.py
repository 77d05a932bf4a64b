"""Who writes next: threads of one process that write to one SQLite file, in which only one transaction can write.

SQLite itself lets a writer poll with growing pauses, and whoever polls at the right moment is next. Here the writer
that ends wakes those that wait, and an append of blocks goes before a batch of rows. Other processes are kept apart by
SQLite's own lock.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class WriteTurns:
    """One turn at a time. Waiting for one takes at most `timeout_s`, then SQLite's lock decides. Not reentrant."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._is_taken = False
        self._urgent = 0  # threads that wait for an urgent turn
        self.waiting = 0

    @contextmanager
    def turn(self, *, is_urgent: bool) -> Iterator[None]:
        """`is_urgent`: before all turns that are not."""
        is_mine = self._take(is_urgent)
        try:
            yield
        finally:
            if is_mine:
                with self._changed:
                    self._is_taken = False
                    self._changed.notify_all()

    def _take(self, is_urgent: bool) -> bool:
        with self._changed:
            self.waiting += 1
            self._urgent += is_urgent
            try:
                is_mine = self._changed.wait_for(
                    lambda: not self._is_taken and (is_urgent or not self._urgent), self._timeout_s
                )
                self._is_taken = self._is_taken or is_mine
            finally:
                self.waiting -= 1
                self._urgent -= is_urgent
        return is_mine
