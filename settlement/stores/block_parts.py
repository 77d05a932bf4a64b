"""Splits the bytes of a block into parts, so that a block of any size is stored in cells of limited size.

The block's own row has the first PART_BYTES. The rest is in rows of parts, numbered from 1, each with the number of
parts. A row whose data is not exactly PART_BYTES long is a complete block; older versions wrote longer rows.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from settlement.stores.base import StoredBlock

PART_BYTES = 1 << 20
"""Part of the stored format: it cannot be changed for existing tables."""


class Part(NamedTuple):
    number: int  # of the block
    part: int  # 1, 2, …
    parts: int  # the number of the last part
    data: bytes


def in_row(data: bytes) -> bytes:
    """The bytes that are stored in the block's own row."""
    return data[:PART_BYTES]


def parts_of(block: StoredBlock) -> Iterator[Part]:
    """The rows of the other parts, in order; none for a block that fits into its own row."""
    data = block.data
    last = max(0, (len(data) - 1) // PART_BYTES)
    for part in range(1, last + 1):
        yield Part(block.number, part, last, data[part * PART_BYTES : (part + 1) * PART_BYTES])


def may_have_parts(block: StoredBlock) -> bool:
    """Whether a block may have parts, given its own row."""
    return len(block.data) == PART_BYTES


def joined(block: StoredBlock, rest: Iterable[bytes]) -> StoredBlock:
    """The complete block. A missing part is detected when the block is decoded, because its header has its size."""
    return block._replace(data=b"".join((block.data, *rest)))
