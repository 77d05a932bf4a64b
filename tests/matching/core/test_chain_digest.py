"""The SHA-256 chain over blocks."""

import hashlib

import pytest

from matching.core.chain_digest import BEFORE_FIRST_BLOCK
from matching.core.errors import HashMismatch
from settlement.receive.chain import stored
from tests.settlement.chains import worked_example

BLOCKS = worked_example().blocks


def test_the_digest_is_the_hash_of_the_digest_before_and_the_blocks_bytes() -> None:
    point, digest = BEFORE_FIRST_BLOCK, bytes(32)
    for block in BLOCKS:
        point, digest = point.after(block), hashlib.sha256(digest + block.data).digest()
        assert point == (block.number, block.hash, digest)


def test_a_stored_block_gives_the_same_digest() -> None:
    first = BLOCKS[0]
    assert BEFORE_FIRST_BLOCK.after(stored(first)) == BEFORE_FIRST_BLOCK.after(first)


@pytest.mark.parametrize("index", range(1, len(BLOCKS)))
def test_a_block_that_does_not_follow_is_refused(index: int) -> None:
    with pytest.raises(HashMismatch, match=f"Block {BLOCKS[index].number} follows hash"):
        BEFORE_FIRST_BLOCK.after(BLOCKS[index])
