"""The chain digest: a SHA-256 chain over the bytes of all blocks, beside their xxh3_64 hashes.

    digest(0) = 32 zero bytes
    digest(n) = SHA-256(digest(n - 1) followed by the bytes of block n)

xxh3_64 finds errors, but somebody who can write to the store can compute it anew, or find other bytes with the same
hash. Signed checkpoints contain it; it is in no block and in no state.
"""

import hashlib
from typing import NamedTuple, Protocol

from matching.core.errors import HashMismatch
from matching.core.hashes import hash_text


class ChainedBlock(Protocol):
    """What the chain digest needs of a block, in memory or in a store."""

    @property
    def number(self) -> int: ...
    @property
    def hash(self) -> int: ...
    @property
    def prev_hash(self) -> int: ...
    @property
    def data(self) -> bytes: ...


class ChainPoint(NamedTuple):
    """The chain up to and including one block."""

    block_number: int
    state_hash: int
    """The block's hash."""
    digest: bytes

    def after(self, block: ChainedBlock) -> "ChainPoint":
        """The point after the next block. Raises HashMismatch if `block` does not continue the chain."""
        if (block.number, block.prev_hash) != (self.block_number + 1, self.state_hash):
            raise HashMismatch(
                f"Block {block.number} follows hash {hash_text(block.prev_hash)}, but block {self.block_number} of the "
                f"chain has hash {hash_text(self.state_hash)}."
            )
        hasher = hashlib.sha256(self.digest)
        hasher.update(block.data)
        return ChainPoint(block.number, block.hash, hasher.digest())


BEFORE_FIRST_BLOCK = ChainPoint(0, 0, bytes(32))
