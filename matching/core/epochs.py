"""Epochs: who may make blocks, and from which number on.

Every leader begins an epoch in the store before it takes a command, and its blocks carry it. An epoch begins after a
block that its leader holds; from there on blocks of an older epoch are refused, wherever they come from. So an epoch
and a number name one block at most, and two engines that were started by mistake cannot both be settled.
"""

from collections.abc import Sequence
from typing import NamedTuple

from matching.core.errors import MatchingError


class Superseded(MatchingError):
    """Another engine has begun a newer epoch: this one has to stop, and may follow the other."""


class Epoch(NamedTuple):
    number: int
    first_block: int
    prev_hash: int  # of the block before, 0 for block 1
    engine: str  # whose it is: a name that an engine keeps over restarts
    commands: str  # that engine's addresses
    blocks: str
    retransmission: str
    began_at_ns: int


def admits(epochs: Sequence[Epoch], epoch: int, block_number: int) -> bool:
    """Whether a block of `epoch` may have this number: it may not once a newer epoch has begun there or before."""
    return all(later.first_block > block_number for later in epochs if later.number > epoch)


def newest(epochs: Sequence[Epoch]) -> Epoch | None:
    """The epoch of whoever leads, None before the first leader."""
    return max(epochs, default=None)
