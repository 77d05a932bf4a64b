"""The first half of settlement: blocks of the chain become durable, in the store, or in the spill while it is away.

What is confirmed to the engine is in one of the two. Blocks stand in this order: the store's, the spill's, those in
memory; a batch that the store is asked to take stays in its place until the store has it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
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
from settlement.stores.retrying import Patience, StoreWork

log = structlog.get_logger(__name__)


class Appending:
    """Blocks that are checked, on their way. `confirm` hears the number of the last one that is durable."""

    def __init__(
        self,
        store: Store,
        spill: Spill,
        confirm: Callable[[int], object],
        clock: Clock,
        options: Options,
        patience: Patience,
    ) -> None:
        """Knows nothing of the store before `begin`."""
        self._store = store
        self._spill = spill
        self._confirm = confirm
        self._clock = clock
        self._options = options
        self._patience = patience
        self._memory: deque[Block] = deque()
        self._waits_since_s = 0.0
        self._is_overruled = False  # an epoch has begun before the end of the spill
        self.stored = Checkpoint(0, 0, 0)
        self.appended_blocks = 0

    @property
    def head(self) -> Checkpoint:
        """The last block that is on its way or there."""
        if self._memory:
            last = self._memory[-1]
            return Checkpoint(last.number, last.hash, last.epoch)
        return self._spill.head or self.stored

    @property
    def durable(self) -> int:
        """The last block that is in the store or in the spill."""
        return max(self.stored.block_number, self._spill.last_number)

    @property
    def confirmable(self) -> int:
        """The last block that will count whatever happens: those of the spill do, while no engine has a claim."""
        return self.stored.block_number if self._is_overruled or self._spill.is_claimed else self.durable

    @property
    def is_waiting(self) -> bool:
        """Something is on its way."""
        return bool(self._memory) or self.is_draining

    @property
    def is_draining(self) -> bool:
        return self._spill.blocks > 0

    @property
    def room(self) -> int:
        """How many more blocks memory may take."""
        return max(0, self._options.waiting_blocks - len(self._memory))

    def begin(self, epochs: Sequence[Epoch]) -> StoreWork[None]:
        """Goes on from the store and the spill, and from nothing else.

        Raises StoreDamaged; ChainConflict where the two do not fit; SpillOverruled where an epoch has begun before a
        block of the spill; SpillDamaged, SpillUnusable, Fenced.
        """
        self.forget()
        self.stored = yield from self._patience(self._head)
        yield from self._match_spill()
        head = self._spill.head
        self._is_overruled = head is not None and not admits(epochs, head.epoch, head.block_number)
        if self._is_overruled:
            yield from self._set_spill_aside(epochs)

    def forget(self) -> None:
        """Drops what is in memory: nobody was told that it is durable."""
        self._memory.clear()
        self._spill.reread()

    def put(self, blocks: Iterable[Block]) -> None:
        """Blocks that follow on `head`. Raises ChainBroken for others."""
        blocks = list(blocks)
        _check_order(blocks, self.head)
        if not self._memory:
            self._waits_since_s = self._clock.monotonic()
        self._memory.extend(blocks)

    def step(self) -> StoreWork[list[StoredBlock]]:
        """Appends a batch and confirms it; its rows.

        Raises Fenced where a newer epoch has overruled it: go on with `begin`. StoreDamaged, StoreRejected.
        """
        most = self._options.receive_blocks
        batch = self._spill.read(most) if self.is_draining else list(islice(self._memory, most))
        return (yield from self._append(batch))

    def relieve(self) -> None:
        """Moves what has waited for long, or fills the memory, to the spill, and confirms it."""
        waited_s = self._clock.monotonic() - self._waits_since_s
        if not self._memory or (self.room and waited_s < self._options.spill_after_s):
            return
        if not self.is_draining:
            log.warning("the store does not take blocks, they go to the spill", first=self._memory[0].number)
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
        is_again = False

        def append() -> None:
            nonlocal is_again
            if not (is_again and self._was_taken(rows)):
                is_again = True
                self._store.append_blocks(rows)

        yield from self._patience(append)
        last = rows[-1]
        self.stored = Checkpoint(last.number, last.hash, last.epoch)
        self.appended_blocks += len(rows)
        while self._memory and self._memory[0].number <= last.number:
            self._memory.popleft()
        self._spill.written(last.number)
        self._confirm(self.confirmable)
        return rows

    def _was_taken(self, rows: Sequence[StoredBlock]) -> bool:
        """Whether a store that had been away has taken the rows all the same. Raises Fenced, StoreDamaged."""
        head, last = self._store.appended(), rows[-1]
        if head == (last.number, last.hash, last.epoch):
            return True
        if head != self.stored:
            if not admits(self._store.epochs(), last.epoch, last.number):
                raise Fenced(f"An epoch has begun before block {last.number}, while the store was asked to take it.")
            raise StoreReplaced(
                f"The store was at block {self.stored.block_number}, and after it had been away it is at block "
                f"{head.block_number}: it is another one, or somebody else has written to it."
            )
        return False

    def _head(self) -> Checkpoint:
        head = self._store.appended()
        block = self._store.get_block(head.block_number)
        if head.block_number and (block is None or block.hash != head.hash):
            raise StoreDamaged(f"The store's checkpoint is at block {head.block_number}, but it holds another or none.")
        return head

    # The spill

    def _match_spill(self) -> StoreWork[None]:
        """Passes over what the store holds already, and checks that the rest continues it."""
        spill, number = self._spill, self.stored.block_number
        if not spill.head:
            return
        if spill.first_number > number + 1:
            raise ChainConflict(
                f"The spill begins with block {spill.first_number}, but the store ends with block {number}: it is an "
                "older copy, or another store. Give settlement the one that it had."
            )
        common = min(spill.last_number, number)
        last = None
        while blocks := spill.read(self._options.receive_blocks, lambda block: block.number <= common):
            last = blocks[-1]
        if last is not None:
            yield from self._compare_with_store(last)
            spill.written(common)
        if spill.head:
            (first,) = spill.read(1)
            spill.reread()
            if first.prev_hash != self.stored.hash:
                raise self._contradiction(first.number - 1)
            log.info("draining the spill", first=spill.first_number, last=spill.last_number)

    def _compare_with_store(self, block: Block) -> StoreWork[None]:
        """One is enough: each block of the spill holds the hash of the one before."""
        row = yield from self._patience(lambda: self._store.get_block(block.number))
        if row is None or row.hash != block.hash:
            raise self._contradiction(block.number)

    def _contradiction(self, number: int) -> ChainConflict:
        return ChainConflict(
            f"The spill tells another story of block {number} than the store: one of the two belongs to another chain. "
            "Keep both, and find out which."
        )

    def _set_spill_aside(self, epochs: Sequence[Epoch]) -> StoreWork[None]:
        """An engine went on without blocks that were confirmed to the one before. What counts of them is stored."""

        def may(block: Block) -> bool:
            return admits(epochs, block.epoch, block.number)

        while batch := self._spill.read(self._options.receive_blocks, may):
            yield from self._append(batch)
        first, last, leader = self.stored.block_number + 1, self._spill.last_number, newest(epochs)
        assert leader is not None, "only an epoch overrules"
        files = self._spill.set_aside(leader.number)
        raise SpillOverruled(
            f"Blocks {first} to {last} were confirmed from the spill, but epoch {leader.number} of {leader.commands} "
            f"has begun without them: they do not count any more and are kept in {files[0].parent} as "
            f"{', '.join(file.name for file in files)}. Tell whose commands they hold, then start settlement again."
        )


def _check_order(blocks: Sequence[Block], head: Checkpoint) -> None:
    """The last look before blocks become durable, and are told to be: nothing may be missing or stand elsewhere."""
    for block in blocks:
        if (block.number, block.prev_hash) != (head.block_number + 1, head.hash):
            raise ChainBroken(
                f"Block {block.number} was about to be stored after block {head.block_number}: it does not follow that."
            )
        head = Checkpoint(block.number, block.hash, block.epoch)
