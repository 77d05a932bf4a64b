"""When projections run: in turns with appending, or in a thread of their own so that appending does not wait for them.

`run_settlement` uses the thread. The simulator and most tests take turns, so that they repeat in the same order.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from settlement.project.projector import Projections
from settlement.stores.base import StoredBlock
from settlement.stores.retrying import StoreWork, finish

_MAX_WAIT_S = 0.1
"""Upper bound on the delay before the thread notices blocks that were added while it looked for a batch."""


class Projecting(Protocol):
    """Decides when batches are projected. Errors are those of `Projections.step`."""

    @property
    def due_in_s(self) -> float | None:
        """Seconds until `step` has something to do; None: nothing waits for it."""

    def add(self, blocks: Iterable[StoredBlock]) -> None:
        """Adds blocks that have just been appended."""

    def step(self) -> StoreWork[None]:
        """Called in each turn of the worker."""

    def end(self) -> StoreWork[None]:
        """Projects what waits until its batch is full. Called when settlement ends without an error."""

    def close(self) -> None:
        """Starts no more batches. Called when settlement ends; safe to repeat."""


class InTurns:
    """Projects in the worker's thread."""

    def __init__(self, projections: Projections) -> None:
        self._projections = projections

    @property
    def due_in_s(self) -> float | None:
        return self._projections.due_in_s

    def add(self, blocks: Iterable[StoredBlock]) -> None:
        self._projections.add(blocks)

    def step(self) -> StoreWork[None]:
        if self._projections.due_in_s == 0:
            yield from self._projections.step()

    def end(self) -> StoreWork[None]:
        if self._projections.lag:
            yield from self._projections.step()

    def close(self) -> None:
        pass


class InThread:
    """Projects in a thread of its own, which waits for the store by itself. `step` raises the error that ended it."""

    due_in_s = None

    def __init__(self, projections: Projections) -> None:
        """`projections` has begun. From now on no other thread may call its `step`."""
        self._projections = projections
        projections.has_thread = True
        self._is_changed = threading.Event()
        self._is_closing = threading.Event()
        self._is_last_wanted = False
        self._pool = ThreadPoolExecutor(1, "projecting")
        self._running = self._pool.submit(self._run)

    def add(self, blocks: Iterable[StoredBlock]) -> None:
        self._projections.add(blocks)
        self._is_changed.set()

    def step(self) -> StoreWork[None]:
        if self._running.done():
            self._running.result()
        yield from ()

    def end(self) -> StoreWork[None]:
        self._is_last_wanted = True
        self.close()
        self._running.result()
        yield from ()

    def close(self) -> None:
        self._is_closing.set()
        self._is_changed.set()
        self._pool.shutdown()

    def _run(self) -> None:
        try:
            while not self._is_closing.is_set():
                due_in_s = self._projections.due_in_s
                if due_in_s == 0:
                    finish(self._projections.step(), self._wait)
                else:
                    self._is_changed.wait(_MAX_WAIT_S if due_in_s is None else min(due_in_s, _MAX_WAIT_S))
                    self._is_changed.clear()
            if self._is_last_wanted and self._projections.lag:
                finish(self._projections.step(), self._wait)
        except _Closed:
            pass
        finally:
            self._projections.close()

    def _wait(self, seconds: float) -> None:
        if self._is_closing.wait(seconds):
            raise _Closed


class Withheld:
    """Projects nothing: a later settlement continues from the checkpoint."""

    due_in_s = None

    def add(self, blocks: Iterable[StoredBlock]) -> None:
        pass

    def step(self) -> StoreWork[None]:
        yield from ()

    def end(self) -> StoreWork[None]:
        yield from ()

    def close(self) -> None:
        pass


class _Closed(Exception):
    """Settlement ends while the thread waits for the store."""
