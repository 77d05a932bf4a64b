"""Lookups of blocks, trades, orders and candles: from one partition that holds rows to the next, never a scan."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from itertools import chain, islice
from typing import TypeVar

from matching.core.hashes import hash_value
from settlement.stores.base import (
    Candle,
    Checkpoint,
    Definition,
    Order,
    StoredBlock,
    Trade,
    TradingDay,
)
from settlement.stores.block_parts import joined, may_go_on
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.connection.session import PAGE, Row, Session
from settlement.stores.scylla.index import ORDERS, TRADES, Index, orders_of, trades_of
from settlement.stores.scylla.keys import BLOCKS, BUCKET, LEAST, MOST, SLICE, before_key, int64, is_int64, month_of

T = TypeVar("T")
P = TypeVar("P")

Span = tuple[int, int]
"""Sequences from one to another, both included."""
Place = tuple[date, int, int]
"""Day, bucket and id of a trade."""

BLOCK_PAGE = 16
"""Rows of blocks that an iterator holds at a time: each has up to a megabyte."""
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
            yield from map(self._whole, page)
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
        return self._whole(row) if row else None

    def _whole(self, row: Row) -> StoredBlock:
        """A block with the bytes that are not in its own row, as far as they are there."""
        block = _block(row)
        if not may_go_on(block):
            return block
        place = self._shard, block.number, row[1]
        second = self._session.one(cql.GET_BLOCK_PART, (*place, 1))
        if second is None:
            return block
        keys = [(*place, part) for part in range(2, second[0] + 1)]
        rest = (data for rows in self._session.many(cql.GET_BLOCK_PART, keys) for _, data in rows)
        return joined(block, chain([second[1]], rest))


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
        first, last = int64(first), int64(last)
        if symbol is None:
            spans = _spans(self._index.walk(TRADES, first // BUCKET, last // BUCKET), BUCKET, first, last)
            return self._gathered(cql.TRADES_IN_BUCKET, spans, limit, is_down=False)
        slices = self._index.walk(trades_of(symbol), first // SLICE, last // SLICE)
        return self._of_symbol(symbol, _spans(slices, SLICE, first, last), limit, is_down=False)

    def newest(self, limit: int, before: int | None, after: int | None, symbol: str | None) -> list[Trade]:
        first, last = LEAST if after is None else int64(after + 1), before_key(before) - 1
        if symbol is None:
            spans = _spans(self._index.walk_down(TRADES, first // BUCKET, last // BUCKET), BUCKET, first, last)
            return self._gathered(cql.TRADES_IN_BUCKET_DOWN, spans, limit, is_down=True)
        slices = self._index.walk_down(trades_of(symbol), first // SLICE, last // SLICE)
        return self._of_symbol(symbol, _spans(slices, SLICE, first, last), limit, is_down=True)

    def _gathered(self, statement: str, spans: Iterator[Span], limit: int, is_down: bool) -> list[Trade]:
        dates = _Dates(self._session, self._shard, is_down)

        def ask(group: list[Span], most: int) -> Iterator[list[Row]]:
            places = dates.places(group)
            return self._session.many(statement, [(*place, min(most, BUCKET)) for place in places])

        return [Trade._make(row) for row in gather(spans, limit, self._session.access.in_flight, ask)]

    def _of_symbol(self, symbol: str, spans: Iterator[Span], limit: int, is_down: bool) -> list[Trade]:
        """Slices hold rows of other instruments too: of these only the ids are read."""
        dates = _Dates(self._session, self._shard, is_down)

        def ask(group: list[Span], most: int) -> Iterator[list[Place]]:
            places = dates.places(group)
            answers = self._session.many(cql.TRADE_SYMBOLS, places)
            for (_, on, bucket, *_), rows in zip(places, answers, strict=True):
                yield [(on, bucket, trade_id) for trade_id in _ids_of(symbol, rows, is_down)]

        partitions: dict[tuple[date, int], list[int]] = {}
        for on, bucket, trade_id in gather(spans, limit, self._session.access.in_flight, ask):
            partitions.setdefault((on, bucket), []).append(trade_id)
        keys = [(self._shard, *key, piece) for key, ids in partitions.items() for piece in _pieces(ids)]
        found = [Trade._make(row) for rows in self._session.many(cql.GET_TRADES, keys) for row in rows]
        return sorted(found, reverse=is_down)

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
        if symbol is None:
            spans = _spans(self._index.walk_down(ORDERS, LEAST, last // BUCKET), BUCKET, LEAST, last)
            return self._gathered(cql.ORDERS_IN_BUCKET_DOWN, spans, limit)
        slices = self._index.walk_down(orders_of(symbol), LEAST, last // SLICE)
        return self._of_symbol(symbol, _spans(slices, SLICE, LEAST, last), limit)

    def between(self, first: int, last: int, limit: int) -> list[Order]:
        first, last = int64(first), int64(last)
        spans = _spans(self._index.walk(ORDERS, first // BUCKET, last // BUCKET), BUCKET, first, last)
        return self._gathered(cql.ORDERS_IN_BUCKET, spans, limit)

    def _gathered(self, statement: str, spans: Iterator[Span], limit: int) -> list[Order]:
        def ask(group: list[Span], most: int) -> Iterator[list[Row]]:
            keys = [(self._shard, low // BUCKET, low, high, min(most, BUCKET)) for low, high in group]
            return self._session.many(statement, keys)

        return [Order._make(row) for row in gather(spans, limit, self._session.access.in_flight, ask)]

    def _of_symbol(self, symbol: str, spans: Iterator[Span], limit: int) -> list[Order]:
        """Newest first."""

        def ask(group: list[Span], most: int) -> Iterator[list[int]]:
            keys = [(self._shard, low // BUCKET, low, high) for low, high in group]
            for rows in self._session.many(cql.ORDER_SYMBOLS, keys):
                yield _ids_of(symbol, rows, is_down=True)

        found = self.get(gather(spans, limit, self._session.access.in_flight, ask))
        return sorted(found, key=lambda order: order.order_id, reverse=True)

    def open(self, buckets: Iterable[int]) -> Iterator[Order]:
        for bucket in buckets:
            ids = self._session.iterate(cql.OPEN_IN_BUCKET, (self._shard, bucket), PAGE)
            while page := [order_id for (order_id,) in islice(ids, PAGE)]:
                yield from (order for order in self.get(page) if order.status == "open")


class Candles:
    def __init__(self, session: Session, shard: int) -> None:
        self._session = session
        self._shard = shard

    def get(self, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        months: dict[tuple[str, int], list[int]] = {}
        for symbol, minute_ns in keys:
            months.setdefault((symbol, month_of(minute_ns)), []).append(minute_ns)
        places = [(self._shard, *month, piece) for month, minutes in months.items() for piece in _pieces(minutes)]
        return [Candle._make(row) for rows in self._session.many(cql.GET_CANDLES, places) for row in rows]

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


class _Dates:
    """The days of the trades in a bucket, which are part of their partition's key; each bucket is asked for once."""

    def __init__(self, session: Session, shard: int, is_down: bool) -> None:
        self._session = session
        self._shard = shard
        self._is_down = is_down
        self._of: dict[int, list[date]] = {}

    def places(self, spans: list[Span]) -> list[tuple[int, date, int, int, int]]:
        """The partitions in which these are, and from where to where, in the order in which they are read."""
        new = [bucket for bucket in dict.fromkeys(low // BUCKET for low, _ in spans) if bucket not in self._of]
        answers = self._session.many(cql.TRADE_DATES, [(self._shard, bucket) for bucket in new])
        for bucket, rows in zip(new, answers, strict=True):
            days = [found.date() for (found,) in rows]
            self._of[bucket] = days[::-1] if self._is_down else days
        return [(self._shard, on, low // BUCKET, low, high) for low, high in spans for on in self._of[low // BUCKET]]


def gather(
    places: Iterator[P], limit: int, in_flight: int, ask: Callable[[list[P], int], Iterable[list[T]]]
) -> list[T]:
    """The first rows of places that are read in this order.

    Where one does not hold enough the next ones are asked for together, some more each time, so that rows that lie far
    apart cost few answers to wait for. `ask(places, most)` gives the rows of each, or the first of them.
    """
    found: list[T] = []
    ahead = 1
    while len(found) < limit and (group := list(islice(places, ahead))):
        for rows in ask(group, limit - len(found)):
            found += rows
            if len(found) >= limit:
                break
        ahead = min(4 * ahead, in_flight)
    return found[:limit]


def _ids_of(symbol: str, rows: list[Row], is_down: bool) -> list[int]:
    ids = [number for number, named in rows if named == symbol]
    return ids[::-1] if is_down else ids


def _spans(keys: Iterable[int], size: int, first: int, last: int) -> Iterator[Span]:
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
    return StoredBlock._make((row[0], hash_value(row[1]), hash_value(row[2]), *row[3:]))
