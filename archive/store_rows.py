"""The rows of a day, read from the store in batches of limited size, in the order in which they are archived."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from archive.iceberg.schema import BLOCKS, CLOSED_ORDERS, LEDGER_EVENTS, TRADES, ArchiveTable, Partition, block_values
from matching.core.blocks import Block
from matching.core.codes import EventKind
from settlement.errors import StoreDamaged
from settlement.project.rebuilding import refuse_if_dropped
from settlement.stores.base import OPEN_STATUSES, LedgerEvent, Order, Store, StoredBlock, Trade

_BATCH_BLOCKS = 4096
_BATCH_BYTES = 4 << 20
_BATCH_EVENTS = 16_384
_PAGE = 4096

_OF_ORDERS = [
    int(kind)
    for kind in (
        EventKind.ORDER_ACCEPTED,
        EventKind.TRADE,
        EventKind.ORDER_CANCELLED,
        EventKind.ORDER_REPLACED,
        EventKind.ORDER_TRIGGERED,
    )
]

Progress = Callable[[int], object]
"""Called with the number of the newest block that was read."""


def batches_of(
    table: ArchiveTable, store: Store, partition: Partition, *, first: int, last: int, progress: Progress
) -> Iterator[pa.RecordBatch]:
    """The rows of blocks `first` to `last`. Raises NotReady if a rebuild drops them meanwhile; StoreError.

    StoreDamaged if the store lacks blocks or trades.
    """
    for blocks in block_batches(store, first, last):
        rows = _ROWS[table.name](store, blocks)
        refuse_if_dropped(store, last)
        progress(blocks[-1].number)
        for start in range(0, len(rows), _BATCH_EVENTS):
            yield table.batch(partition, rows[start : start + _BATCH_EVENTS])


def block_batches(store: Store, first: int, last: int) -> Iterator[list[StoredBlock]]:
    """Consecutive blocks of few events. A large one is a batch of its own. Raises StoreDamaged if one is missing."""
    batch: list[StoredBlock] = []
    size = events = 0
    expected = first
    for block in store.blocks(first, last):
        if block.number != expected:
            break
        expected += 1
        count = block.last_event_sequence - block.first_event_sequence + 1
        is_full = len(batch) == _BATCH_BLOCKS or size + len(block.data) > _BATCH_BYTES or events + count > _BATCH_EVENTS
        if batch and is_full:
            yield batch
            batch, size, events = [], 0, 0
        batch.append(block)
        size += len(block.data)
        events += count
    if batch:
        yield batch
    if expected <= last:
        raise StoreDamaged(f"The store lacks block {expected}: run doctor.")


def _blocks(store: Store, blocks: Sequence[StoredBlock]) -> list[tuple[Any, ...]]:
    return [block_values(block) for block in blocks]


def trades_of(store: Store, blocks: Sequence[StoredBlock]) -> list[Trade]:
    """Raises StoreDamaged if their number is not that of the blocks."""
    found: list[Trade] = []
    first, last = blocks[0].first_event_sequence, blocks[-1].last_event_sequence
    while page := store.get_trades_by_sequence_range(first, last, _PAGE):
        found += page
        first = page[-1].trade_id + 1
    expected = sum(block.trade_count for block in blocks)
    if len(found) != expected:
        raise StoreDamaged(
            f"Blocks {blocks[0].number} to {blocks[-1].number} have {expected} trades and the store {len(found)}: run "
            "verify_settlement."
        )
    return found


def ledger_events_of(store: Store, blocks: Sequence[StoredBlock]) -> list[LedgerEvent]:
    found: list[LedgerEvent] = []
    last = blocks[-1].last_event_sequence
    for first in range(blocks[0].first_event_sequence, last + 1, _BATCH_EVENTS):
        found += store.get_ledger_events(first, min(first + _BATCH_EVENTS - 1, last))
    return found


def closed_orders_of(store: Store, blocks: Sequence[StoredBlock]) -> list[Order]:
    """The orders that these blocks closed, by the event that did.

    The store cannot be asked for them, so their ids are taken from the events. A closed order never changes again.
    """
    first, last = blocks[0].first_event_sequence, blocks[-1].last_event_sequence
    found = store.get_orders(touched_orders(blocks))
    closed = (order for order in found if order.status not in OPEN_STATUSES and first <= order.updated_sequence <= last)
    return sorted(closed, key=lambda order: (order.updated_sequence, order.order_id))


def touched_orders(blocks: Sequence[StoredBlock]) -> list[int]:
    """The ids of the orders that these blocks place or change."""
    ids: set[int] = set()
    for block in blocks:
        events = Block.decode(block.data).events
        events = events[np.isin(events["kind"], _OF_ORDERS)]
        ids |= {*events["order_id"].tolist(), *events["other_order_id"].tolist()}
    return sorted(ids - {0})


_ROWS: dict[str, Callable[[Store, Sequence[StoredBlock]], Sequence[tuple[Any, ...]]]] = {
    BLOCKS.name: _blocks,
    TRADES.name: trades_of,
    LEDGER_EVENTS.name: ledger_events_of,
    CLOSED_ORDERS.name: closed_orders_of,
}
