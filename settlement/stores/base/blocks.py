"""Blocks, from which everything else can be rebuilt, and epochs, which decide whose blocks may be appended."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from matching.core.epochs import Epoch


class StoredBlock(NamedTuple):
    number: int
    hash: int
    prev_hash: int
    epoch: int
    timestamp_ns: int
    first_command_sequence: int
    last_command_sequence: int
    first_event_sequence: int
    last_event_sequence: int
    trade_count: int
    data: bytes

    @property
    def checkpoint(self) -> "Checkpoint":
        return Checkpoint(self.number, self.hash, self.epoch)


class Checkpoint(NamedTuple):
    """The last block that a stage of settlement has completed. Block 0 with hash 0: none yet."""

    block_number: int
    hash: int
    epoch: int


NOTHING_YET = Checkpoint(0, 0, 0)
"""The checkpoint before the first block."""


IDENTITY_BYTES = 16


class BlockStore(Protocol):
    def identity(self) -> bytes:
        """IDENTITY_BYTES random bytes that no other store has, except copies of this one.

        Made by the first call and never changed: of several first callers one decides. Only processes that write call
        it: settlement, an engine that is about to lead, `init_store`.
        """

    def append_blocks(self, blocks: Sequence[StoredBlock]) -> None:
        """Writes consecutive blocks and the `appended` checkpoint; they are durable when this returns.

        Blocks that are stored already are accepted if they are the same; the checkpoint never moves back. Raises
        without writing: Fenced if the epoch of a block is older than an epoch that began at or before it; otherwise
        settlement.errors.StoreReplaced if the blocks do not continue the stored chain.
        """

    def begin_epoch(self, epoch: Epoch) -> None:
        """Stores `epoch`, whose number is the newest one plus 1. From then on blocks of older epochs are refused.

        The checks and the write are one transaction. Raises Fenced if another epoch with this number, or a newer one,
        has begun; Outrun if the store has blocks after `first_block - 1`, or another block with that number. Repeating
        the call with the same epoch does nothing.
        """

    def replace_blocks(self, first: int, batches: Iterable[Sequence[StoredBlock]], epoch: Epoch) -> None:
        """Takes the blocks from `first` on out of the chain, appends those of `batches`, and begins `epoch` after them.

        Only while no other process writes, and after the projections were reset to block `first - 1`. After a failure
        call it again with the same arguments. The epoch overrules every removed block that the new ones do not replace.
        """

    def epochs(self) -> list[Epoch]:
        """All epochs, ordered by number."""

    def appended(self) -> Checkpoint: ...

    def get_block(self, number: int) -> StoredBlock | None: ...

    def blocks(self, first: int, last: int | None = None) -> Iterator[StoredBlock]:
        """Yields the stored blocks in order of number, reading a few at a time."""

    def block_of_event(self, event_sequence: int) -> StoredBlock | None: ...

    def blocks_of_hash(self, digest: int) -> list[StoredBlock]:
        """The blocks with this hash, newest first, with empty `data`: none or one, unless somebody made two collide."""

    def newest_blocks(self, limit: int, before: int | None = None) -> list[StoredBlock]:
        """Newest first, with empty `data`."""
