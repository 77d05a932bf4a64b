"""The first half of settlement: makes blocks durable, in the store or, while it is unavailable, in the spill.

A block is confirmed to the engine when it is in one of the two. Blocks are in this order: those in the store, those in
the spill, those in memory. A batch leaves the spill or the memory only after the store has it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import structlog

from matching.core.blocks import Block
from matching.core.epochs import Epoch, admits, newest
from settlement.clock import Clock
from settlement.durable.spill import Spill
from settlement.errors import ChainBroken, ChainConflict, SpillOverruled, StoreDamaged, StoreReplaced
from settlement.options import Options
from settlement.receive.chain import stored
from settlement.stores.base import Checkpoint, Fenced, Store, StoredBlock
from settlement.stores.retrying import StoreRetrier, StoreWork

log = structlog.get_logger(__name__)


class Appending:
    """Appends verified blocks to the store. `confirm` is called with the last durable block."""

    def __init__(
        self,
        store: Store,
        spill: Spill,
        *,
        confirm: Callable[[Checkpoint], object],
        clock: Clock,
        options: Options,
        retrier: StoreRetrier,
    ) -> None:
        """Call `begin` before any other method."""
        self._store = store
        self._spill = spill
        self._confirm = confirm
        self._clock = clock
        self._options = options
        self._retrier = retrier
        self._memory: deque[Block] = deque()
        self._waits_since_s = 0.0
        self._is_overruled = False  # an epoch has begun before the end of the spill
        self.stored = Checkpoint(0, 0, 0)
        self.appended_blocks = 0

    @property
    def head(self) -> Checkpoint:
        """The last block that is in memory, in the spill or in the store."""
        if self._memory:
            last = self._memory[-1]
            return Checkpoint(last.number, last.hash, last.epoch)
        return self._spill.head or self.stored

    @property
    def durable(self) -> Checkpoint:
        """The last block that is in the store or in the spill."""
        spilled = self._spill.head
        return spilled if spilled is not None and spilled.block_number > self.stored.block_number else self.stored

    @property
    def confirmable(self) -> Checkpoint:
        """The last block that no epoch can overrule. Blocks of the spill are included unless an engine has a claim."""
        return self.stored if self._is_overruled or self._spill.is_claimed else self.durable

    @property
    def is_waiting(self) -> bool:
        """Whether blocks are in memory or in the spill."""
        return bool(self._memory) or self.is_draining

    @property
    def is_draining(self) -> bool:
        return self._spill.blocks > 0

    @property
    def room(self) -> int:
        """The number of blocks that still fit into memory."""
        return max(0, self._options.waiting_blocks - len(self._memory))

    def begin(self, epochs: Sequence[Epoch]) -> StoreWork[None]:
        """Starts from the blocks in the store and the spill; drops those in memory.

        Raises StoreDamaged; ChainConflict if store and spill contradict each other; SpillOverruled if an epoch began
        before a block of the spill; SpillDamaged, SpillUnusable, Fenced.
        """
        self.forget()
        self.stored = yield from self._retrier(self._head)
        yield from self._match_spill()
        head = self._spill.head
        self._is_overruled = head is not None and not admits(epochs, head.epoch, head.block_number)
        if self._is_overruled:
            yield from self._set_spill_aside(epochs)

    def spilled(self) -> Iterator[Block]:
        """The blocks of the spill that the store may not have. Raises SpillDamaged, SpillUnusable."""
        while blocks := self._spill.read(self._options.receive_blocks):
            yield from blocks
        self._spill.restart_reading()

    def forget(self) -> None:
        """Drops the blocks in memory, none of which has been confirmed."""
        self._memory.clear()
        self._spill.restart_reading()

    def add_blocks(self, blocks: Iterable[Block]) -> None:
        """Adds blocks to memory. Raises ChainBroken if they do not continue `head`."""
        blocks = list(blocks)
        _check_order(blocks, self.head)
        if not self._memory:
            self._waits_since_s = self._clock.monotonic()
        self._memory.extend(blocks)

    def step(self) -> StoreWork[list[StoredBlock]]:
        """Appends a batch and confirms it; returns its rows.

        Raises Fenced if a newer epoch has overruled the batch: then continue with `begin`. StoreDamaged, StoreRejected.
        """
        limit = self._options.receive_blocks
        batch = self._spill.read(limit) if self.is_draining else list(islice(self._memory, limit))
        return (yield from self._append(batch))

    def move_to_spill_if_due(self) -> None:
        """Moves blocks to the spill and confirms them, if memory is full or they have waited for `spill_after_s`."""
        waited_s = self._clock.monotonic() - self._waits_since_s
        if not self._memory or (self.room and waited_s < self._options.spill_after_s):
            return
        if not self.is_draining:
            log.warning("settlement.spilling", first=self._memory[0].number)
        taken = self._spill.append(list(self._memory))
        for _ in range(taken):
            self._memory.popleft()
        if taken:
            self._confirm(self.confirmable)

    def _append(self, batch: Sequence[Block]) -> StoreWork[list[StoredBlock]]:
        if not batch:
            return []
        _check_order(batch, self.stored)
        rows = [stored(block) for block in batch]
        is_retry = False

        def append() -> None:
            nonlocal is_retry
            if not (is_retry and self._was_appended(rows)):
                is_retry = True
                self._store.append_blocks(rows)

        yield from self._retrier(append)
        last = rows[-1]
        self.stored = Checkpoint(last.number, last.hash, last.epoch)
        self.appended_blocks += len(rows)
        while self._memory and self._memory[0].number <= last.number:
            self._memory.popleft()
        self._spill.mark_stored(last.number)
        self._confirm(self.confirmable)
        return rows

    def _was_appended(self, rows: Sequence[StoredBlock]) -> bool:
        """Whether an earlier call that failed has stored the rows. Raises Fenced, StoreReplaced."""
        head, last = self._store.appended(), rows[-1]
        if head == (last.number, last.hash, last.epoch):
            return True
        if head != self.stored:
            if not admits(self._store.epochs(), last.epoch, last.number):
                raise Fenced(f"An epoch that overrules block {last.number} began while the block was being stored.")
            raise StoreReplaced(
                f"The store ended with block {self.stored.block_number} before it was unavailable and ends with block "
                f"{head.block_number} now: it is another store, or another program wrote to it."
            )
        return False

    def _head(self) -> Checkpoint:
        head = self._store.appended()
        block = self._store.get_block(head.block_number)
        if head.block_number and (block is None or block.hash != head.hash):
            raise StoreDamaged(
                f"The store's checkpoint is at block {head.block_number}, but this block is missing or has another "
                "hash."
            )
        return head

    # The spill

    def _match_spill(self) -> StoreWork[None]:
        """Skips blocks of the spill that the store has already, and checks that the others continue the store's."""
        spill, number = self._spill, self.stored.block_number
        if not spill.head:
            return
        if spill.first_number > number + 1:
            raise ChainConflict(
                f"The spill begins with block {spill.first_number}, but the store ends with block {number}: the store "
                "is an older copy or another one. Restore the store that settlement used."
            )
        common = min(spill.last_number, number)
        last = None
        while blocks := spill.read(self._options.receive_blocks, lambda block: block.number <= common):
            last = blocks[-1]
        if last is not None:
            yield from self._compare_with_store(last)
            spill.mark_stored(common)
        if spill.head:
            (first,) = spill.read(1)
            spill.restart_reading()
            if first.prev_hash != self.stored.hash:
                raise self._contradiction(first.number - 1)
            log.info("settlement.draining_spill", first=spill.first_number, last=spill.last_number)

    def _compare_with_store(self, block: Block) -> StoreWork[None]:
        """Raises ChainConflict if the store has another block. One is enough: each contains the previous hash."""
        row = yield from self._retrier(lambda: self._store.get_block(block.number))
        if row is None or row.hash != block.hash:
            raise self._contradiction(block.number)

    def _contradiction(self, number: int) -> ChainConflict:
        return ChainConflict(
            f"Block {number} in the spill differs from that in the store: one of them belongs to another chain. Keep "
            "both and find out which chain is the right one."
        )

    def _set_spill_aside(self, epochs: Sequence[Epoch]) -> StoreWork[None]:
        """Appends the blocks of the spill that no epoch overrules, and renames the files with the others."""

        def is_admitted(block: Block) -> bool:
            return admits(epochs, block.epoch, block.number)

        while batch := self._spill.read(self._options.receive_blocks, is_admitted):
            yield from self._append(batch)
        first, last, leader = self.stored.block_number + 1, self._spill.last_number, newest(epochs)
        assert leader is not None, "only an epoch overrules"
        files = self._spill.set_aside(leader.number)
        raise SpillOverruled(
            f"Blocks {first} to {last} were confirmed from the spill, but epoch {leader.number} of {leader.commands} "
            f"began without them: they are no longer part of the chain and are kept in {files[0].parent} as "
            f"{', '.join(file.name for file in files)}. Inform the owners of their commands, then restart settlement."
        )


def _check_order(blocks: Sequence[Block], head: Checkpoint) -> None:
    """Checks that blocks continue `head`. The last check before they become durable and are confirmed."""
    for block in blocks:
        if (block.number, block.prev_hash) != (head.block_number + 1, head.hash):
            raise ChainBroken(
                f"Block {block.number} was about to be stored after block {head.block_number}, which it does not "
                "continue."
            )
        head = Checkpoint(block.number, block.hash, block.epoch)
