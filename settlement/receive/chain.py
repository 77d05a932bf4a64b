"""The end of the block chain: what may follow it, what came too early, and what contradicts it.

Several replicas of one log send each block once each: the first copy that continues the chain is taken, the others are
compared with it, byte by byte or by the hash of their bytes. One that differs is nobody's incident but its sender's.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import structlog

from matching.core.blocks import Block
from matching.core.codes import EventKind
from matching.core.epochs import Epoch, admits
from matching.core.errors import HashMismatch
from matching.core.hashes import hash_text
from settlement import metrics
from settlement.errors import ChainBroken, ChainConflict, Incident
from settlement.stores.base import Checkpoint, StoredBlock

log = structlog.get_logger(__name__)

_RECENT = 4096
"""So many of the last blocks are recognised without asking the store."""

BytesOf = Callable[[int], bytes | None]
"""The bytes of a block that was let through long ago; None where nobody can be asked now, so it is not compared."""

Refuse = Callable[[str, str], bool]
"""Of a block's origin and a reason: whether that replica is not heard any more, because there are others."""


def nobody_else(origin: str, reason: str) -> bool:
    """Where one engine leads, what it sends is not in order or is all there is."""
    return False


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

    def __init__(
        self, head: Checkpoint, epochs: Sequence[Epoch], most_early: int, refuse: Refuse = nobody_else
    ) -> None:
        """Raises ChainConflict where `head` is another block than an epoch begins after."""
        self.head = head
        self._most_early = most_early
        self._refuse_origin = refuse
        self._refused: set[str] = set()  # since `accept` was called last
        self._early: dict[int, list[Block]] = {}  # by number; several where replicas differ
        self._unknown: dict[int, Block] = {}  # of an epoch that is not known yet
        # Hashes of the last blocks that were let through.
        self._recent: deque[int] = deque([head.hash] if head.block_number else [], maxlen=_RECENT)
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

        Raises ChainBroken for a block that is not what it should be, ChainConflict for a repeat with other bytes, where
        its origin cannot be refused. Blocks let through before either are lost: nothing is settled past a doubt.
        """
        ready: list[Block] = []
        repeated = False
        self._refused.clear()
        for block in blocks:
            if block.origin in self._refused:
                continue
            if not self._is_known(block.epoch):
                if block.computed_hash() != block.hash:
                    reason = f"What came as block {block.number} does not give the hash that it carries."
                    self._doubt(block, ChainBroken(reason))
                elif len(self._unknown) < self._most_early:
                    self._unknown.setdefault(block.number, block)
            elif not admits(self._epochs, block.epoch, block.number):
                self._refuse(block)
            elif block.number < self.next_number:
                self._compare(block, bytes_of)
                repeated = True
            else:
                self._keep_early(block)
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
                reason = (
                    f"Block {block.number} is of epoch {block.epoch}, which nobody has begun in the store: the engine "
                    "that made it settles into another store, or into none."
                )
                self._doubt(block, ChainConflict(reason))
        self._drop_early(lambda block: not admits(self._epochs, block.epoch, block.number), self._refuse)
        return [block for block in waiting.values() if self._is_known(block.epoch)]

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

    def _keep_early(self, block: Block) -> None:
        """Not twice what came before; of one engine's nothing twice."""
        copies = self._early.setdefault(block.number, [])
        if not copies or (block.origin and all(block.data != copy.data for copy in copies)):
            copies.append(block)

    def _drop_early(self, which: Callable[[Block], bool], tell: Callable[[Block], object]) -> None:
        for number, copies in list(self._early.items()):
            for block in [block for block in copies if which(block)]:
                copies.remove(block)
                tell(block)
            if not copies:
                del self._early[number]

    def _follow(self, ready: list[Block]) -> None:
        """Lets through what comes next: the first copy that continues the chain."""
        while copies := self._early.pop(self.next_number, None):
            number = self.next_number
            for block in copies:
                if self.head.block_number == number:
                    self._compare(block, lambda _: None)
                else:
                    self._let_through(block, ready)

    def _let_through(self, block: Block, ready: list[Block]) -> None:
        try:
            block.verify(self.next_number, self.head.hash)
        except HashMismatch as error:
            self._doubt(block, ChainBroken(str(error)))
            return
        if block.epoch < self.head.epoch:
            reason = (
                f"Block {block.number} is of epoch {block.epoch}, the chain has reached epoch {self.head.epoch}: "
                "an engine that was replaced is still publishing."
            )
            self._doubt(block, ChainConflict(reason))
            return
        self.head = Checkpoint(block.number, block.hash, block.epoch)
        self._recent.append(block.hash)
        ready.append(block)
        self._check_border()

    def _doubt(self, block: Block, incident: Incident) -> None:
        """Its origin is refused, and what it has sent early forgotten; or this is an incident."""
        if not block.origin or not self._refuse_origin(block.origin, str(incident)):
            raise incident
        self._refused.add(block.origin)
        self._drop_early(lambda early: early.origin == block.origin, lambda early: None)

    def _check_border(self) -> None:
        epoch = self._borders.get(self.head.block_number)
        if epoch is not None and epoch.prev_hash != self.head.hash:
            raise ChainConflict(
                f"Epoch {epoch.number} begins after a block {self.head.block_number} with hash "
                f"{hash_text(epoch.prev_hash)}, but settlement has one with hash {hash_text(self.head.hash)}: "
                f"{epoch.commands} went on from another chain."
            )

    def _compare(self, block: Block, bytes_of: BytesOf) -> None:
        age = self.head.block_number - block.number
        if age < len(self._recent):
            is_the_same = self._recent[-1 - age] == block.hash == block.computed_hash()
        elif block.origin:
            return  # a replica that is behind: each hash holds the one before, so a recent block tells of older ones
        else:
            is_the_same = bytes_of(block.number) in (None, block.data)
        if not is_the_same:
            reason = (
                f"Block {block.number} came again with other bytes (hash {hash_text(block.hash)}): the engine's chain "
                "is not the store's, or somebody has changed the block on its way."
            )
            self._doubt(block, ChainConflict(reason))
