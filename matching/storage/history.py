"""What the engine needs of the place where blocks are kept for good; settlement's store is one."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.core.errors import MatchingError


class HistoryUnavailable(MatchingError):
    """What keeps the blocks does not answer, although it was waited for: start again when it does."""


class History(Protocol):
    """Raises HistoryUnavailable; a store that is away for a while is waited for by whoever implements this."""

    def epochs(self) -> Sequence[Epoch]:
        """All that have begun, by number."""

    def withdraw(self) -> None:
        """Whoever asked for the epochs does not begin one after all."""

    def hash_of(self, number: int) -> int | None:
        """The hash of a durable block; None where there is none with that number."""

    def blocks(self, first: int) -> Iterator[Block]:
        """Durable blocks from `first` on, by number: the store's, then those that wait in settlement's spill."""

    def begin_epoch(self, epoch: Epoch) -> bool:
        """Keeps the epoch and fences older ones. False: blocks, or another epoch, have come meanwhile; look again."""
