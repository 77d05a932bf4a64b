"""The engine's interface to the permanent storage of blocks, which is settlement's store."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.core.errors import MatchingError


class HistoryUnavailable(MatchingError):
    """The store still does not answer after a wait: start the engine again when it does."""


class StoredUpTo(NamedTuple):
    """The store has all blocks up to this one."""

    number: int
    hash: int


class History(Protocol):
    """Methods raise HistoryUnavailable. Implementations wait for a store that is unavailable for a short time."""

    def store_identity(self) -> bytes:
        """The random identity of the store, which settlement's confirmations name."""

    def epochs(self) -> Sequence[Epoch]:
        """All epochs, ordered by number."""

    def withdraw(self) -> None:
        """Called if the engine that read the epochs will not begin a new one: settlement may use its spill again."""

    def hash_of(self, number: int) -> int | None:
        """The hash of a durable block, None if there is no block with this number."""

    def blocks(self, first: int) -> Iterator[Block]:
        """Durable blocks from `first` on, by number: first from the store, then from settlement's spill."""

    def begin_epoch(self, epoch: Epoch) -> bool:
        """Stores the epoch, which fences older ones.

        False if blocks or another epoch were added meanwhile: read the history again.
        """
