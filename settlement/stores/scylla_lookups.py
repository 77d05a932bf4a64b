"""Lookups of blocks, trades, orders and candles: from one partition that holds rows to the next, never a scan."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from itertools import islice
from typing import TypeVar

from settlement.stores import scylla_statements as cql
from settlement.stores.base import (
    Candle,
    Checkpoint,
    Definition,
    Order,
    StoredBlock,
    Trade,
    TradingDay,
)
from settlement.stores.scylla_index import ORDERS, TRADES, Index, orders_of, trades_of
from settlement.stores.scylla_keys import BLOCKS, BUCKET, LEAST, MOST, SLICE, before_key, int64, is_int64, month_of
from settlement.stores.scylla_session import PAGE, Row, Session

T = TypeVar("T")

BLOCK_PAGE = 16
"""Blocks that an iterator holds at a time: each may have some hundred kilobytes."""
ASK_AT_ONCE = 100
"""Keys in one statement: the server asks for them one by one."""


class Blocks:
    """Those to the `appended` checkpoint: past it lies what an append left behind that was fenced, or has not ended."""

    def __init__(self, session: Session, shard: int, appended: Callable[[], Checkpoint]) -> None:
        self._session = session
        self._shard = shard
        self._appended = appended

    def get(self, number: int) -> StoredBlock | None:
        return self._row(number) if 1 <= number <= self._appended().block_number else None

    def between(self, first: int, last: int | None) -> Iterator[StoredBlock]:
        first, end = max(first, 1), MOST if last is None else last
        while first <= (last_there := min(end, self._appended().block_number)):
            # Blocks that come meanwhile are seen too, as in a table.
            yield from self._to(first, last_there)
            first = last_there + 1

    def _to(self, first: int, last: int) -> Iterator[StoredBlock]:
        while first <= last:
            bucket = first // BLOCKS
            end = min(last, (bucket + 1) * BLOCKS - 1)
            page = self._session.rows(cql.BLOCKS_IN_BUCKET, (self._shard, bucket, first, end, BLOCK_PAGE))
            yield from map(_block, page)
            first = page[-1][0] + 1 if len(page) == BLOCK_PAGE else end + 1

    def of_event(self, event_sequence: int) -> StoredBlock | None:
        """The first block whose last event is not before it, by halves: these rise with the number."""
        first, last = 1, self._appended().block_number
        if not 1 <= event_sequence <= MOST or not last or self.ends(last)[0] < event_sequence:
            return None
        while first < last:
            middle = (first + last) // 2
            if self.ends(middle)[0] < event_sequence:
                first = middle + 1
            else:
                last = middle
        found = self._row(first)
        return found if found is not None and found.first_event_sequence <= event_sequence else None

    def ends(self, number: int) -> tuple[int, int]:
        """The last event and the last command of a block; 0 for one that is not there."""
        row = self._session.one(cql.GET_BLOCK_END, (self._shard, number // BLOCKS, number))
        return (row[0], row[1]) if row else (0, 0)

    def newest(self, limit: int, before: int | None) -> list[StoredBlock]:
        found: list[StoredBlock] = []
        before = min(before_key(before), self._appended().block_number + 1)
        while len(found) < limit and before > 1:
            bucket = (before - 1) // BLOCKS
            key = self._shard, bucket, before, limit - len(found)
            found += [_block((*row, b"")) for row in self._session.rows(cql.NEWEST_BLOCKS, key)]
            before = bucket * BLOCKS
        return found

    def _row(self, number: int) -> StoredBlock | None:
        row = self._session.one(cql.GET_BLOCK, (self._shard, number // BLOCKS, number))
        return _block(row) if row else None


class Trades:
    def __init__(self, session: Session, shard: int, index: Index) -> None:
        self._session = session
        self._shard = shard
        self._index = index

    def get(self, ids: Iterable[int]) -> list[Trade]:
        """Those that exist, in any order."""
        buckets = _by_bucket(ids)
        dated = self._session.many(cql.TRADE_DATES, [(self._shard, bucket) for bucket in buckets])
        keys = [
            (self._shard, on, bucket, piece)
            for (bucket, wanted), dates in zip(buckets.items(), dated, strict=True)
            for (on,) in dates
            for piece in _pieces(wanted)
        ]
        return [Trade._make(row) for rows in self._session.many(cql.GET_TRADES, keys) for row in rows]

    def between(self, first: int, last: int, limit: int, symbol: str | None) -> list[Trade]:
        return list(islice(self._rising(int64(first), int64(last), limit, symbol), limit))

    def _rising(self, first: int, last: int, limit: int, symbol: str | None) -> Iterator[Trade]:
        for low, high in self._spans(first, last, symbol, self._index.walk):
            for on in self._index.dates_of(low // BUCKET):
                yield from self._in_bucket(cql.TRADES_IN_BUCKET, on, low, high, limit, symbol)

    def newest(self, limit: int, before: int | None, after: int | None, symbol: str | None) -> list[Trade]:
        first = LEAST if after is None else int64(after + 1)
        return list(islice(self._falling(first, before_key(before) - 1, limit, symbol), limit))

    def _falling(self, first: int, last: int, limit: int, symbol: str | None) -> Iterator[Trade]:
        for low, high in self._spans(first, last, symbol, self._index.walk_down):
            for on in reversed(self._index.dates_of(low // BUCKET)):
                yield from self._in_bucket(cql.TRADES_IN_BUCKET_DOWN, on, low, high, limit, symbol)

    def _spans(
        self, first: int, last: int, symbol: str | None, walk: Callable[[str, int, int], Iterator[int]]
    ) -> Iterator[tuple[int, int]]:
        """Where to look, each within one bucket."""
        tree, size = (TRADES, BUCKET) if symbol is None else (trades_of(symbol), SLICE)
        return _spans(walk(tree, first // size, last // size), size, first, last)

    def _in_bucket(
        self, statement: str, on: date, low: int, high: int, limit: int, symbol: str | None
    ) -> Iterator[Trade]:
        most = min(limit, PAGE) if symbol is None else SLICE
        key = self._shard, on, low // BUCKET, low, high, most
        for row in self._pages(statement, key):
            if symbol is None or row[3] == symbol:
                yield Trade._make(row)

    def _pages(self, statement: str, key: tuple[int, date, int, int, int, int]) -> Iterator[Row]:
        """A bucket's rows, so many at a time: a limit may be larger than what is held at once."""
        shard, on, bucket, low, high, most = key
        is_down = statement is cql.TRADES_IN_BUCKET_DOWN
        while True:
            rows = self._session.rows(statement, (shard, on, bucket, low, high, most))
            yield from rows
            if len(rows) < most:
                return
            low, high = (low, rows[-1][0] - 1) if is_down else (rows[-1][0] + 1, high)

    def day(self, day: date) -> TradingDay | None:
        row = self._session.one(cql.GET_TRADING_DAY, (self._shard, day))
        return TradingDay(day, *row) if row else None


class Orders:
    def __init__(self, session: Session, shard: int, index: Index) -> None:
        self._session = session
        self._shard = shard
        self._index = index

    def get(self, ids: Iterable[int]) -> list[Order]:
        keys = [(self._shard, bucket, piece) for bucket, wanted in _by_bucket(ids).items() for piece in _pieces(wanted)]
        return [Order._make(row) for rows in self._session.many(cql.GET_ORDERS, keys) for row in rows]

    def newest(self, limit: int, before: int | None, symbol: str | None) -> list[Order]:
        last = before_key(before) - 1
        tree, size = (ORDERS, BUCKET) if symbol is None else (orders_of(symbol), SLICE)
        found: list[Order] = []
        for low, high in _spans(self._index.walk_down(tree, LEAST, last // size), size, LEAST, last):
            most = limit - len(found) if symbol is None else SLICE
            rows = self._session.rows(cql.ORDERS_IN_BUCKET_DOWN, (self._shard, low // BUCKET, low, high, most))
            found += (order for order in map(Order._make, rows) if symbol in (None, order.symbol))
            if len(found) >= limit:
                break
        return found[:limit]

    def between(self, first: int, last: int, limit: int) -> list[Order]:
        first, last = int64(first), int64(last)
        found: list[Order] = []
        for low, high in _spans(self._index.walk(ORDERS, first // BUCKET, last // BUCKET), BUCKET, first, last):
            key = self._shard, low // BUCKET, low, high, limit - len(found)
            found += map(Order._make, self._session.rows(cql.ORDERS_IN_BUCKET, key))
            if len(found) >= limit:
                break
        return found

    def open(self, buckets: Iterable[int]) -> Iterator[Order]:
        for bucket in buckets:
            ids = self._session.iterate(cql.OPEN_IN_BUCKET, (self._shard, bucket))
            while page := [order_id for (order_id,) in islice(ids, PAGE)]:
                yield from (order for order in self.get(page) if order.status == "open")


class Candles:
    def __init__(self, session: Session, shard: int) -> None:
        self._session = session
        self._shard = shard

    def get(self, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        places = [(self._shard, symbol, month_of(minute_ns), minute_ns) for symbol, minute_ns in keys]
        return [Candle._make(row) for rows in self._session.many(cql.GET_CANDLE, places) for row in rows]

    def newest(self, symbol: str, limit: int) -> list[Candle]:
        found: list[Candle] = []
        for (month,) in self._session.iterate(cql.CANDLE_MONTHS, (self._shard, symbol)):
            key = self._shard, symbol, month, limit - len(found)
            found += map(Candle._make, self._session.rows(cql.NEWEST_CANDLES, key))
            if len(found) >= limit:
                break
        return found[::-1]

    def definitions(self) -> list[Definition]:
        return [Definition._make(row) for row in self._session.rows(cql.DEFINITIONS, (self._shard,))]


def _spans(keys: Iterable[int], size: int, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The sequences of each key that are between two."""
    for key in keys:
        yield max(first, key * size), min(last, (key + 1) * size - 1)


def _by_bucket(ids: Iterable[int]) -> dict[int, list[int]]:
    """Without those that no row can have."""
    buckets: dict[int, list[int]] = {}
    for one in ids:
        if is_int64(one):
            buckets.setdefault(one // BUCKET, []).append(one)
    return buckets


def _pieces(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), ASK_AT_ONCE):
        yield ids[start : start + ASK_AT_ONCE]


def _block(row: Row) -> StoredBlock:
    return StoredBlock._make((row[0], int(row[1], 16), int(row[2], 16), *row[3:]))
