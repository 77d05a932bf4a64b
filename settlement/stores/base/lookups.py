"""Reads of single rows and pages, for the back office, commands and checks."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Protocol

from settlement.stores.base.projections import (
    AccountSetting,
    Balance,
    Candle,
    LedgerEvent,
    Order,
    Trade,
    TradingDay,
    Transfer,
)


class LookupStore(Protocol):
    def get_trade_by_id(self, trade_id: int) -> Trade | None: ...

    def get_trades_by_sequence_range(self, first: int, last: int, limit: int, symbol: str | None = None) -> list[Trade]:
        """Oldest first; the next page begins at the last trade_id + 1."""

    def newest_trades(
        self, limit: int, *, before: int | None = None, after: int | None = None, symbol: str | None = None
    ) -> list[Trade]:
        """Newest first; `after` < trade_id < `before`."""

    def get_trades_by_account(
        self, account: int, limit: int, before: int | None = None, *, symbol: str | None = None
    ) -> list[Trade]:
        """Newest first, as buyer or seller."""

    def get_trades_by_account_range(
        self, account: int, symbol: str, *, first: int, last: int, limit: int
    ) -> list[Trade]:
        """Oldest first, as buyer or seller; the next page begins at the last trade_id + 1."""

    def trading_day(self, day: date) -> TradingDay | None: ...

    def newest_orders(self, limit: int, *, before: int | None = None, symbol: str | None = None) -> list[Order]: ...

    def get_orders_by_account(
        self, account: int, limit: int, before: int | None = None, *, symbol: str | None = None
    ) -> list[Order]:
        """Newest first."""

    def get_orders_by_account_range(
        self, account: int, symbol: str, *, first: int, last: int, limit: int
    ) -> list[Order]:
        """Oldest first; the next page begins at the last order_id + 1."""

    def get_orders_by_client_order_id(self, account: int, client_order_id: str, limit: int) -> list[Order]:
        """Newest first, closed ones too: an account can use an id again when its order is closed."""

    def get_orders_by_sequence_range(self, first: int, last: int, limit: int) -> list[Order]:
        """Ordered by order_id, oldest first; the next page begins at the last order_id + 1."""

    def open_orders(self, after: int | None = None, limit: int | None = None) -> Iterator[Order]:
        """Yields the open orders, waiting ones too, in order of order_id, reading a few at a time.

        `after`: the last order_id of the page before.
        """

    def get_ledger_events(self, first_sequence: int, last_sequence: int) -> list[LedgerEvent]:
        """Ordered by (event_sequence, leg)."""

    def get_ledger_events_by_account(
        self, account: int, limit: int, *, asset: str | None = None, before: tuple[int, int] | None = None
    ) -> list[LedgerEvent]:
        """Newest first; `before` is (event_sequence, leg)."""

    def newest_ledger_events(self, account: int, before_event: int, *, asset: str | None = None) -> list[LedgerEvent]:
        """The newest entry of each asset before this event, ordered by asset; `asset`: of this one only.

        Assets without an earlier entry are left out.
        """

    def get_transfers_by_reference(self, account: int, reference: str) -> list[Transfer]:
        """Newest first: at most a deposit and a withdrawal."""

    def get_transfers(self, event_sequences: Sequence[int]) -> list[Transfer]:
        """Those of these events, in any order."""

    def get_transfers_by_sequence_range(self, first: int, last: int) -> list[Transfer]:
        """Oldest first."""

    def balances(self, after: tuple[int, str] | None = None, limit: int | None = None) -> Iterator[Balance]:
        """Yields balances in order of (account, asset), reading a few at a time."""

    def balances_of(self, account: int) -> list[Balance]: ...

    def account_settings(self) -> Iterator[AccountSetting]:
        """Yields those of all accounts in order of (account, kind, symbol), reading a few at a time."""

    def account_settings_of(self, account: int) -> list[AccountSetting]: ...

    def candles(self, symbol: str, limit: int) -> list[Candle]:
        """The newest `limit` minutes, oldest of them first."""
