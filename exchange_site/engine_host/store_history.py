"""The engine's history: blocks in settlement's store, and blocks that are still in its spill."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import dropwhile
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from matching.core.blocks import Block
from matching.core.epochs import Epoch, admits
from matching.storage.history import HistoryUnavailable
from settlement import wiring
from settlement.durable.claim import Claim
from settlement.stores.base import Fenced, Outrun, Store, StoreError, StoreUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_PAGE_BLOCKS = 64
_PAGE_BYTES = 32 << 20
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0


class StoreHistory:
    """Retries for `patience_s` if the store does not answer; creates missing tables.

    The connection stays open from the first call until `begin_epoch` succeeds, or `close`.
    """

    def __init__(
        self,
        store: Store,
        spilled: Callable[[], Iterator[Block]],
        claim: Claim,
        patience_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`spilled` reads the blocks of settlement's spill, ordered by number; it raises LogUnusable."""
        self._store = store
        self._read_spill = spilled
        self._claim = claim
        self._spilled_hashes: dict[int, int] | None = None
        self._is_open = False
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._give_up_at_s = 0.0
        self._retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            stop=lambda state: self._monotonic() >= self._give_up_at_s,
            wait=wait_exponential_jitter(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S, jitter=_FIRST_WAIT_S),
            sleep=sleep,
            before_sleep=_log_retry,
            reraise=True,
        )

    def store_identity(self) -> bytes:
        return self._retried(self._store.identity)

    def epochs(self) -> list[Epoch]:
        """All epochs. Also claims the spill: settlement confirms no further blocks from it until an epoch has begun."""
        self._spilled_hashes = None  # the spill is read again
        known = self._retried(self._store.epochs)
        try:
            self._claim.make(max((epoch.number for epoch in known), default=0))
        except OSError as error:
            raise HistoryUnavailable(f"Settlement's spill cannot be claimed: {error.strerror}.") from error
        return known

    def withdraw(self) -> None:
        try:
            self._claim.withdraw()
        except OSError as error:
            raise HistoryUnavailable(f"A claim on settlement's spill cannot be removed: {error.strerror}.") from error

    def hash_of(self, number: int) -> int | None:
        stored = self._retried(lambda: self._store.get_block(number))
        if stored is not None:
            return stored.hash
        if self._spilled_hashes is None:
            self._spilled_hashes = {block.number: block.hash for block in self._spilled()}
        return self._spilled_hashes.get(number)

    def blocks(self, first: int) -> Iterator[Block]:
        following = first
        while True:
            while page := self._page(following):
                yield from page
                following = page[-1].number + 1
            spilled = dropwhile(partial(_is_before, following), self._spilled())
            block = next(spilled, None)
            if block is None or block.number == following or not self._page(following):
                break  # else settlement wrote the blocks between since the store was read
        if block is not None:
            yield block
            yield from spilled

    def begin_epoch(self, epoch: Epoch) -> bool:
        try:
            self._retried(lambda: self._store.begin_epoch(epoch))
        except HistoryUnavailable as error:
            if isinstance(error.__cause__, Fenced | Outrun):
                return False
            raise
        self.close()
        return True

    def close(self) -> None:
        self._store.close()
        self._is_open = False

    def _page(self, first: int) -> list[Block]:
        return self._retried(lambda: self._read(first))

    def _read(self, first: int) -> list[Block]:
        """One page of blocks from `first` on; empty only if block `first` is not stored."""
        page: list[Block] = []
        size = 0
        for stored in self._store.blocks(first, first + _PAGE_BLOCKS - 1):
            page.append(Block.decode(stored.data))
            size += len(stored.data)
            if size >= _PAGE_BYTES:
                break
        return page

    def _spilled(self) -> Iterator[Block]:
        """Spilled blocks that settlement can still write: an epoch may have begun since they were received."""
        epochs = self._retried(self._store.epochs)
        for block in self._read_spill():
            if not admits(epochs, block.epoch, block.number):
                return
            yield block

    def _retried(self, ask: Callable[[], T]) -> T:
        self._give_up_at_s = self._monotonic() + self._patience_s
        try:
            return self._retrying(lambda: self._connected(ask))
        except StoreError as error:
            raise HistoryUnavailable(str(error)) from error

    def _connected(self, ask: Callable[[], T]) -> T:
        if not self._is_open:
            self._store.connect()
            wiring.make_tables_if_missing(self._store)
            self._is_open = True
        return ask()


def _is_before(number: int, block: Block) -> bool:
    return block.number < number


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("engine.store_unavailable", error=str(error), attempt=state.attempt_number)
