"""Rows of the store that the archive does not have yet, read in chunks of blocks.

A block never changes, and neither do the rows that follow from it. So a chunk is kept under the numbers and hashes of
its first and last block, and a process that asks often reads only what is new. A query that ran out of time leaves what
it has read to the next one.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from analytics.tables import ARCHIVED, ORDERS
from archive.days import DayOfBlocks
from archive.iceberg.schema import Partition
from archive.store_rows import closed_orders_of
from matching.core.blocks import Block
from settlement.errors import StoreDamaged
from settlement.stores.base import Store, StoredBlock
from settlement.stores.block_headers import header_of

CHUNK_BLOCKS = 256
_PAGE = 4096
_LEDGER_EVENTS = 16_384

Tick = Callable[[], object]
"""Called between pages of rows; it raises QueryTooLarge when the query's time is over."""
Key = tuple[str, int, int, int, int]
"""Table; number and hash of the first and of the last block."""


class Chunk(NamedTuple):
    """Consecutive blocks of a day, of which only the headers count."""

    partition: Partition
    first: StoredBlock
    last: StoredBlock
    is_full: bool  # no block of the day will come between these

    def key(self, table: str) -> Key:
        return table, self.first.number, self.first.hash, self.last.number, self.last.hash


class ChunkCache:
    """Keeps the chunks that were used last, up to a size. Safe in several threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tables: OrderedDict[Key, pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> pa.Table | None:
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
            return self._tables.get(key)

    def put(self, key: Key, table: pa.Table) -> None:
        with self._lock:
            if key in self._tables:
                return
            self._tables[key] = table
            self._bytes += table.nbytes
            while self._bytes > self._max_bytes:
                _, dropped = self._tables.popitem(last=False)
                self._bytes -= dropped.nbytes


class Reading(NamedTuple):
    """What one query reads with. `rejected`: blocks whose rows the store lacks."""

    store: Store
    cache: ChunkCache
    rejected: frozenset[int]
    tick: Tick

    def chunks(self, day: DayOfBlocks, partition: Partition) -> Iterator[Chunk]:
        """The blocks of a day, cut where numbers are multiples of CHUNK_BLOCKS. Raises StoreDamaged, StoreError."""
        first = day.first
        while True:
            end = first.number // CHUNK_BLOCKS * CHUNK_BLOCKS + CHUNK_BLOCKS - 1
            if end >= day.last.number:
                yield Chunk(partition, first, day.last, is_full=end == day.last.number)
                return
            yield Chunk(partition, first, _header(self.store, end), is_full=True)
            first = _header(self.store, end + 1)

    def rows(self, table: str, chunk: Chunk) -> pa.Table:
        """The rows of a chunk. Raises StoreDamaged, StoreError."""
        key = chunk.key(table)
        found = self.cache.get(key)
        if found is None:
            found = self._read(table, chunk)
            if self._can_be_kept(chunk):
                self.cache.put(key, found)
        return found

    def _read(self, table: str, chunk: Chunk) -> pa.Table:
        archived = ARCHIVED[table]
        batches = []
        for rows in _ROWS[table](self.store, chunk):
            self.tick()
            if rows:
                batches.append(archived.batch(chunk.partition, rows))
        return pa.Table.from_batches(batches, archived.arrow_schema)

    def _can_be_kept(self, chunk: Chunk) -> bool:
        """Rows that a rebuild has dropped, or the store has rejected, come later."""
        has_all = not any(chunk.first.number <= number <= chunk.last.number for number in self.rejected)
        return chunk.is_full and has_all and self.store.projected().block_number >= chunk.last.number


def shard_of(block: StoredBlock) -> int:
    return Block.decode(block.data).shard


def _header(store: Store, number: int) -> StoredBlock:
    found = header_of(store, number)
    if found is None:
        raise StoreDamaged(f"The store lacks block {number}: run doctor.")
    return found


def _trades(store: Store, chunk: Chunk) -> Iterator[Sequence[Any]]:
    first, last = chunk.first.first_event_sequence, chunk.last.last_event_sequence
    while page := store.get_trades_by_sequence_range(first, last, _PAGE):
        yield page
        first = page[-1].trade_id + 1


def _ledger_events(store: Store, chunk: Chunk) -> Iterator[Sequence[Any]]:
    last = chunk.last.last_event_sequence
    for first in range(chunk.first.first_event_sequence, last + 1, _LEDGER_EVENTS):
        yield store.get_ledger_events(first, min(first + _LEDGER_EVENTS - 1, last))


def _closed_orders(store: Store, chunk: Chunk) -> Iterator[Sequence[Any]]:
    yield closed_orders_of(store, list(store.blocks(chunk.first.number, chunk.last.number)))


_ROWS: dict[str, Callable[[Store, Chunk], Iterator[Sequence[Any]]]] = {
    "trades": _trades,
    "ledger_events": _ledger_events,
    ORDERS: _closed_orders,
}
