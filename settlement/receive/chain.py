"""Orders received blocks, and detects gaps and conflicts in the chain.

Each replica of a log sends every block. The first copy that continues the chain and passes `check` is accepted; the
others are compared with it, by their bytes or by the hash of their bytes. If a copy differs, its sender is refused and
the chain continues. If a copy fails `check`, its sender is refused and the caller has to make a new `Chain`.
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
from settlement.errors import ChainBroken, ChainConflict, EventsDiffer, Incident
from settlement.stores.base import Checkpoint, StoredBlock

log = structlog.get_logger(__name__)

_RECENT = 4096
"""Repeats of this many last blocks are compared without reading the store."""

BytesOf = Callable[[int], bytes | None]
"""Returns the bytes of an older block of the chain; None if they cannot be read now, and are not compared."""

Refuse = Callable[[str, str], bool]
"""Called with a block's origin and a reason; returns whether that replica is ignored from now on."""


Check = Callable[[Block], object]
"""Called with each next block of the chain, in order. Raises EventsDiffer if it is not what its commands give."""


def never_refuse(origin: str, reason: str) -> bool:
    """For a single engine: a fault in what it sends is an incident."""
    return False


def stored(block: Block) -> StoredBlock:
    """The row of a block."""
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
    """Puts blocks in order and returns those that continue the chain.

    Blocks that arrive before their predecessor are early. At most `max_early` are kept; the others are requested again
    when they are next.
    """

    def __init__(
        self,
        head: Checkpoint,
        epochs: Sequence[Epoch],
        max_early: int,
        refuse: Refuse = never_refuse,
        check: Check = lambda block: None,
    ) -> None:
        """Raises ChainConflict if an epoch begins after a block with the number of `head` and another hash."""
        self.head = head
        self.is_over = False
        """A block failed `check` and its sender was refused. Nothing more is accepted: continue with a new chain."""
        self._check = check
        self._max_early = max_early
        self._refuse_origin = refuse
        self._refused: set[str] = set()  # origins that the last call of `accept` refused
        self._early: dict[int, list[Block]] = {}  # by number; several if copies of replicas differ
        self._unknown: dict[int, Block] = {}  # blocks of an epoch that is not known yet
        # Hashes of the last blocks of the chain.
        self._recent: deque[int] = deque([head.hash] if head.block_number else [], maxlen=_RECENT)
        self._logged: set[int] = set()  # epochs of which a fenced block has been logged
        self._epochs: Sequence[Epoch] = ()
        self._borders: dict[int, Epoch] = {}  # number of the last block before an epoch → that epoch
        self._set_epochs(epochs)

    @property
    def next_number(self) -> int:
        return self.head.block_number + 1

    @property
    def newest_early(self) -> int:
        """The highest number of an early block; 0: none. All blocks from `next_number` to it must exist."""
        return max(self._early, default=0)

    @property
    def unknown_epoch(self) -> int:
        """An unknown epoch of which blocks arrived; 0: none. They are kept until `update_epochs` is called."""
        return max((block.epoch for block in self._unknown.values()), default=0)

    @property
    def is_overruled(self) -> bool:
        """Whether a newer epoch began at or before the head, which then is no longer part of the chain."""
        return not admits(self._epochs, self.head.epoch, self.head.block_number)

    def accept(self, blocks: Iterable[Block], bytes_of: BytesOf) -> tuple[list[Block], bool]:
        """Returns the blocks that continue the chain, in order, and whether there were repeats of earlier blocks.

        If the origin cannot be refused, raises ChainBroken for an invalid block and ChainConflict for a repeat with
        other bytes. Blocks that were accepted in the same call are then lost, and must not be settled.
        """
        ready: list[Block] = []
        repeated = False
        self._refused.clear()
        for block in blocks:
            if block.origin in self._refused:
                continue
            if not self._is_known(block.epoch):
                if block.computed_hash() != block.hash:
                    self._reject(block, ChainBroken(f"Block {block.number} does not have the hash in its header."))
                elif len(self._unknown) < self._max_early:
                    self._unknown.setdefault(block.number, block)
            elif not admits(self._epochs, block.epoch, block.number):
                self._count_fenced(block)
            elif block.number < self.next_number:
                self._compare(block, bytes_of)
                repeated = True
            else:
                self._keep_early(block)
                self._append_early(ready)
        while len(self._early) > self._max_early:
            del self._early[self.newest_early]
        return ready, repeated

    def update_epochs(self, epochs: Sequence[Epoch]) -> list[Block]:
        """Sets the epochs; returns the blocks that waited for them, to be passed to `accept` again.

        If `is_overruled` is true afterwards, make a new Chain. Raises ChainConflict as the constructor does, and for a
        block of an epoch that is not among `epochs`.
        """
        self._set_epochs(epochs)
        waiting, self._unknown = self._unknown, {}
        for block in waiting.values():
            if not self._is_known(block.epoch):
                reason = (
                    f"Block {block.number} is of epoch {block.epoch}, which has not begun in the store: the engine "
                    "that made it uses another store or none."
                )
                self._reject(block, ChainConflict(reason))
        self._drop_early(lambda block: not admits(self._epochs, block.epoch, block.number), self._count_fenced)
        return [block for block in waiting.values() if self._is_known(block.epoch)]

    def forget_early(self) -> None:
        self._early.clear()

    def _set_epochs(self, epochs: Sequence[Epoch]) -> None:
        self._epochs = epochs
        # Epochs that a newer one overrules from their first block on have no border.
        self._borders = {e.first_block - 1: e for e in epochs if admits(epochs, e.number, e.first_block)}
        if not self.is_overruled:
            self._check_border()

    def _is_known(self, epoch: int) -> bool:
        """While no epoch has begun in the store, blocks are of epoch 1."""
        return epoch <= max((known.number for known in self._epochs), default=1)

    def _count_fenced(self, block: Block) -> None:
        metrics.FENCED_BLOCKS.inc()
        if block.epoch not in self._logged:
            self._logged.add(block.epoch)
            log.warning("settlement.fenced_blocks_refused", epoch=block.epoch, first=block.number)

    def _keep_early(self, block: Block) -> None:
        """Keeps an early block, unless an equal copy is kept or a single engine repeats its number."""
        copies = self._early.setdefault(block.number, [])
        if not copies or (block.origin and all(block.data != copy.data for copy in copies)):
            copies.append(block)

    def _drop_early(self, which: Callable[[Block], bool], on_drop: Callable[[Block], object]) -> None:
        for number, copies in list(self._early.items()):
            for block in [block for block in copies if which(block)]:
                copies.remove(block)
                on_drop(block)
            if not copies:
                del self._early[number]

    def _append_early(self, ready: list[Block]) -> None:
        """Appends early blocks that are next. The first copy of a number that continues the chain is taken."""
        while not self.is_over and (copies := self._early.pop(self.next_number, None)):
            number = self.next_number
            for block in copies:
                if self.is_over:
                    return
                if self.head.block_number == number:
                    self._compare(block, lambda _: None)
                else:
                    self._append(block, ready)

    def _append(self, block: Block, ready: list[Block]) -> None:
        try:
            block.verify(self.next_number, self.head.hash)
        except HashMismatch as error:
            self._reject(block, ChainBroken(str(error)))
            return
        if block.epoch < self.head.epoch:
            reason = (
                f"Block {block.number} is of epoch {block.epoch}, but the chain is in epoch {self.head.epoch}: an "
                "engine that was replaced is still publishing."
            )
            self._reject(block, ChainConflict(reason))
            return
        try:
            self._check(block)
        except EventsDiffer as incident:
            self._reject(block, incident)
            self.is_over = True
            return
        self.head = Checkpoint(block.number, block.hash, block.epoch)
        self._recent.append(block.hash)
        ready.append(block)
        self._check_border()

    def _reject(self, block: Block, incident: Incident) -> None:
        """Refuses the block's origin and drops its early blocks; raises the incident if that is not possible."""
        if not block.origin or not self._refuse_origin(block.origin, str(incident)):
            raise incident
        self._refused.add(block.origin)
        self._drop_early(lambda early: early.origin == block.origin, lambda early: None)

    def _check_border(self) -> None:
        epoch = self._borders.get(self.head.block_number)
        if epoch is not None and epoch.prev_hash != self.head.hash:
            raise ChainConflict(
                f"Epoch {epoch.number} begins after block {self.head.block_number} with hash "
                f"{hash_text(epoch.prev_hash)}, but settlement's block has hash {hash_text(self.head.hash)}: the "
                f"engine at {epoch.commands} continued another chain."
            )

    def _compare(self, block: Block, bytes_of: BytesOf) -> None:
        age = self.head.block_number - block.number
        if age < len(self._recent):
            is_the_same = self._recent[-1 - age] == block.hash == block.computed_hash()
        elif block.origin:
            return  # a replica that is behind; its later blocks are compared, and each contains the previous hash
        else:
            is_the_same = bytes_of(block.number) in (None, block.data)
        if not is_the_same:
            reason = (
                f"Block {block.number} was received again with other bytes (hash {hash_text(block.hash)}): the "
                "engine's chain is not the store's, or the block was changed in transit."
            )
            self._reject(block, ChainConflict(reason))
