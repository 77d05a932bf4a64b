"""A store of which old rows are released: its lookups find them in the archive, as if they had stayed.

The store is asked first, then the `released` checkpoint, then the archive if rows may be missing. In this order a
release that goes on meanwhile hides nothing: what it deletes after the first answer is in that answer, and what it
deleted before is up to the checkpoint. A row that both have is taken from the store. The archive is not opened before
a lookup needs it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from settlement.stores.base import (
    NOTHING_YET,
    Checkpoint,
    LedgerEvent,
    OlderRows,
    Order,
    Store,
    StoredBlock,
    StoreMisconfigured,
    StoreUninitialized,
    Trade,
)
from settlement.stores.continuity import refuse_other_anchor

OpenOlderRows = Callable[[StoredBlock], OlderRows]
"""Opens the rows up to this block, the last released one. Raises StoreUnavailable, StoreMisconfigured."""

T = TypeVar("T")

_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1


class _Released(NamedTuple):
    checkpoint: Checkpoint
    anchor: StoredBlock  # the last released block
    rows: OlderRows

    @property
    def event(self) -> int:
        return self.anchor.last_event_sequence

    @property
    def command(self) -> int:
        return self.anchor.last_command_sequence


_registered: list[OpenOlderRows] = []


def read_by(open_older: OpenOlderRows) -> None:
    """For the archive, which is above this package: how the stores of this process read released rows."""
    _registered[:] = [open_older]


def reading_released(store: Store, open_older: OpenOlderRows | None = None) -> Store:
    """`store`, with lookups that also find released rows. `open_older` None: the one that `read_by` was given."""
    return cast(Store, _WithReleasedRows(store, open_older or _open_registered))


def _open_registered(anchor: StoredBlock) -> OlderRows:
    if not _registered:
        raise StoreMisconfigured(f"Blocks up to {anchor.number} are released, and this process has no archive to read.")
    return _registered[0](anchor)


class _WithReleasedRows:
    """Methods that are not here are those of the store: it keeps all that they read and write."""

    def __init__(self, store: Store, open_older: OpenOlderRows) -> None:
        self._store = store
        self._open_older = open_older
        self._opened: _Released | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _released(self) -> _Released | None:
        """None if nothing is released. Raises StoreUnavailable, StoreReplaced."""
        try:
            checkpoint = self._store.released()
        except StoreUninitialized:
            return None  # the lookup itself tells what is missing, if it needs it
        if checkpoint == NOTHING_YET:
            return None
        opened = self._opened
        if opened is None or opened.checkpoint != checkpoint:
            anchor = self._store.get_block(checkpoint.block_number)
            refuse_other_anchor(checkpoint, anchor and anchor.hash)
            assert anchor is not None, "refused"
            opened = self._opened = _Released(checkpoint, anchor, self._open_older(anchor))
        return opened

    # blocks

    def get_block(self, number: int) -> StoredBlock | None:
        found = self._store.get_block(number)
        if found is not None or number < 1 or not (released := self._released()) or number > released.anchor.number:
            return found
        return next(released.rows.blocks(number, number), None)

    def blocks(self, first: int, last: int | None = None) -> Iterator[StoredBlock]:
        end = _HIGHEST if last is None else last
        while True:
            released = self._released()
            if released is not None and first < released.anchor.number:
                yield from released.rows.blocks(first, min(end, released.anchor.number - 1))
                first = released.anchor.number
            for block in self._store.blocks(first, end):
                if block.number > first and _is_released_since(released, self._released()):
                    break
                yield block
                first = block.number + 1
            if first > end or not _is_released_since(released, self._released()):
                return

    def block_of_event(self, event_sequence: int) -> StoredBlock | None:
        found = self._store.block_of_event(event_sequence)
        if found is not None or not (released := self._released()) or not 1 <= event_sequence <= released.event:
            return found
        return released.rows.block_of_event(event_sequence)

    def newest_blocks(self, limit: int, before: int | None = None) -> list[StoredBlock]:
        found = self._store.newest_blocks(limit, before)
        if len(found) == limit or not (released := self._released()):
            return found
        last = min(released.anchor.number, _last_before(before))
        return _newest(found, released.rows.newest_blocks(limit, last), _number, limit)

    # trades

    def get_trade_by_id(self, trade_id: int) -> Trade | None:
        found = self._store.get_trade_by_id(trade_id)
        if found is not None or not (released := self._released()) or not 1 <= trade_id <= released.event:
            return found
        return next(iter(released.rows.trades(trade_id, trade_id, 1, None)), None)

    def get_trades_by_sequence_range(self, first: int, last: int, limit: int, symbol: str | None = None) -> list[Trade]:
        found = self._store.get_trades_by_sequence_range(first, last, limit, symbol)
        if not (released := self._released()) or first > released.event:
            return found
        older = released.rows.trades(first, min(last, released.event), limit, symbol)
        return _oldest(found, older, _trade_id, limit)

    def newest_trades(
        self, limit: int, *, before: int | None = None, after: int | None = None, symbol: str | None = None
    ) -> list[Trade]:
        found = self._store.newest_trades(limit, before=before, after=after, symbol=symbol)
        # The oldest rows are deleted first, so a full page of the newest ones is complete.
        if len(found) == limit or not (released := self._released()):
            return found
        first = _LOWEST if after is None else after + 1
        older = released.rows.newest_trades(first, min(_last_before(before), released.event), limit, symbol)
        return _newest(found, older, _trade_id, limit)

    def get_trades_by_account(
        self, account: int, limit: int, before: int | None = None, *, symbol: str | None = None
    ) -> list[Trade]:
        found = self._store.get_trades_by_account(account, limit, before, symbol=symbol)
        if len(found) == limit or not (released := self._released()):
            return found
        last = min(_last_before(before), released.event)
        older = released.rows.trades_of(account, symbol, first=_LOWEST, last=last, limit=limit, is_newest_first=True)
        return _newest(found, older, _trade_id, limit)

    def get_trades_by_account_range(
        self, account: int, symbol: str, *, first: int, last: int, limit: int
    ) -> list[Trade]:
        found = self._store.get_trades_by_account_range(account, symbol, first=first, last=last, limit=limit)
        if not (released := self._released()) or first > released.event:
            return found
        last = min(last, released.event)
        older = released.rows.trades_of(account, symbol, first=first, last=last, limit=limit, is_newest_first=False)
        return _oldest(found, older, _trade_id, limit)

    # orders: released ones are closed, and between them are some that stayed

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        found = self._store.get_orders(order_ids)
        known = {order.order_id for order in found}
        if len(known) == len(order_ids) or not (released := self._released()):
            return found
        missing = [number for number in set(order_ids) - known if 1 <= number <= released.command]
        return [*found, *released.rows.get_orders(missing)] if missing else found

    def newest_orders(self, limit: int, *, before: int | None = None, symbol: str | None = None) -> list[Order]:
        found = self._store.newest_orders(limit, before=before, symbol=symbol)
        if not (released := self._released()) or _is_newer(found, limit, released):
            return found
        older = released.rows.newest_orders(min(_last_before(before), released.command), limit, symbol)
        return _newest(found, older, _order_id, limit)

    def get_orders_by_account(
        self, account: int, limit: int, before: int | None = None, *, symbol: str | None = None
    ) -> list[Order]:
        found = self._store.get_orders_by_account(account, limit, before, symbol=symbol)
        if not (released := self._released()) or _is_newer(found, limit, released):
            return found
        last = min(_last_before(before), released.command)
        older = released.rows.orders_of(account, symbol, first=_LOWEST, last=last, limit=limit, is_newest_first=True)
        return _newest(found, older, _order_id, limit)

    def get_orders_by_account_range(
        self, account: int, symbol: str, *, first: int, last: int, limit: int
    ) -> list[Order]:
        found = self._store.get_orders_by_account_range(account, symbol, first=first, last=last, limit=limit)
        if not (released := self._released()) or first > released.command:
            return found
        last = min(last, released.command)
        older = released.rows.orders_of(account, symbol, first=first, last=last, limit=limit, is_newest_first=False)
        return _oldest(found, older, _order_id, limit)

    def get_orders_by_client_order_id(self, account: int, client_order_id: str, limit: int) -> list[Order]:
        found = self._store.get_orders_by_client_order_id(account, client_order_id, limit)
        if not (released := self._released()) or _is_newer(found, limit, released):
            return found
        older = released.rows.orders_by_client_order_id(account, client_order_id, limit)
        return _newest(found, older, _order_id, limit)

    def get_orders_by_sequence_range(self, first: int, last: int, limit: int) -> list[Order]:
        found = self._store.get_orders_by_sequence_range(first, last, limit)
        if not (released := self._released()) or first > released.command:
            return found
        return _oldest(found, released.rows.orders(first, min(last, released.command), limit), _order_id, limit)

    # ledger events

    def get_ledger_events(self, first_sequence: int, last_sequence: int) -> list[LedgerEvent]:
        found = self._store.get_ledger_events(first_sequence, last_sequence)
        if not (released := self._released()) or first_sequence > released.event:
            return found
        older = released.rows.ledger_events(first_sequence, min(last_sequence, released.event))
        return _oldest(found, older, _entry, None)

    def get_ledger_events_by_account(
        self, account: int, limit: int, *, asset: str | None = None, before: tuple[int, int] | None = None
    ) -> list[LedgerEvent]:
        found = self._store.get_ledger_events_by_account(account, limit, asset=asset, before=before)
        if len(found) == limit or not (released := self._released()):
            return found
        older = released.rows.ledger_events_of(account, asset, limit, before or (_HIGHEST, 0))
        return _newest(found, older, _entry, limit)

    def newest_ledger_events(self, account: int, before_event: int, *, asset: str | None = None) -> list[LedgerEvent]:
        found = self._store.newest_ledger_events(account, before_event, asset=asset)
        if not (released := self._released()):
            return found
        assets = {balance.asset for balance in self._store.balances_of(account)} if asset is None else {asset}
        missing = assets - {entry.asset for entry in found}
        before = before_event, 0
        older = [entry for name in missing for entry in released.rows.ledger_events_of(account, name, 1, before)]
        return sorted([*found, *older], key=lambda entry: entry.asset)


def _is_released_since(known: _Released | None, now: _Released | None) -> bool:
    return now is not None and (known is None or known.checkpoint != now.checkpoint)


def _is_newer(found: Sequence[Order], limit: int, released: _Released) -> bool:
    """Whether a page of the newest orders is full without released ones."""
    return len(found) == limit and (not found or found[-1].order_id > released.command)


def _last_before(before: int | None) -> int:
    return _HIGHEST if before is None else before - 1


def _newest(found: Iterable[T], older: Iterable[T], key: Callable[[T], Any], limit: int) -> list[T]:
    merged = _merged(found, older, key)
    return [merged[place] for place in sorted(merged, reverse=True)[:limit]]


def _oldest(found: Iterable[T], older: Iterable[T], key: Callable[[T], Any], limit: int | None) -> list[T]:
    merged = _merged(found, older, key)
    return [merged[place] for place in sorted(merged)[:limit]]


def _merged(found: Iterable[T], older: Iterable[T], key: Callable[[T], Any]) -> dict[Any, T]:
    return {key(row): row for row in older} | {key(row): row for row in found}


def _number(block: StoredBlock) -> int:
    return block.number


def _trade_id(trade: Trade) -> int:
    return trade.trade_id


def _order_id(order: Order) -> int:
    return order.order_id


def _entry(event: LedgerEvent) -> tuple[int, int]:
    return event.event_sequence, event.leg
