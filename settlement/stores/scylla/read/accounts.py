"""Lookups by account: its trades, orders, ledger entries and balances; and the ledger by sequence."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from settlement.stores.base import Balance, LedgerEvent, Order, Trade
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.connection.session import PAGE, Row, Session
from settlement.stores.scylla.index import ACCOUNTS, LEDGER, ORDERS, TRADES, Index
from settlement.stores.scylla.keys import BUCKET, HOLDERS, LEAST, MOST, PART, before_key, holders, int64, is_int64
from settlement.stores.scylla.read.lookups import Orders, Trades, gather

_ALL = (1 << 31) - 1
_LEAST_ENTRIES = 8
"""Ledger entries of one asset that are asked for at once, at least."""


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
        found: list[Trade] = []
        for ids in self._ids(cql.ACCOUNT_TRADES, TRADES, account, limit, before):
            found += sorted(self._trades.get(ids), reverse=True)
            if len(found) >= limit:
                break
        return found[:limit]

    def orders(self, account: int, limit: int, before: int | None) -> list[Order]:
        found: list[Order] = []
        for ids in self._ids(cql.ACCOUNT_ORDERS, ORDERS, account, limit, before):
            found += sorted(self._orders.get(ids), key=lambda order: order.order_id, reverse=True)
            if len(found) >= limit:
                break
        return found[:limit]

    def _ids(self, statement: str, kind: str, account: int, limit: int, before: int | None) -> Iterator[list[int]]:
        """Newest first, in one list unless rows are missing: after a reset an entry may lead nowhere for a while."""
        below = before_key(before)
        while is_int64(account):
            ask = partial(self._ids_of_parts, statement, account, below)
            parts = self._index.parts_of(account, kind, last=below)
            ids = gather(parts, limit, self._session.access.in_flight, ask)
            yield ids
            if len(ids) < limit:
                return
            below = ids[-1]

    def _ids_of_parts(
        self, statement: str, account: int, below: int, parts: list[tuple[int, int]], most: int
    ) -> Iterator[list[int]]:
        keys = [(self._shard, account, month, part, below, most) for month, part in parts]
        for rows in self._session.many(statement, keys):
            yield [number for (number,) in rows]

    # Ledger

    def ledger(self, account: int, limit: int, asset: str | None, before: tuple[int, int] | None) -> list[LedgerEvent]:
        if not is_int64(account):
            return []
        names = [balance.asset for balance in self.balances_of(account)] if asset is None else [asset]
        sequence, leg = int64(before[0]) if before else MOST, before[1] if before else 0
        found = self._session.iterate_many(cql.ACCOUNT_PARTS, [(self._shard, account, LEDGER, name) for name in names])
        # Of many assets each has few of the newest entries: what is read grows with the page and not with them.
        most = max(limit // max(len(names), 1), min(limit, _LEAST_ENTRIES))
        places = [(self._shard, account, name) for name in names]
        assets = [
            _Asset(place, _to(rows, sequence), (sequence, leg), most) for place, rows in zip(places, found, strict=True)
        ]
        self._read_on(assets)
        # Each comes newest first, so the newest of all are at the front of one of them.
        pages = [self._entries(one) for one in assets]
        return list(islice(merge(*pages, key=lambda event: event[:2], reverse=True), limit))

    def _entries(self, asset: "_Asset") -> Iterator[LedgerEvent]:
        while asset.rows:
            yield from map(LedgerEvent._make, asset.rows)
            self._read_on([asset])

    def _read_on(self, assets: list["_Asset"]) -> None:
        """The next rows of each, all asked for together; none where an asset has no more."""
        while assets:
            keyed = [(asset, key) for asset in assets if (key := asset.next_key()) is not None]
            answers = self._session.many(cql.LEDGER_BEFORE, [key for _, key in keyed])
            for (asset, _), rows in zip(keyed, answers, strict=True):
                asset.rows = rows
            assets = [asset for asset, _ in keyed if not asset.rows]

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
        account, asset = after or (LEAST, "")
        buckets = holders(self._index.walk(ACCOUNTS, account, MOST))
        if limit is not None:
            ask = partial(self._balances_after, account, asset)
            return map(Balance._make, gather(buckets, limit, self._session.access.in_flight, ask))
        keys = ((self._shard, bucket, account, asset, _ALL) for bucket in buckets)
        return (Balance._make(row) for key in keys for row in self._session.iterate(cql.BALANCES_AFTER, key, PAGE))

    def _balances_after(self, account: int, asset: str, buckets: list[int], most: int) -> Iterator[list[Row]]:
        keys = [(self._shard, bucket, account, asset, min(most, _ALL)) for bucket in buckets]
        return self._session.many(cql.BALANCES_AFTER, keys)


class _Asset:
    """The ledger entries of an asset of an account, newest first, as far as they are read."""

    def __init__(
        self, place: tuple[int, int, str], parts: Iterator[tuple[int, int]], before: tuple[int, int], most: int
    ) -> None:
        """`place`: shard, account, asset. `parts`: month and part, newest first. `most`: rows to ask for at once."""
        self._place = place
        self._parts = parts
        self._part: tuple[int, int] | None = None
        self._before = before
        self._most = most
        self.rows: list[Row] = []
        """The newest that are not given out yet, none of them where there are no more."""

    def next_key(self) -> tuple[Any, ...] | None:
        """What the next rows are asked for with; None: there are no more."""
        if len(self.rows) == self._most:
            self._before = self.rows[-1][:2]
        else:
            self._part = next(self._parts, None)
        self.rows = []
        if self._part is None:
            return None
        shard, account, asset = self._place
        return shard, account, *self._part, asset, *self._before, self._most


def _to(parts: Iterator[Row], sequence: int) -> Iterator[tuple[int, int]]:
    """Month and part, of those that begin at this sequence or before it."""
    return ((month, part) for month, part in parts if part <= sequence // PART)
