"""Lookups by account: its trades, orders, ledger entries and balances; and the ledger by sequence."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from settlement.stores.base import AccountSetting, Balance, LedgerEvent, Order, Trade, Transfer
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.connection.session import PAGE, Row, Session
from settlement.stores.scylla.index import ACCOUNTS, LEDGER, ORDERS, TRADES, Index, orders_of, trades_of
from settlement.stores.scylla.keys import (
    ACCOUNTS_PER_BUCKET,
    BUCKET_SIZE,
    INT64_MAX,
    INT64_MIN,
    PART_SIZE,
    balance_buckets,
    int64,
    is_int64,
)
from settlement.stores.scylla.read.account_rows import AccountRows, Kind
from settlement.stores.scylla.read.lookups import gather

_NO_LIMIT = (1 << 31) - 1
_MIN_ENTRIES = 8
"""Minimum number of ledger entries of one asset to request at a time."""


class _Bucket(NamedTuple):
    """The ledger entries of a complete bucket, to which no batch adds any more."""

    number: int
    events: list[LedgerEvent]


class Accounts:
    def __init__(
        self,
        session: Session,
        shard: int,
        index: Index,
        *,
        get_trades: Callable[[Iterable[int]], list[Trade]],
        get_orders: Callable[[Iterable[int]], list[Order]],
        last_event: Callable[[], int],
    ) -> None:
        """`get_trades` and `get_orders` return the existing rows of ids, `last_event` the newest projected event."""
        self._session = session
        self._shard = shard
        self._index = index
        self._get_orders = get_orders
        self.trades = AccountRows(
            session,
            shard,
            index,
            Kind(TRADES, cql.NEWEST_ACCOUNT_TRADES, cql.OLDEST_ACCOUNT_TRADES, trades_of, "trade_id", get_trades),
        )
        self.orders = AccountRows(
            session,
            shard,
            index,
            Kind(ORDERS, cql.NEWEST_ACCOUNT_ORDERS, cql.OLDEST_ACCOUNT_ORDERS, orders_of, "order_id", get_orders),
        )
        self._last_event = last_event
        self._cached: _Bucket | None = None

    def forget(self) -> None:
        self._cached = None

    # Trades and orders

    def orders_of_client_order_id(self, account: int, client_order_id: str, limit: int) -> list[Order]:
        if not is_int64(account):
            return []
        ids = self._ids_of_client_order_id(account, client_order_id)
        found: list[Order] = []
        while len(found) < limit and (page := list(islice(ids, limit))):
            # An id without such an order is of a reset, or the order has another name now.
            orders = [order for order in self._get_orders(page) if order.client_order_id == client_order_id]
            found += sorted(orders, key=lambda order: order.order_id, reverse=True)
        return found[:limit]

    def _ids_of_client_order_id(self, account: int, client_order_id: str) -> Iterator[int]:
        """Newest first."""
        parts = self._index.parts_of(account, ORDERS, first=INT64_MIN, last=INT64_MAX)
        ahead = 1
        while group := list(islice(parts, ahead)):
            keys = [(self._shard, account, *place, client_order_id, _NO_LIMIT) for place in group]
            for rows in self._session.many(cql.ORDERS_OF_CLIENT_ORDER_ID, keys):
                yield from (order_id for (order_id,) in rows)
            ahead = min(4 * ahead, self._session.access.in_flight)

    # Ledger

    def ledger(self, account: int, limit: int, asset: str | None, before: tuple[int, int] | None) -> list[LedgerEvent]:
        if not is_int64(account):
            return []
        sequence, leg = int64(before[0]) if before else INT64_MAX, before[1] if before else 0
        names = self._assets(account, asset)
        # With many assets each has few of the newest entries, so the rows read depend on the page, not on the assets.
        page_rows = max(limit // max(len(names), 1), min(limit, _MIN_ENTRIES))
        assets = self._first_pages(account, names, before=(sequence, leg), page_rows=page_rows)
        # Each iterator yields the newest first, so merging them yields the newest of all.
        pages = [self._entries(one) for one in assets]
        return list(islice(merge(*pages, key=lambda event: event[:2], reverse=True), limit))

    def newest_entries(self, account: int, asset: str | None, before_event: int) -> list[LedgerEvent]:
        if not is_int64(account):
            return []
        names = self._assets(account, asset)
        pages = self._first_pages(account, names, before=(int64(before_event), 0), page_rows=1)
        return [LedgerEvent._make(row) for page in pages for row in page.rows]

    def _assets(self, account: int, asset: str | None) -> list[str]:
        """`asset` alone, or all of the account, in order."""
        return [balance.asset for balance in self.balances_of(account)] if asset is None else [asset]

    def _first_pages(
        self, account: int, names: Sequence[str], *, before: tuple[int, int], page_rows: int
    ) -> list["_Asset"]:
        """The newest `page_rows` entries of each asset before this event and leg, all read concurrently."""
        found = self._session.iterate_many(cql.ACCOUNT_PARTS, [(self._shard, account, LEDGER, name) for name in names])
        places = [(self._shard, account, name) for name in names]
        assets = [
            _Asset(place, _to(rows, before[0]), before=before, page_rows=page_rows)
            for place, rows in zip(places, found, strict=True)
        ]
        self._read_on(assets)
        return assets

    def _entries(self, asset: "_Asset") -> Iterator[LedgerEvent]:
        while asset.rows:
            yield from map(LedgerEvent._make, asset.rows)
            self._read_on([asset])

    def _read_on(self, assets: list["_Asset"]) -> None:
        """Reads the next rows of each asset concurrently; `rows` stays empty for an asset without more."""
        while assets:
            keyed = [(asset, key) for asset in assets if (key := asset.next_key()) is not None]
            answers = self._session.many(cql.LEDGER_BEFORE, [key for _, key in keyed])
            for (asset, _), rows in zip(keyed, answers, strict=True):
                asset.rows = rows
            assets = [asset for asset, _ in keyed if not asset.rows]

    def ledger_between(self, first: int, last: int) -> list[LedgerEvent]:
        first, last = int64(first), int64(last)
        found: list[LedgerEvent] = []
        for bucket in self._index.walk(LEDGER, first // BUCKET_SIZE, last // BUCKET_SIZE):
            low, high = max(first, bucket * BUCKET_SIZE), min(last, (bucket + 1) * BUCKET_SIZE - 1)
            found += self._of_bucket(bucket, low, high)
        return found

    def _of_bucket(self, bucket: int, first: int, last: int) -> list[LedgerEvent]:
        """The entries of a bucket from `first` to `last`. A complete bucket is cached, for callers that read slices."""
        low, high = bucket * BUCKET_SIZE, (bucket + 1) * BUCKET_SIZE - 1
        cached = self._cached  # another thread may replace it
        if cached is None or cached.number != bucket:
            if (first, last) == (low, high) or self._last_event() < high:
                return self._read_bucket(bucket, first, last)
            cached = self._cached = _Bucket(bucket, self._read_bucket(bucket, low, high))
        return [event for event in cached.events if first <= event.event_sequence <= last]

    def _read_bucket(self, bucket: int, first: int, last: int) -> list[LedgerEvent]:
        owners = self._session.rows(cql.LEDGER_ACCOUNTS, (self._shard, bucket))
        part = bucket * BUCKET_SIZE // PART_SIZE
        keys = [(self._shard, account, month, part, asset, first, last) for account, month, asset in owners]
        rows = [row for found in self._session.many(cql.LEDGER_BETWEEN, keys) for row in found]
        return sorted(map(LedgerEvent._make, rows), key=lambda event: event[:2])

    # Deposits and withdrawals

    def transfers(self, event_sequences: Sequence[int]) -> list[Transfer]:
        wanted: dict[int, list[int]] = {}
        for sequence in event_sequences:
            if is_int64(sequence):
                wanted.setdefault(sequence // BUCKET_SIZE, []).append(sequence)
        keys = [(self._shard, bucket, sequences) for bucket, sequences in wanted.items()]
        return [Transfer._make(row) for rows in self._session.many(cql.GET_TRANSFERS, keys) for row in rows]

    def transfers_of_reference(self, account: int, reference: str) -> list[Transfer]:
        if not is_int64(account) or not reference:
            return []
        rows = self._session.rows(cql.EVENTS_OF_REFERENCE, (self._shard, account, reference))
        found = self.transfers([sequence for (sequence,) in rows])
        # A row of an event that a reset has deleted may lead to one that is now another transfer.
        found = [row for row in found if (row.account, row.reference) == (account, reference)]
        return sorted(found, key=lambda row: -row.event_sequence)

    def transfers_between(self, first: int, last: int) -> list[Transfer]:
        first, last = int64(first), int64(last)
        buckets = self._index.walk(LEDGER, first // BUCKET_SIZE, last // BUCKET_SIZE)
        keys = [(self._shard, bucket, first, last) for bucket in buckets]
        return [Transfer._make(row) for rows in self._session.many(cql.TRANSFERS_BETWEEN, keys) for row in rows]

    # Balances

    def balances_of(self, account: int) -> list[Balance]:
        if not is_int64(account):
            return []
        key = self._shard, account // ACCOUNTS_PER_BUCKET, account
        return [Balance._make(row) for row in self._session.rows(cql.BALANCES_OF, key)]

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        wanted = set(keys)
        accounts = dict.fromkeys(account for account, _ in keys if is_int64(account))
        places = ((self._shard, account // ACCOUNTS_PER_BUCKET, account) for account in accounts)
        found = self._session.many(cql.BALANCES_OF, places)
        return [Balance._make(row) for rows in found for row in rows if row[:2] in wanted]

    def balances(self, after: tuple[int, str] | None, limit: int | None) -> Iterator[Balance]:
        if after is not None and not is_int64(after[0]):
            after = (int64(after[0]), "")
        account, asset = after or (INT64_MIN, "")
        buckets = balance_buckets(self._index.walk(ACCOUNTS, account, INT64_MAX))
        if limit is not None:
            read = partial(self._balances_after, account, asset)
            return map(Balance._make, gather(buckets, limit, self._session.access.in_flight, read))
        keys = ((self._shard, bucket, account, asset, _NO_LIMIT) for bucket in buckets)
        return (Balance._make(row) for key in keys for row in self._session.iterate(cql.BALANCES_AFTER, key, PAGE))

    def _balances_after(self, account: int, asset: str, buckets: list[int], limit: int) -> Iterator[list[Row]]:
        keys = [(self._shard, bucket, account, asset, min(limit, _NO_LIMIT)) for bucket in buckets]
        return self._session.many(cql.BALANCES_AFTER, keys)

    # Settings

    def settings(self) -> Iterator[AccountSetting]:
        keys = ((self._shard, bucket) for bucket in balance_buckets(self._index.walk(ACCOUNTS)))
        return (
            AccountSetting._make(row) for key in keys for row in self._session.iterate(cql.ACCOUNT_SETTINGS, key, PAGE)
        )

    def settings_of(self, account: int) -> list[AccountSetting]:
        if not is_int64(account):
            return []
        key = self._shard, account // ACCOUNTS_PER_BUCKET, account
        return [AccountSetting._make(row) for row in self._session.rows(cql.ACCOUNT_SETTINGS_OF, key)]


class _Asset:
    """Pages through the ledger entries of one asset of an account, newest first."""

    def __init__(
        self, place: tuple[int, int, str], parts: Iterator[tuple[int, int]], *, before: tuple[int, int], page_rows: int
    ) -> None:
        """`place`: shard, account, asset. `parts`: month and part, newest first. `before`: event sequence, leg."""
        self._place = place
        self._parts = parts
        self._part: tuple[int, int] | None = None
        self._before = before
        self._page_rows = page_rows
        self.rows: list[Row] = []
        """The page that was read last; empty if there are no more rows."""

    def next_key(self) -> tuple[Any, ...] | None:
        """The parameters of the statement that reads the next page; None: there is no next page."""
        if len(self.rows) == self._page_rows:
            self._before = self.rows[-1][:2]
        else:
            self._part = next(self._parts, None)
        self.rows = []
        if self._part is None:
            return None
        shard, account, asset = self._place
        return shard, account, *self._part, asset, *self._before, self._page_rows


def _to(parts: Iterator[Row], sequence: int) -> Iterator[tuple[int, int]]:
    """The months and parts that begin at or before this sequence."""
    return ((month, part) for month, part in parts if part <= sequence // PART_SIZE)
