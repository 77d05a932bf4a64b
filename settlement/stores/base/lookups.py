"""Lookups of rows, for pages, commands and checks."""

from collections.abc import Iterator
from datetime import date
from typing import Protocol

from settlement.stores.base.projections import Balance, Candle, LedgerEvent, Order, Trade, TradingDay


class LookupStore(Protocol):
    def get_trade_by_id(self, trade_id: int) -> Trade | None: ...

    def get_trades_by_sequence_range(self, first: int, last: int, limit: int, symbol: str | None = None) -> list[Trade]:
        """Oldest first; go on with first = last trade_id + 1."""

    def newest_trades(
        self, limit: int, *, before: int | None = None, after: int | None = None, symbol: str | None = None
    ) -> list[Trade]:
        """Newest first, trade_id < before and > after."""

    def get_trades_by_account(self, account: int, limit: int, before: int | None = None) -> list[Trade]:
        """Newest first, as buyer or seller."""

    def trading_day(self, day: date) -> TradingDay | None: ...

    def newest_orders(self, limit: int, *, before: int | None = None, symbol: str | None = None) -> list[Order]: ...

    def get_orders_by_account(self, account: int, limit: int, before: int | None = None) -> list[Order]: ...

    def get_orders_by_sequence_range(self, first: int, last: int, limit: int) -> list[Order]:
        """By order_id, oldest first; go on with first = last order_id + 1."""

    def open_orders(self) -> Iterator[Order]:
        """By order_id, read a few at a time."""

    def get_ledger_events(self, first_sequence: int, last_sequence: int) -> list[LedgerEvent]:
        """By (event_sequence, leg)."""

    def get_ledger_events_by_account(
        self, account: int, limit: int, *, asset: str | None = None, before: tuple[int, int] | None = None
    ) -> list[LedgerEvent]:
        """Newest first; `before` is (event_sequence, leg)."""

    def balances(self, after: tuple[int, str] | None = None, limit: int | None = None) -> Iterator[Balance]:
        """By (account, asset), read a few at a time."""

    def balances_of(self, account: int) -> list[Balance]: ...

    def candles(self, symbol: str, limit: int) -> list[Candle]:
        """The newest minutes, oldest first."""
