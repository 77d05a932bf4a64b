"""The lookups of the ScyllaDB store, as the contract names them."""

from collections.abc import Iterator, Sequence
from datetime import date

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
from settlement.stores.scylla.keys import INT64_MIN, before_key, int64
from settlement.stores.scylla.read.accounts import Accounts
from settlement.stores.scylla.read.lookups import Blocks, Candles, Orders, Trades


class StoreLookups:
    """The reading half of `ScyllaStore`."""

    _blocks: Blocks
    _trades: Trades
    _orders: Orders
    _accounts: Accounts
    _candles: Candles

    def get_block(self, number: int) -> StoredBlock | None:
        return self._blocks.get(number)

    def blocks(self, first: int, last: int | None = None) -> Iterator[StoredBlock]:
        return self._blocks.between(first, last)

    def block_of_event(self, event_sequence: int) -> StoredBlock | None:
        return self._blocks.of_event(event_sequence)

    def blocks_of_hash(self, digest: int) -> list[StoredBlock]:
        return self._blocks.of_hash(digest)

    def newest_blocks(self, limit: int, before: int | None = None) -> list[StoredBlock]:
        return self._blocks.newest(limit, before)

    def get_trade_by_id(self, trade_id: int) -> Trade | None:
        return next(iter(self._trades.get([trade_id])), None)

    def get_trades_by_sequence_range(self, first: int, last: int, limit: int, symbol: str | None = None) -> list[Trade]:
        return self._trades.between(first, last, limit, symbol)

    def newest_trades(
        self, limit: int, *, before: int | None = None, after: int | None = None, symbol: str | None = None
    ) -> list[Trade]:
        return self._trades.newest(limit, before=before, after=after, symbol=symbol)

    def get_trades_by_account(
        self, account: int, limit: int, before: int | None = None, *, symbol: str | None = None
    ) -> list[Trade]:
        last = before_key(before) - 1
        return self._accounts.trades.find(account, symbol, first=INT64_MIN, last=last, limit=limit, is_descending=True)

    def get_trades_by_account_range(
        self, account: int, symbol: str, *, first: int, last: int, limit: int
    ) -> list[Trade]:
        first, last = int64(first), int64(last)
        return self._accounts.trades.find(account, symbol, first=first, last=last, limit=limit, is_descending=False)

    def trading_day(self, day: date) -> TradingDay | None:
        return self._trades.day(day)

    def newest_orders(self, limit: int, *, before: int | None = None, symbol: str | None = None) -> list[Order]:
        return self._orders.newest(limit, before, symbol)

    def get_orders_by_account(
        self, account: int, limit: int, before: int | None = None, *, symbol: str | None = None
    ) -> list[Order]:
        last = before_key(before) - 1
        return self._accounts.orders.find(account, symbol, first=INT64_MIN, last=last, limit=limit, is_descending=True)

    def get_orders_by_account_range(
        self, account: int, symbol: str, *, first: int, last: int, limit: int
    ) -> list[Order]:
        first, last = int64(first), int64(last)
        return self._accounts.orders.find(account, symbol, first=first, last=last, limit=limit, is_descending=False)

    def get_orders_by_client_order_id(self, account: int, client_order_id: str, limit: int) -> list[Order]:
        return self._accounts.orders_of_client_order_id(account, client_order_id, limit)

    def get_orders_by_sequence_range(self, first: int, last: int, limit: int) -> list[Order]:
        return self._orders.between(first, last, limit)

    def open_orders(self, after: int | None = None, limit: int | None = None) -> Iterator[Order]:
        return self._orders.open(after, limit)

    def get_ledger_events(self, first_sequence: int, last_sequence: int) -> list[LedgerEvent]:
        return self._accounts.ledger_between(first_sequence, last_sequence)

    def get_transfers_by_reference(self, account: int, reference: str) -> list[Transfer]:
        return self._accounts.transfers_of_reference(account, reference)

    def get_transfers(self, event_sequences: Sequence[int]) -> list[Transfer]:
        return self._accounts.transfers(event_sequences)

    def get_transfers_by_sequence_range(self, first: int, last: int) -> list[Transfer]:
        return self._accounts.transfers_between(first, last)

    def get_ledger_events_by_account(
        self, account: int, limit: int, *, asset: str | None = None, before: tuple[int, int] | None = None
    ) -> list[LedgerEvent]:
        return self._accounts.ledger(account, limit, asset, before)

    def newest_ledger_events(self, account: int, before_event: int, *, asset: str | None = None) -> list[LedgerEvent]:
        return self._accounts.newest_entries(account, asset, before_event)

    def balances(self, after: tuple[int, str] | None = None, limit: int | None = None) -> Iterator[Balance]:
        return self._accounts.balances(after, limit)

    def balances_of(self, account: int) -> list[Balance]:
        return self._accounts.balances_of(account)

    def account_settings(self) -> Iterator[AccountSetting]:
        return self._accounts.settings()

    def account_settings_of(self, account: int) -> list[AccountSetting]:
        return self._accounts.settings_of(account)

    def candles(self, symbol: str, limit: int) -> list[Candle]:
        return self._candles.newest(symbol, limit)
