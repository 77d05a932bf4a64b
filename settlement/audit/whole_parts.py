"""Compares what blocks wrote with the store as whole columns, beside the thread that executes the next blocks."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from matching.core.blocks import Block
from settlement.stores.base import OPEN_STATUSES, WHOLE, Projection, Store
from settlement.stores.base.columns import ColumnTable

R = TypeVar("R", bound=NamedTuple)

_MIN_INT64 = -(1 << 63)


class Equal(NamedTuple):
    """Which rows of a part the store has exactly. False: not known, so the rows must be read."""

    trades: bool
    ledger_events: bool
    placed_orders: bool  # closed ones, and that there are no others
    older_orders: bool  # closed ones that earlier blocks placed


@dataclass(frozen=True)
class Part:
    """What consecutive blocks, or a slice of one block, wrote."""

    first_block: Block
    last_command: int
    last_event: int
    projection: Projection
    lines: Sequence[tuple[slice, bytes]]  # of the CSV trail, by day

    @property
    def is_last_slice(self) -> bool:
        return not self.projection.slice.through

    @property
    def begins(self) -> int:
        """The first event."""
        after = self.projection.slice.after
        return after + 1 if after else self.first_block.first_event_sequence

    @property
    def events(self) -> tuple[int, int]:
        """First and last event. Rows before event 1 are wrong, so the first range begins before it."""
        return _MIN_INT64 if self.begins == 1 else self.begins, self.last_event

    @property
    def commands(self) -> tuple[int, int]:
        """First and last command of the blocks, as `events`."""
        first = _MIN_INT64 if self.first_block.number == 1 else self.first_block.first_command_sequence
        return first, self.last_command


def begin(part: Part, store: Store, thread: Executor | None) -> Callable[[], Equal]:
    """Starts the comparison; returns what waits for its result. Raises StoreError, which also the latter does.

    `thread`: of one thread, whose connection sees the same rows; None: compares before it returns.
    """
    if thread is not None:
        return thread.submit(_compare, part, store).result
    equal = _compare(part, store)
    return lambda: equal


def _compare(part: Part, store: Store) -> Equal:
    projection = part.projection
    trades, ledger_events = _columns(projection.trades), _columns(projection.ledger_events)
    placed, older = _compare_orders(part, store) if projection.slice == WHOLE else (False, False)
    return Equal(store.has_exactly(trades, *part.events), store.has_exactly(ledger_events, *part.events), placed, older)


def _compare_orders(part: Part, store: Store) -> tuple[bool, bool]:
    """Open orders are left aside, because later blocks may change them."""
    orders = _columns(part.projection.orders)
    ids, statuses = orders.column("order_id").array, orders.column("status")
    is_open = np.array([text in OPEN_STATUSES for text in statuses.texts])[statuses.codes]
    is_placed = ids >= part.first_block.first_command_sequence
    closed = orders.at(np.flatnonzero(is_placed & ~is_open))
    older = orders.at(np.flatnonzero(~is_placed & ~is_open))
    has_placed = store.has_exactly(closed, *part.commands, besides=ids[is_placed & is_open].tolist())
    return has_placed, not len(older) or store.has_orders(older)


def _columns(rows: Sequence[Any]) -> ColumnTable[Any]:
    assert isinstance(rows, ColumnTable), "as a projector makes them"
    return rows
