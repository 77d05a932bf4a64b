"""Writes checkpoints to their places, each in a thread of its own: a place may be slow, away, or block for ever.

What a place does not have yet waits in memory and is tried again. The newest checkpoints are kept: each covers all
blocks before it, so an older one that is dropped takes nothing from the proof.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import structlog

from exchange_site.checkpoints import metrics
from exchange_site.checkpoints.places import Place, PlaceUnavailable
from settlement.stores.base import StoredCheckpoint

log = structlog.get_logger(__name__)

_EVERY_S = 1.0
_RETRY_S = 10.0
_KEPT = 1000
_LAST_WRITES_S = 5.0
"""How long a process that ends waits for the places to get what they lack."""


class Delivery:
    """What one place gets. One thread adds, another one delivers."""

    def __init__(self, place: Place, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.place = place
        self._monotonic = monotonic
        self._waiting: deque[StoredCheckpoint] = deque(maxlen=_KEPT)
        self._retry_at_s: float | None = None  # None: the last attempt succeeded

    def add(self, checkpoint: StoredCheckpoint) -> None:
        self._waiting.append(checkpoint)

    def deliver(self, *, is_last: bool = False) -> None:
        """Writes what waits. After a failure nothing is tried for a while, except at the end."""
        if self._waiting and (is_last or self._retry_at_s is None or self._monotonic() >= self._retry_at_s):
            self._try()
        metrics.WAITING.labels(self.place.name).set(len(self._waiting))

    def _try(self) -> None:
        try:
            while self._waiting:
                checkpoint = self._waiting.popleft()
                try:
                    self.place.write(checkpoint)
                except PlaceUnavailable:
                    self._waiting.appendleft(checkpoint)
                    raise
        except PlaceUnavailable as error:
            metrics.FAILURES.labels(self.place.name).inc()
            if self._retry_at_s is None:
                log.warning("checkpoints.place_unavailable", place=self.place.name, error=str(error))
            self._retry_at_s = self._monotonic() + _RETRY_S
        else:
            if self._retry_at_s is not None:
                log.info("checkpoints.place_available", place=self.place.name)
            self._retry_at_s = None


class Outbox:
    def __init__(self, places: Iterable[Place]) -> None:
        self._deliveries = [Delivery(place) for place in places]
        self._stopping = threading.Event()

    def add(self, checkpoint: StoredCheckpoint) -> None:
        for delivery in self._deliveries:
            delivery.add(checkpoint)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Delivers until the end of the context, and then once more."""
        threads = [threading.Thread(target=self._run, args=(one,), daemon=True) for one in self._deliveries]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            give_up_at_s = time.monotonic() + _LAST_WRITES_S
            for thread in threads:
                thread.join(max(0.0, give_up_at_s - time.monotonic()))

    def _run(self, delivery: Delivery) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopping.wait(_EVERY_S)
            delivery.deliver(is_last=is_last)
