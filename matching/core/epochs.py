"""Epochs: which engine may make blocks, and from which block number on.

Each leader records a new epoch in the store before it takes commands, and its blocks carry the epoch's number. An epoch
begins after the newest block that its leader holds; from there on, blocks of older epochs are refused. So epoch and
block number identify at most one block, and two leaders that run by mistake cannot both be settled.
"""

from collections.abc import Sequence
from typing import NamedTuple

from matching.core.errors import MatchingError


class Superseded(MatchingError):
    """Another engine has begun a newer epoch: this engine must stop, and may be started again as its follower."""


class Epoch(NamedTuple):
    number: int
    first_block: int
    prev_hash: int  # hash of the block before first_block, 0 for block 1
    engine: str  # name of the engine; it keeps the name over restarts
    commands: str  # addresses of that engine
    blocks: str
    retransmission: str
    began_at_ns: int


def admits(epochs: Sequence[Epoch], epoch: int, block_number: int) -> bool:
    """Whether a block of `epoch` may have this number: no newer epoch begins at or before it."""
    return all(later.first_block > block_number for later in epochs if later.number > epoch)


def newest(epochs: Sequence[Epoch]) -> Epoch | None:
    """The epoch of the current leader, None before the first one."""
    return max(epochs, default=None)
