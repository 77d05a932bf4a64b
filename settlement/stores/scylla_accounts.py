"""Lookups by account: its trades, orders, ledger entries and balances; and the ledger by sequence."""

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import NamedTuple

from settlement.stores import scylla_statements as cql
from settlement.stores.base import Balance, LedgerEvent, Order, Trade
from settlement.stores.scylla_index import ACCOUNTS, LEDGER, ORDERS, TRADES, Index
from settlement.stores.scylla_keys import BUCKET, HOLDERS, LEAST, MOST, PART, before_key, holders, int64, is_int64
from settlement.stores.scylla_lookups import Orders, Trades
from settlement.stores.scylla_session import Session

_ALL = (1 << 31) - 1


class _Bucket(NamedTuple):
    """The ledger entries of a bucket that no batch adds to any more."""

    number: int
    events: list[LedgerEvent]


class Accounts:
    def __init__(
        self,
        session: Session,
        shard: int,
        index: Index,
        trades: Trades,
        orders: Orders,
        last_event: Callable[[], int],
    ) -> None:
        """`last_event` is the newest that is projected."""
        self._session = session
        self._shard = shard
        self._index = index
        self._trades = trades
        self._orders = orders
        self._last_event = last_event
        self._kept: _Bucket | None = None

    def forget(self) -> None:
        self._kept = None

    # Trades and orders

    def trades(self, account: int, limit: int, before: int | None) -> list[Trade]:
        ids, found = self._ids(cql.ACCOUNT_TRADES, TRADES, account, limit, before), list[Trade]()
        # After a reset an entry may lead nowhere until its row is written again.
        while page := list(islice(ids, limit - len(found))):
            found += sorted(self._trades.get(page), reverse=True)
        return found

    def orders(self, account: int, limit: int, before: int | None) -> list[Order]:
        ids, found = self._ids(cql.ACCOUNT_ORDERS, ORDERS, account, limit, before), list[Order]()
        while page := list(islice(ids, limit - len(found))):
            found += sorted(self._orders.get(page), key=lambda order: order.order_id, reverse=True)
        return found

    def _ids(self, statement: str, kind: str, account: int, limit: int, before: int | None) -> Iterator[int]:
        """Newest first."""
        if not is_int64(account):
            return
        below = before_key(before)
        for month, part in self._index.parts_of(account, kind, last=below):
            while page := self._session.rows(statement, (self._shard, account, month, part, below, limit)):
                yield from (number for (number,) in page)
                if len(page) < limit:
                    break
                below = page[-1][0]

    # Ledger

    def ledger(self, account: int, limit: int, asset: str | None, before: tuple[int, int] | None) -> list[LedgerEvent]:
        if not is_int64(account):
            return []
        assets = [balance.asset for balance in self.balances_of(account)] if asset is None else [asset]
        # Each comes newest first, so the newest of all are at the front of one of them.
        pages = [self._ledger_down(account, name, limit, before or (MOST, 0)) for name in assets]
        return list(islice(merge(*pages, key=lambda event: event[:2], reverse=True), limit))

    def _ledger_down(self, account: int, asset: str, limit: int, before: tuple[int, int]) -> Iterator[LedgerEvent]:
        sequence, leg = int64(before[0]), before[1]
        for month, part in self._index.parts_of(account, LEDGER, asset, last=sequence):
            key = self._shard, account, month, part, asset, sequence, leg, limit
            yield from map(LedgerEvent._make, self._session.rows(cql.LEDGER_BEFORE, key))

    def ledger_between(self, first: int, last: int) -> list[LedgerEvent]:
        first, last = int64(first), int64(last)
        found: list[LedgerEvent] = []
        for bucket in self._index.walk(LEDGER, first // BUCKET, last // BUCKET):
            low, high = max(first, bucket * BUCKET), min(last, (bucket + 1) * BUCKET - 1)
            found += self._of_bucket(bucket, low, high)
        return found

    def _of_bucket(self, bucket: int, first: int, last: int) -> list[LedgerEvent]:
        """Those between two. A bucket that is asked for in pieces is read once."""
        low, high = bucket * BUCKET, (bucket + 1) * BUCKET - 1
        kept = self._kept  # another thread may put another in its place
        if kept is None or kept.number != bucket:
            if (first, last) == (low, high) or self._last_event() < high:
                return self._read_bucket(bucket, first, last)
            kept = self._kept = _Bucket(bucket, self._read_bucket(bucket, low, high))
        return [event for event in kept.events if first <= event.event_sequence <= last]

    def _read_bucket(self, bucket: int, first: int, last: int) -> list[LedgerEvent]:
        owners = self._session.rows(cql.LEDGER_ACCOUNTS, (self._shard, bucket))
        part = bucket * BUCKET // PART
        keys = [(self._shard, account, month, part, asset, first, last) for account, month, asset in owners]
        rows = [row for found in self._session.many(cql.LEDGER_BETWEEN, keys) for row in found]
        return sorted(map(LedgerEvent._make, rows), key=lambda event: event[:2])

    # Balances

    def balances_of(self, account: int) -> list[Balance]:
        if not is_int64(account):
            return []
        key = self._shard, account // HOLDERS, account
        return [Balance._make(row) for row in self._session.rows(cql.BALANCES_OF, key)]

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        wanted = set(keys)
        accounts = dict.fromkeys(account for account, _ in keys if is_int64(account))
        places = ((self._shard, account // HOLDERS, account) for account in accounts)
        found = self._session.many(cql.BALANCES_OF, places)
        return [Balance._make(row) for rows in found for row in rows if row[:2] in wanted]

    def balances(self, after: tuple[int, str] | None, limit: int | None) -> Iterator[Balance]:
        if after is not None and not is_int64(after[0]):
            after = (int64(after[0]), "")
        return islice(self._balances(after or (LEAST, ""), _ALL if limit is None else limit), limit)

    def _balances(self, after: tuple[int, str], limit: int) -> Iterator[Balance]:
        for bucket in holders(self._index.walk(ACCOUNTS, after[0], MOST)):
            rows = self._session.iterate(cql.BALANCES_AFTER, (self._shard, bucket, *after, limit))
            yield from map(Balance._make, rows)
