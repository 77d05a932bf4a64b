"""The end of the block chain: what may follow it, what came too early, and what contradicts it."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import structlog

from matching.blocks import Block
from matching.codes import EventKind
from matching.epochs import Epoch, admits
from matching.errors import HashMismatch
from settlement import metrics
from settlement.errors import ChainBroken, ChainConflict
from settlement.stores.base import Checkpoint, StoredBlock

log = structlog.get_logger(__name__)

_RECENT = 4096
"""So many of the last blocks are recognised without asking the store."""

BytesOf = Callable[[int], bytes | None]
"""The bytes of a block that was let through long ago; None where nobody can be asked now, so it is not compared."""


def stored(block: Block) -> StoredBlock:
    """The row that keeps a block."""
    return StoredBlock(
        block.number,
        block.hash,
        block.prev_hash,
        block.epoch,
        block.timestamp_ns,
        block.first_command_sequence,
        block.last_command_sequence,
        block.first_event_sequence,
        block.last_event_sequence,
        int(np.count_nonzero(block.events["kind"] == EventKind.TRADE)),
        block.data,
    )


class Chain:
    """Puts blocks into their order and lets through those that continue the chain.

    At most `most_early` blocks that came too early are kept; the others are asked for again when it is their turn.
    """

    def __init__(self, head: Checkpoint, epochs: Sequence[Epoch], most_early: int) -> None:
        """Raises ChainConflict where `head` is another block than an epoch begins after."""
        self.head = head
        self._most_early = most_early
        self._early: dict[int, Block] = {}
        self._unknown: dict[int, Block] = {}  # of an epoch that is not known yet
        self._recent: deque[int] = deque(maxlen=_RECENT)  # hashes of the last blocks that were let through
        self._told: set[int] = set()  # epochs of which a fenced block has been logged
        self._epochs: Sequence[Epoch] = ()
        self._borders: dict[int, Epoch] = {}  # number of the last block before an epoch → that epoch
        self._set_epochs(epochs)

    @property
    def next_number(self) -> int:
        return self.head.block_number + 1

    @property
    def newest_early(self) -> int:
        """The highest number that came too early, 0 for none: all from `next_number` to it must exist."""
        return max(self._early, default=0)

    @property
    def unknown_epoch(self) -> int:
        """An epoch that blocks came of and that nobody has told of, 0 for none: they wait until it is `learn`t."""
        return max((block.epoch for block in self._unknown.values()), default=0)

    @property
    def is_overruled(self) -> bool:
        """A newer epoch has begun at or before the head, which so is a block that does not exist any more."""
        return not admits(self._epochs, self.head.epoch, self.head.block_number)

    def accept(self, blocks: Iterable[Block], bytes_of: BytesOf) -> tuple[list[Block], bool]:
        """The blocks that continue the chain, in order, and whether others repeated what is in it.

        Raises ChainBroken for a block that is not what it should be, ChainConflict for a repeat with other bytes. The
        blocks let through before either are lost: nothing is settled past a doubt.
        """
        ready: list[Block] = []
        repeated = False
        for block in blocks:
            if not self._is_known(block.epoch):
                if block.computed_hash() != block.hash:
                    raise ChainBroken(f"What came as block {block.number} does not give the hash that it carries.")
                if len(self._unknown) < self._most_early:
                    self._unknown.setdefault(block.number, block)
            elif not admits(self._epochs, block.epoch, block.number):
                self._refuse(block)
            elif block.number < self.next_number:
                self._compare(block, bytes_of)
                repeated = True
            else:
                self._early.setdefault(block.number, block)
                self._follow(ready)
        while len(self._early) > self._most_early:
            del self._early[self.newest_early]
        return ready, repeated

    def learn(self, epochs: Sequence[Epoch]) -> list[Block]:
        """Goes by these epochs from now on; gives back what waited for that, to be accepted anew.

        Where that makes it `is_overruled`, it is of no more use. Raises ChainConflict as the constructor does, and for
        a block of an epoch that is none of these.
        """
        self._set_epochs(epochs)
        waiting, self._unknown = self._unknown, {}
        for block in waiting.values():
            if not self._is_known(block.epoch):
                raise ChainConflict(
                    f"Block {block.number} is of epoch {block.epoch}, which nobody has begun in the store: the engine "
                    "that made it settles into another store, or into none."
                )
        for number, block in list(self._early.items()):
            if not admits(self._epochs, block.epoch, number):
                del self._early[number]
                self._refuse(block)
        return list(waiting.values())

    def forget_early(self) -> None:
        self._early.clear()

    def _set_epochs(self, epochs: Sequence[Epoch]) -> None:
        self._epochs = epochs
        # An epoch that a newer one has overruled from its first block on begins nowhere.
        self._borders = {e.first_block - 1: e for e in epochs if admits(epochs, e.number, e.first_block)}
        if not self.is_overruled:
            self._check_border()

    def _is_known(self, epoch: int) -> bool:
        """While nobody has begun an epoch in the store, blocks are of the first."""
        return epoch <= max((known.number for known in self._epochs), default=1)

    def _refuse(self, block: Block) -> None:
        metrics.FENCED_BLOCKS.inc()
        if block.epoch not in self._told:
            self._told.add(block.epoch)
            log.warning("refusing blocks of an engine that was replaced", epoch=block.epoch, first=block.number)

    def _follow(self, ready: list[Block]) -> None:
        while block := self._early.pop(self.next_number, None):
            try:
                block.verify(self.next_number, self.head.hash)
            except HashMismatch as error:
                raise ChainBroken(str(error)) from error
            if block.epoch < self.head.epoch:
                raise ChainConflict(
                    f"Block {block.number} is of epoch {block.epoch}, the chain has reached epoch {self.head.epoch}: "
                    "an engine that was replaced is still publishing."
                )
            self.head = Checkpoint(block.number, block.hash, block.epoch)
            self._recent.append(block.hash)
            ready.append(block)
            self._check_border()

    def _check_border(self) -> None:
        epoch = self._borders.get(self.head.block_number)
        if epoch is not None and epoch.prev_hash != self.head.hash:
            raise ChainConflict(
                f"Epoch {epoch.number} begins after a block {self.head.block_number} with hash {epoch.prev_hash:016x}, "
                f"but settlement has one with hash {self.head.hash:016x}: {epoch.commands} went on from another chain."
            )

    def _compare(self, block: Block, bytes_of: BytesOf) -> None:
        age = self.head.block_number - block.number
        if age < len(self._recent):
            is_the_same = self._recent[-1 - age] == block.hash == block.computed_hash()
        else:
            is_the_same = bytes_of(block.number) in (None, block.data)
        if not is_the_same:
            raise ChainConflict(
                f"Block {block.number} came again with other bytes (hash {block.hash:016x}): the engine's chain is not "
                "the store's, or somebody has changed the block on its way."
            )
