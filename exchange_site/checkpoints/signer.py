"""Signs a checkpoint of the stored chain every so many blocks or seconds.

The chain digest is computed here, not in the engine's or settlement's own loop, which SHA-256 would slow down:
`hashlib` releases the interpreter lock while it hashes a block. Blocks come from this process's memory. Those that it
does not have any more, or made before it started, come from the store. Only blocks in the store are signed: no later
epoch overrules them.

The chain continues from this key's newest checkpoint in the store that fits the stored blocks. Without one it begins
with block 1, also in a store of an earlier version.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog

from exchange_site.checkpoints import metrics
from matching.core.chain_digest import BEFORE_FIRST_BLOCK, ChainedBlock, ChainPoint
from matching.core.errors import HashMismatch
from matching.core.hashes import hash_text
from matching.transport.key_register import OwnKey
from matching.transport.signed_checkpoints import read_own, sign
from settlement.stores.base import Store, StoredCheckpoint, StoreError

log = structlog.get_logger(__name__)

_EVERY_S = 1.0
_PAGE_BLOCKS = 64
_PAUSE_S = 0.005
"""After a page of the store, so that the process's main thread runs while a long chain is read."""
_LAST_BLOCKS = 10_000
"""A process that ends follows at most this many remaining blocks; if more remain, the next start continues."""
_AFTER_DIFFERENCE_S = 60.0
"""Time before the chain is followed again after it differed from the store's: it may have to be read from block 1."""
_LAST_STEP_S = 5.0
"""How long a process that ends waits for its last checkpoint to be signed."""


class OwnBlocks(NamedTuple):
    """The newest blocks of this process; both functions are called in the signer's thread."""

    get: Callable[[int], ChainedBlock | None]
    last: Callable[[], int | None]
    """Number of its newest block; None: that of the store's newest block."""


class Schedule(NamedTuple):
    every_blocks: int
    every_s: float


class Signer:
    """Used by one thread."""

    def __init__(
        self,
        *,
        store: Store,
        own: OwnKey,
        exchange: str,
        blocks: OwnBlocks,
        hand_over: Callable[[StoredCheckpoint], object],
        schedule: Schedule,
        monotonic: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`own` has a signing key. `hand_over` gets each checkpoint and returns at once."""
        self._store = store
        self._own = own
        self._signer = f"{own.role}-{own.name}"
        self._exchange = exchange
        self._blocks = blocks
        self._hand_over = hand_over
        self._schedule = schedule
        self._monotonic = monotonic
        self._time_ns = time_ns
        self._stopping = threading.Event()
        self._at: ChainPoint | None = None  # None: to be read from the store
        self._signed = 0  # block of the newest checkpoint
        self._signed_at_s = monotonic()
        self._follow_again_at_s = monotonic()
        self._contradicted: set[int] = set()  # blocks of checkpoints that were logged

    def step(self) -> None:
        """Follows the stored chain, and signs what is due. A store that is away is tried again."""
        if self._monotonic() < self._follow_again_at_s:
            return
        try:
            self._follow()
            self._sign_if_due()
        except StoreError:
            return
        except HashMismatch as error:
            log.error("checkpoints.chain_differs", error=str(error))
            self._at = None
            self._follow_again_at_s = self._monotonic() + _AFTER_DIFFERENCE_S

    @contextmanager
    def running(self) -> Iterator[None]:
        """Steps once a second, in a thread, until the end of the context; then signs the last stored block."""

        def run() -> None:
            is_last = False
            while not is_last:
                is_last = self._stopping.wait(_EVERY_S)
                self.step()
                self._store.close()

        thread = threading.Thread(target=run, name="checkpoints", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join(_LAST_STEP_S)

    # The chain

    def _follow(self) -> None:
        """Brings the chain to the newest block that both the store and this process have. Raises HashMismatch."""
        last, own_last = self._store.appended().block_number, self._blocks.last()
        last = last if own_last is None else min(last, own_last)
        if self._at is None or self._at.block_number > last:  # an older copy of the store was put back
            self._at = self._newest_signed(last)
            self._signed = self._at.block_number
        while self._at.block_number < last:
            self._at = self._with_page(self._at, last)
            if self._stopping.is_set() and last - self._at.block_number > _LAST_BLOCKS:
                break
        if self._at.block_number and self._hash_of(self._at.block_number) != self._at.state_hash:
            raise HashMismatch(
                f"Block {self._at.block_number} in the store differs from the one that this process has."
            )

    def _with_page(self, at: ChainPoint, last: int) -> ChainPoint:
        """The point after this process's next block or, if it lacks that, after the store's next page."""
        own = self._blocks.get(at.block_number + 1)
        if own is not None:
            return at.after(own)
        first = at.block_number + 1
        for block in self._store.blocks(first, min(last, at.block_number + _PAGE_BLOCKS)):
            at = at.after(self._blocks.get(block.number) or block)
        if at.block_number < first:
            raise HashMismatch(f"Block {first} is missing in the store.")
        self._stopping.wait(_PAUSE_S)
        return at

    def _newest_signed(self, last: int) -> ChainPoint:
        """The point of this key's newest checkpoint that fits the store, else the beginning of the chain."""
        for row in self._store.signed_checkpoints(last):
            known = read_own(row.document, self._own) if row.signer == self._signer else None
            if known is None or known.exchange != self._exchange:
                continue
            point = known.point
            if self._hash_of(point.block_number) == point.state_hash:
                return point
            if point.block_number not in self._contradicted:
                self._contradicted.add(point.block_number)
                log.error("checkpoints.contradicted", block=point.block_number, signed=hash_text(point.state_hash))
        return BEFORE_FIRST_BLOCK

    def _hash_of(self, number: int) -> int | None:
        return next((row.hash for row in self._store.newest_blocks(1, number + 1) if row.number == number), None)

    # Signing

    def _sign_if_due(self) -> None:
        at = self._at
        if at is None or at.block_number <= self._signed:
            return
        is_due = at.block_number - self._signed >= self._schedule.every_blocks
        is_late = self._monotonic() - self._signed_at_s >= self._schedule.every_s
        if is_due or is_late or self._stopping.is_set():
            document = sign(self._own, self._exchange, at, self._time_ns())
            self._hand_over(StoredCheckpoint(at.block_number, self._signer, document))
            self._signed, self._signed_at_s = at.block_number, self._monotonic()
            metrics.SIGNED.inc()
            metrics.SIGNED_BLOCK.set(at.block_number)
