"""A block's bytes as stores keep them: a block of any size, in cells of a bounded size.

The block's row holds the first PART_BYTES. What is longer goes on in rows of parts, numbered from 1, each of which says
how many there are. So a row whose bytes are fewer than PART_BYTES, or more, as older versions wrote them, is whole.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from settlement.stores.base import StoredBlock

PART_BYTES = 1 << 20
"""Rows that are stored are read by it: another value needs other tables."""


class Part(NamedTuple):
    number: int  # of the block
    part: int  # 1, 2, …
    parts: int  # the block's last part
    data: bytes


def in_row(data: bytes) -> bytes:
    """What stands in the block's own row."""
    return data[:PART_BYTES]


def parts_of(block: StoredBlock) -> Iterator[Part]:
    """The rows that hold the rest, in order; none for a block that fits into its own row."""
    data = block.data
    last = max(0, (len(data) - 1) // PART_BYTES)
    for part in range(1, last + 1):
        yield Part(block.number, part, last, data[part * PART_BYTES : (part + 1) * PART_BYTES])


def may_go_on(block: StoredBlock) -> bool:
    """Whether there may be parts of a block whose own row this is."""
    return len(block.data) == PART_BYTES


def joined(block: StoredBlock, rest: Iterable[bytes]) -> StoredBlock:
    """The whole block. A part that is missing shows when the block is decoded: its header says its size."""
    return block._replace(data=b"".join((block.data, *rest)))
