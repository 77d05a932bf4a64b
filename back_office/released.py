"""Whether rows on a page come from the archive, because their day is released from the store."""

from collections.abc import Iterable

from settlement.stores.base import OPEN_STATUSES, LedgerEvent, Order, Store, Trade


def last_event(store: Store) -> int:
    """The last event whose rows are released; 0: none are."""
    number = store.released().block_number
    anchor = store.get_block(number) if number else None
    return anchor.last_event_sequence if anchor else 0


def are_trades(store: Store, trades: Iterable[Trade]) -> bool:
    """Whether some of these trades come from the archive."""
    oldest = min((trade.trade_id for trade in trades), default=None)
    return oldest is not None and oldest <= last_event(store)


def are_orders(store: Store, orders: Iterable[Order]) -> bool:
    """Whether some of these orders come from the archive: only closed ones do."""
    closed = [order.updated_sequence for order in orders if order.status not in OPEN_STATUSES]
    return bool(closed) and min(closed) <= last_event(store)


def are_entries(store: Store, entries: Iterable[LedgerEvent]) -> bool:
    """Whether some of these ledger entries come from the archive."""
    oldest = min((entry.event_sequence for entry in entries), default=None)
    return oldest is not None and oldest <= last_event(store)


def is_block(store: Store, number: int) -> bool:
    """Whether this block comes from the archive. The last released one is also in the store."""
    return number < store.released().block_number
