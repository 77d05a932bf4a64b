"""The end of the block chain: what may follow it, what came too early, and what contradicts it."""

from collections import deque
from collections.abc import Callable, Iterable

import numpy as np

from matching.blocks import Block
from matching.codes import EventKind
from matching.errors import HashMismatch
from settlement.errors import ChainBroken, ChainConflict
from settlement.stores.base import Checkpoint, StoredBlock

_RECENT = 4096
"""So many of the last blocks are recognised without asking the store."""


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

    `bytes_of` gives the bytes of a block that the store holds. At most `most_early` blocks that came too early
    are kept; the others are asked for again when it is their turn.
    """

    def __init__(self, head: Checkpoint, bytes_of: Callable[[int], bytes | None], most_early: int) -> None:
        self.head = head
        self._bytes_of = bytes_of
        self._most_early = most_early
        self._early: dict[int, Block] = {}
        self._recent: deque[int] = deque(maxlen=_RECENT)  # hashes of the last blocks that were let through

    @property
    def next_number(self) -> int:
        return self.head.block_number + 1

    @property
    def newest_early(self) -> int:
        """The highest number that came too early, 0 for none: all from `next_number` to it must exist."""
        return max(self._early, default=0)

    def accept(self, blocks: Iterable[Block]) -> tuple[list[Block], bool]:
        """The blocks that continue the chain, in order, and whether others repeated what is in it.

        Raises ChainBroken for a block that is not what it should be, ChainConflict for a repeat with other bytes. The
        blocks let through before either are lost: nothing is settled past a doubt.
        """
        ready: list[Block] = []
        repeated = False
        for block in blocks:
            if block.number < self.next_number:
                self._compare(block)
                repeated = True
            else:
                self._early.setdefault(block.number, block)
                self._follow(ready)
        while len(self._early) > self._most_early:
            del self._early[self.newest_early]
        return ready, repeated

    def forget_early(self) -> None:
        self._early.clear()

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

    def _compare(self, block: Block) -> None:
        age = self.head.block_number - block.number
        if age < len(self._recent):
            is_the_same = self._recent[-1 - age] == block.hash == block.computed_hash()
        else:
            is_the_same = self._bytes_of(block.number) == block.data
        if not is_the_same:
            raise ChainConflict(
                f"Block {block.number} came again with other bytes (hash {block.hash:016x}): the engine's chain is not "
                "the store's, or somebody has changed the block on its way."
            )
