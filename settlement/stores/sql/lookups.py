"""Lookups of the SQL store: blocks, trades, orders, ledger entries, balances and candles."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from heapq import merge
from itertools import count, islice
from typing import Any, TypeVar

from matching.core.hashes import hash_text, hash_value
from settlement.stores.base import (
    AccountSetting,
    Balance,
    Candle,
    LedgerEvent,
    Order,
    StoredBlock,
    Trade,
    TradingDay,
    Transfer,
)
from settlement.stores.base.columns import named
from settlement.stores.block_parts import joined, may_have_parts
from settlement.stores.sql import statements as sql
from settlement.stores.sql.session import Row, Session

T = TypeVar("T")

PAGE = 1000
"""Rows that an iterator holds at a time."""
BLOCK_PAGE = 16
"""Rows of blocks that an iterator holds at a time; each has up to 1 MiB."""

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1


class SqlLookups:
    """The reading half of `SqlStore`."""

    _session: Session

    # Blocks

    def get_block(self, number: int) -> StoredBlock | None:
        return (
            first_or_none(self._whole_blocks(self._session.rows(sql.GET_BLOCK, [number]))) if is_int64(number) else None
        )

    def blocks(self, first: int, last: int | None = None) -> Iterator[StoredBlock]:
        last = INT64_MAX if last is None else int64(last)
        while True:
            page = self._session.rows(sql.GET_BLOCKS, [int64(first), last, BLOCK_PAGE])
            yield from self._whole_blocks(page)
            if len(page) < BLOCK_PAGE:
                return
            first = page[-1][0] + 1

    def block_of_event(self, event_sequence: int) -> StoredBlock | None:
        if not is_int64(event_sequence):
            return None
        block = first_or_none(self._whole_blocks(self._session.rows(sql.GET_BLOCK_OF_EVENT, [event_sequence])))
        return block if block is not None and block.first_event_sequence <= event_sequence else None

    def blocks_of_hash(self, digest: int) -> list[StoredBlock]:
        return [_block((*row, b"")) for row in self._session.rows(sql.BLOCKS_OF_HASH, [hash_text(digest)])]

    def newest_blocks(self, limit: int, before: int | None = None) -> list[StoredBlock]:
        rows = self._session.rows(sql.NEWEST_BLOCKS, [upper_bound(before), limit])
        return [_block((*row, b"")) for row in rows]

    def _whole_blocks(self, rows: Iterable[Row]) -> Iterator[StoredBlock]:
        for block in map(_block, rows):
            yield joined(block, self._parts(block.number)) if may_have_parts(block) else block

    def _parts(self, number: int) -> Iterator[bytes]:
        """The bytes of the stored parts of a block."""
        for part in count(1):
            row = first_or_none(self._session.rows(sql.GET_BLOCK_PART, [number, part]))
            if row is None:
                return
            yield bytes(row[1])
            if part == row[0]:
                return

    # Trades

    def get_trade_by_id(self, trade_id: int) -> Trade | None:
        return first_or_none(self._trades(sql.GET_TRADE, [trade_id])) if is_int64(trade_id) else None

    def get_trades_by_sequence_range(self, first: int, last: int, limit: int, symbol: str | None = None) -> list[Trade]:
        span = [int64(first), int64(last), limit]
        if symbol is None:
            return self._trades(sql.TRADES_BY_RANGE, span)
        return self._trades(sql.SYMBOL_TRADES_BY_RANGE, [symbol, *span])

    def newest_trades(
        self, limit: int, *, before: int | None = None, after: int | None = None, symbol: str | None = None
    ) -> list[Trade]:
        span = [INT64_MIN if after is None else int64(after), upper_bound(before), limit]
        if symbol is None:
            return self._trades(sql.NEWEST_TRADES, span)
        return self._trades(sql.SYMBOL_NEWEST_TRADES, [symbol, *span])

    def get_trades_by_account(
        self, account: int, limit: int, before: int | None = None, *, symbol: str | None = None
    ) -> list[Trade]:
        if not is_int64(account):
            return []
        bought = self._symbols(sql.SYMBOLS_OF_BUYER, account, symbol)
        sold = self._symbols(sql.SYMBOLS_OF_SELLER, account, symbol)
        span = [upper_bound(before), limit]
        pages = [self._trades(sql.NEWEST_OF_BUYER, [account, name, *span]) for name in bought]
        pages += [_not_bought(account, self._trades(sql.NEWEST_OF_SELLER, [account, name, *span])) for name in sold]
        return list(islice(merge(*pages, key=lambda trade: trade.trade_id, reverse=True), limit))

    def get_trades_by_account_range(
        self, account: int, symbol: str, *, first: int, last: int, limit: int
    ) -> list[Trade]:
        if not is_int64(account):
            return []
        key = [account, symbol, int64(first), int64(last), limit]
        bought, sold = self._trades(sql.RANGE_OF_BUYER, key), self._trades(sql.RANGE_OF_SELLER, key)
        return list(islice(merge(bought, _not_bought(account, sold), key=lambda trade: trade.trade_id), limit))

    def _symbols(self, statement: str, account: int, symbol: str | None) -> list[str]:
        """`symbol` alone, or the symbols of the account's rows."""
        return [name for (name,) in self._session.rows(statement, [account, account])] if symbol is None else [symbol]

    def _trades(self, statement: str, parameters: Sequence[Any]) -> list[Trade]:
        return list(named(Trade, self._session.rows(statement, parameters)))

    def trading_day(self, day: date) -> TradingDay | None:
        rows = self._session.rows(sql.GET_TRADING_DAY, [day])
        return first_or_none(TradingDay(day, first, last) for _, first, last in rows)

    # Orders

    def newest_orders(self, limit: int, *, before: int | None = None, symbol: str | None = None) -> list[Order]:
        if symbol is None:
            return self._orders(sql.NEWEST_ORDERS, [upper_bound(before), limit])
        return self._orders(sql.SYMBOL_NEWEST_ORDERS, [symbol, upper_bound(before), limit])

    def get_orders_by_account(
        self, account: int, limit: int, before: int | None = None, *, symbol: str | None = None
    ) -> list[Order]:
        if not is_int64(account):
            return []
        symbols = self._symbols(sql.SYMBOLS_OF_ACCOUNT, account, symbol)
        span = [upper_bound(before), limit]
        pages = [self._orders(sql.NEWEST_OF_ACCOUNT, [account, name, *span]) for name in symbols]
        return list(islice(merge(*pages, key=lambda order: order.order_id, reverse=True), limit))

    def get_orders_by_account_range(
        self, account: int, symbol: str, *, first: int, last: int, limit: int
    ) -> list[Order]:
        if not is_int64(account):
            return []
        return self._orders(sql.RANGE_OF_ACCOUNT, [account, symbol, int64(first), int64(last), limit])

    def get_orders_by_client_order_id(self, account: int, client_order_id: str, limit: int) -> list[Order]:
        if not is_int64(account):
            return []
        return self._orders(sql.ORDERS_BY_CLIENT_ORDER_ID, [account, client_order_id, limit])

    def get_orders_by_sequence_range(self, first: int, last: int, limit: int) -> list[Order]:
        return self._orders(sql.ORDERS_BY_RANGE, [int64(first), int64(last), limit])

    def open_orders(self, after: int | None = None, limit: int | None = None) -> Iterator[Order]:
        last, left = INT64_MIN if after is None else int64(after), INT64_MAX if limit is None else limit
        while left > 0 and (page := self._orders(sql.OPEN_ORDERS, [last, min(PAGE, left)])):
            yield from page
            last, left = page[-1].order_id, left - len(page)

    def _orders(self, statement: str, parameters: Sequence[Any]) -> list[Order]:
        return list(named(Order, self._session.rows(statement, parameters)))

    # Ledger, balances, candles

    def get_ledger_events(self, first_sequence: int, last_sequence: int) -> list[LedgerEvent]:
        span = [int64(first_sequence << sql.LEG_BITS), int64(((last_sequence + 1) << sql.LEG_BITS) - 1)]
        return list(named(LedgerEvent, self._session.rows(sql.LEDGER_EVENTS, span)))

    def get_ledger_events_by_account(
        self, account: int, limit: int, *, asset: str | None = None, before: tuple[int, int] | None = None
    ) -> list[LedgerEvent]:
        if not is_int64(account):
            return []
        entry = INT64_MAX if before is None else int64((before[0] << sql.LEG_BITS) + before[1])
        assets = [balance.asset for balance in self.balances_of(account)] if asset is None else [asset]
        # Each page has the newest entries first, so merging the pages yields the newest of all.
        pages = [self._session.rows(sql.LEDGER_EVENTS_BY_ASSET, [account, name, entry, limit]) for name in assets]
        newest = merge(*pages, key=lambda row: row[0], reverse=True)
        return [_ledger_event(row) for row in islice(newest, limit)]

    def newest_ledger_events(self, account: int, before_event: int, *, asset: str | None = None) -> list[LedgerEvent]:
        if not is_int64(account):
            return []
        entry = int64(before_event << sql.LEG_BITS)
        assets = [balance.asset for balance in self.balances_of(account)] if asset is None else [asset]
        found = [self._session.rows(sql.LEDGER_EVENTS_BY_ASSET, [account, name, entry, 1]) for name in assets]
        return [_ledger_event(row) for rows in found for row in rows]

    def get_transfers_by_reference(self, account: int, reference: str) -> list[Transfer]:
        if not is_int64(account) or "\0" in reference:
            return []
        return [Transfer._make(row) for row in self._session.rows(sql.TRANSFERS_BY_REFERENCE, [account, reference])]

    def get_transfers_by_sequence_range(self, first: int, last: int) -> list[Transfer]:
        span = [int64(first), int64(last)]
        return [Transfer._make(row) for row in self._session.rows(sql.TRANSFERS_BY_RANGE, span)]

    def balances(self, after: tuple[int, str] | None = None, limit: int | None = None) -> Iterator[Balance]:
        left = INT64_MAX if limit is None else limit
        while left > 0:
            size = min(PAGE, left)
            if after is None:
                rows = self._session.rows(sql.FIRST_BALANCES, [size])
            else:
                rows = self._session.rows(sql.NEXT_BALANCES, [*after, size])
            yield from map(Balance._make, rows)
            if len(rows) < size:
                return
            left -= size
            after = (rows[-1][0], rows[-1][1])

    def balances_of(self, account: int) -> list[Balance]:
        if not is_int64(account):
            return []
        return [Balance._make(row) for row in self._session.rows(sql.BALANCES_OF, [account])]

    def account_settings(self) -> Iterator[AccountSetting]:
        page = self._session.rows(sql.FIRST_ACCOUNT_SETTINGS, [PAGE])
        while page:
            yield from map(AccountSetting._make, page)
            page = self._session.rows(sql.NEXT_ACCOUNT_SETTINGS, [*page[-1][:3], PAGE])

    def account_settings_of(self, account: int) -> list[AccountSetting]:
        if not is_int64(account):
            return []
        return [AccountSetting._make(row) for row in self._session.rows(sql.ACCOUNT_SETTINGS_OF, [account])]

    def candles(self, symbol: str, limit: int) -> list[Candle]:
        return [Candle._make(row) for row in reversed(self._session.rows(sql.NEWEST_CANDLES, [symbol, limit]))]

    def count_candles(self) -> int | None:
        return self._count(sql.COUNT_CANDLES)

    def count_trading_days(self) -> int | None:
        return self._count(sql.COUNT_TRADING_DAYS)

    def _count(self, statement: str) -> int:
        ((count,),) = self._session.rows(statement)
        return int(count)


def _block(row: Row) -> StoredBlock:
    return StoredBlock._make((row[0], hash_value(row[1]), hash_value(row[2]), *row[3:-1], bytes(row[-1])))


def _ledger_event(row: Row) -> LedgerEvent:
    entry, *rest = row
    return LedgerEvent(entry >> sql.LEG_BITS, entry & (1 << sql.LEG_BITS) - 1, *rest)


def _not_bought(account: int, sold: Sequence[Trade]) -> list[Trade]:
    """Without those that the account bought from itself, which are among its bought ones."""
    return [trade for trade in sold if trade.buyer != account]


def first_or_none(found: Iterable[T]) -> T | None:
    return next(iter(found), None)


def is_int64(value: int) -> bool:
    """Whether a bigint column can hold the number; drivers raise for others."""
    return INT64_MIN <= value <= INT64_MAX


def int64(value: int) -> int:
    """The value, limited to the range of a bigint column."""
    return max(INT64_MIN, min(INT64_MAX, value))


def upper_bound(before: int | None) -> int:
    return INT64_MAX if before is None else int64(before)
