"""Applies what the reader delivers to the model, in the event loop, a few blocks at a time.

So requests are answered between blocks, however many come at once. The reader waits while too much is in the queue.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable

import structlog

from gateway.feed.reading import Beginning, Progress
from gateway.model.model import Model
from matching.core.blocks import Block
from matching.core.errors import Diverged, HashMismatch
from matching.transport import wire

log = structlog.get_logger(__name__)

_STEP_EVENTS = 512
"""Events that are applied before the loop does something else."""
_QUEUED = 8
"""Deliveries that wait to be applied; each has at most the blocks of a turn of the reader."""


class Applier:
    """`deliver` is for the reader's thread. `begin_again` is called when the chain does not continue the model's."""

    def __init__(self, model: Model, loop: asyncio.AbstractEventLoop, begin_again: Callable[[], None]) -> None:
        self._model = model
        self._loop = loop
        self._begin_again = begin_again
        self._room = threading.Semaphore(_QUEUED)
        self._closed = threading.Event()
        self._queue: deque[Beginning | Progress] = deque()
        self._blocks: deque[Block] = deque()  # of the delivery that is being applied
        self._is_scheduled = False
        self._is_broken = False  # blocks are ignored until the model begins again
        self._announced: int | None = None  # the newest block that the engine has told of; None: it has not yet

    @property
    def blocks_behind(self) -> int:
        """Blocks that the engine has told of and the model does not have."""
        return max(0, (self._announced or 0) - self._model.block_number)

    def deliver(self, delivery: Beginning | Progress) -> None:
        while not self._room.acquire(timeout=0.5):
            if self._closed.is_set():
                return
        if not self._closed.is_set():
            self._loop.call_soon_threadsafe(self._enqueue, delivery)

    def close(self) -> None:
        """Ends waiting in `deliver`."""
        self._closed.set()

    def _enqueue(self, delivery: Beginning | Progress) -> None:
        self._queue.append(delivery)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._step()

    def _step(self) -> None:
        """Applies some blocks, and schedules itself if there are more."""
        events = 0
        while self._queue and events < _STEP_EVENTS:
            delivery = self._queue[0]
            if isinstance(delivery, Beginning):
                self._is_broken = False
                self._model.begin(delivery.engine)
                self._done()
                continue
            if not self._blocks:
                self._blocks.extend(delivery.blocks)
                if delivery.status is not None:
                    self._announced = delivery.status.block_number
            while self._blocks and events < _STEP_EVENTS:
                block = self._blocks.popleft()
                events += block.event_count
                self._apply(block)
            if not self._blocks:
                if delivery.status is not None:
                    self._note(delivery.status)
                self._done()
        self._is_scheduled = bool(self._queue)
        if self._is_scheduled:
            self._loop.call_soon(self._step)

    def _done(self) -> None:
        self._queue.popleft()
        self._room.release()

    def _apply(self, block: Block) -> None:
        if self._is_broken:
            return
        try:
            self._model.apply(block)
        except (HashMismatch, Diverged) as error:
            log.warning("gateway.chain_broken", block=block.number, reason=str(error))
            self._is_broken = True
            self._begin_again()
            return
        if self._announced is not None and block.number >= self._announced:
            self._model.note_level()
        if block.number == self._announced:
            self._model.end_window()

    def _note(self, status: wire.Status) -> None:
        """Heartbeats tell how far the engine is, and end the window of a block after which none has come."""
        if self._is_broken:
            return
        if self._is_of_another_chain(status):
            log.warning("gateway.chain_replaced", block=self._model.block_number, epoch=status.epoch)
            self._is_broken = True
            self._begin_again()
        elif self._model.block_number >= status.block_number:
            self._model.note_level()
            if self._model.block_number == status.block_number:
                self._model.end_window()

    def _is_of_another_chain(self, status: wire.Status) -> bool:
        """Whether the leader goes on without blocks that the model has, such as after a restart without its memory."""
        engine = self._model.state.replica.engine
        if status.epoch < engine.epoch or not engine.block_number:
            return False
        if status.block_number == engine.block_number:
            return status.state_hash != engine.state_hash
        return status.epoch > engine.epoch and status.block_number < engine.block_number
