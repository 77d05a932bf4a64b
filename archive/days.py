"""Which blocks of the store belong to which UTC day. Block times never decrease."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple

from settlement.errors import StoreDamaged
from settlement.stores.base import Store, StoredBlock
from settlement.stores.block_headers import header_of

_SECOND_NS = 10**9
MAX_DAYS = 36_500
"""The longest time for which days can be kept; subtracted from any block's day it gives a day."""


class DayOfBlocks(NamedTuple):
    """All blocks of a day."""

    day: date
    first: StoredBlock
    last: StoredBlock


def day_of(block: StoredBlock) -> date:
    return day_of_ns(block.timestamp_ns)


def day_of_ns(timestamp_ns: int) -> date:
    return datetime.fromtimestamp(timestamp_ns // _SECOND_NS, UTC).date()


def complete_days(store: Store, first: int) -> Iterator[DayOfBlocks]:
    """The days from block `first` on that are over: a block of a later day is projected.

    The clock is not asked, because blocks of yesterday may still be on their way. Raises StoreDamaged, StoreError.
    """
    projected = store.projected().block_number
    return (day for day in days_between(store, first, projected) if day.last.number < projected)


def days_between(store: Store, first: int, last: int) -> Iterator[DayOfBlocks]:
    """The days of blocks `first` to `last`. Raises StoreDamaged, StoreError."""
    while first <= last:
        begins = _block(store, first)
        end = _last_of_day(store, begins, last)
        yield DayOfBlocks(day_of(begins), begins, _block(store, end))
        first = end + 1


def _last_of_day(store: Store, begins: StoredBlock, projected: int) -> int:
    """The number of the last block, by halving the range: a day may have millions of blocks. Only headers are read."""
    day = day_of(begins)
    last, after = begins.number, projected + 1
    while last + 1 < after:
        middle = (last + after) // 2
        header = header_of(store, middle)
        if header is None:
            raise StoreDamaged(f"The store lacks block {middle}: run doctor.")
        if day_of(header) == day:
            last = middle
        else:
            after = middle
    return last


def _block(store: Store, number: int) -> StoredBlock:
    found = store.get_block(number)
    if found is None:
        raise StoreDamaged(f"The store lacks block {number}: run doctor.")
    return found
