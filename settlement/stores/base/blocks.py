"""Blocks and epochs: the durable truth, and who may add to it."""

from collections.abc import Iterator, Sequence
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


class Checkpoint(NamedTuple):
    """Where a stage of settlement stands. Block 0 with hash 0: nothing yet."""

    block_number: int
    hash: int
    epoch: int


NOTHING_YET = Checkpoint(0, 0, 0)
"""Before the first block."""


class BlockStore(Protocol):
    def append_blocks(self, blocks: Sequence[StoredBlock]) -> None:
        """Consecutive blocks and the `appended` checkpoint, durable when this returns.

        Those that are there already, the same, are a repeat, and the checkpoint never goes back. Raises Fenced, and
        writes nothing, when one is of an epoch older than one that has begun at or before it; else
        settlement.errors.StoreReplaced, and writes nothing, when they do not continue what the store holds.
        """

    def begin_epoch(self, epoch: Epoch) -> None:
        """Keeps `epoch`, whose number is one more than the newest; from now on older blocks are fenced.

        One transaction with its conditions: raises Fenced where another epoch with that number, or a newer one, has
        begun already; Outrun where the store holds a block past `first_block - 1`, or another block there. The same
        epoch again is kept already and does nothing.
        """

    def epochs(self) -> list[Epoch]:
        """All of them, by number."""

    def appended(self) -> Checkpoint: ...

    def get_block(self, number: int) -> StoredBlock | None: ...

    def blocks(self, first: int, last: int | None = None) -> Iterator[StoredBlock]:
        """Stored blocks by number, read a few at a time."""

    def block_of_event(self, event_sequence: int) -> StoredBlock | None: ...

    def newest_blocks(self, limit: int, before: int | None = None) -> list[StoredBlock]:
        """Newest first, `data` left empty."""
