"""Lookups of blocks, trades, orders and candles. They go from one partition with rows to the next and never scan."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from itertools import chain, islice
from typing import TypeVar

from matching.core.hashes import hash_text, hash_value
from settlement.stores.base import (
    OPEN_STATUSES,
    Candle,
    Checkpoint,
    Definition,
    Order,
    StoredBlock,
    Trade,
    TradingDay,
)
from settlement.stores.block_parts import joined, may_have_parts
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.connection.session import PAGE, Row, Session
from settlement.stores.scylla.index import OPEN_ORDERS, ORDERS, TRADES, Index, orders_of, trades_of
from settlement.stores.scylla.keys import (
    BLOCKS_PER_BUCKET,
    BUCKET_SIZE,
    INT64_MAX,
    INT64_MIN,
    SLICE_SIZE,
    before_key,
    int64,
    is_int64,
    month_of,
)

T = TypeVar("T")
P = TypeVar("P")

Span = tuple[int, int]
"""First and last sequence, inclusive."""
Place = tuple[date, int, int]
"""Day, bucket and id of a trade."""

BLOCK_PAGE = 16
"""Rows of blocks that an iterator holds at a time; each has up to 1 MiB."""
KEYS_PER_STATEMENT = 100
"""Keys per statement: the server reads them one after another."""


class Blocks:
    """Blocks up to the `appended` checkpoint. Rows after it are from an append that was fenced or is in progress."""

    def __init__(self, session: Session, shard: int, appended: Callable[[], Checkpoint]) -> None:
        self._session = session
        self._shard = shard
        self._appended = appended

    def get(self, number: int) -> StoredBlock | None:
        return self._row(number) if 1 <= number <= self._appended().block_number else None

    def between(self, first: int, last: int | None) -> Iterator[StoredBlock]:
        first, end = max(first, 1), INT64_MAX if last is None else last
        while first <= (last_stored := min(end, self._appended().block_number)):
            # Blocks that are appended meanwhile are included, as with the other stores.
            yield from self._read(first, last_stored)
            first = last_stored + 1

    def _read(self, first: int, last: int) -> Iterator[StoredBlock]:
        while first <= last:
            bucket = first // BLOCKS_PER_BUCKET
            end = min(last, (bucket + 1) * BLOCKS_PER_BUCKET - 1)
            page = self._session.rows(cql.BLOCKS_IN_BUCKET, (self._shard, bucket, first, end, BLOCK_PAGE))
            yield from map(self._whole, page)
            first = page[-1][0] + 1 if len(page) == BLOCK_PAGE else end + 1

    def of_event(self, event_sequence: int) -> StoredBlock | None:
        """The block of an event, by binary search: the last event of a block increases with the block's number."""
        first, last = 1, self._appended().block_number
        if not 1 <= event_sequence <= INT64_MAX or not last or self.ends(last)[0] < event_sequence:
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
        """The last event and the last command of a block; 0 and 0 for a block that is not stored."""
        row = self._session.one(cql.GET_BLOCK_END, (self._shard, number // BLOCKS_PER_BUCKET, number))
        return (row[0], row[1]) if row else (0, 0)

    def of_hash(self, digest: int) -> list[StoredBlock]:
        """Entries of blocks that were fenced or replaced lead to no block, or to one with another hash."""
        last, found = self._appended().block_number, []
        for (number,) in self._session.rows(cql.BLOCK_NUMBERS_OF_HASH, (self._shard, hash_text(digest))):
            row = self._session.one(cql.GET_BLOCK_HEAD, (self._shard, number // BLOCKS_PER_BUCKET, number))
            if number <= last and row is not None and hash_value(row[1]) == digest:
                found.append(_block((*row, b"")))
        return found

    def newest(self, limit: int, before: int | None) -> list[StoredBlock]:
        found: list[StoredBlock] = []
        before = min(before_key(before), self._appended().block_number + 1)
        while len(found) < limit and before > 1:
            bucket = (before - 1) // BLOCKS_PER_BUCKET
            key = self._shard, bucket, before, limit - len(found)
            found += [_block((*row, b"")) for row in self._session.rows(cql.NEWEST_BLOCKS, key)]
            before = bucket * BLOCKS_PER_BUCKET
        return found

    def _row(self, number: int) -> StoredBlock | None:
        row = self._session.one(cql.GET_BLOCK, (self._shard, number // BLOCKS_PER_BUCKET, number))
        return self._whole(row) if row else None

    def _whole(self, row: Row) -> StoredBlock:
        """The block of a row, with the bytes of its stored parts."""
        block = _block(row)
        if not may_have_parts(block):
            return block
        place = self._shard, block.number, row[1]
        first_part = self._session.one(cql.GET_BLOCK_PART, (*place, 1))
        if first_part is None:
            return block
        parts, data = first_part
        keys = [(*place, part) for part in range(2, parts + 1)]
        rest = (more for rows in self._session.many(cql.GET_BLOCK_PART, keys) for _, more in rows)
        return joined(block, chain([data], rest))


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
            for piece in _chunks(wanted)
        ]
        return [Trade._make(row) for rows in self._session.many(cql.GET_TRADES, keys) for row in rows]

    def between(self, first: int, last: int, limit: int, symbol: str | None) -> list[Trade]:
        first, last = int64(first), int64(last)
        if symbol is None:
            spans = _spans(
                self._index.walk(TRADES, first // BUCKET_SIZE, last // BUCKET_SIZE), BUCKET_SIZE, first, last
            )
            return self._read_spans(cql.TRADES_IN_BUCKET, spans, limit, is_descending=False)
        slices = self._index.walk(trades_of(symbol), first // SLICE_SIZE, last // SLICE_SIZE)
        return self._of_symbol(symbol, _spans(slices, SLICE_SIZE, first, last), limit, is_descending=False)

    def newest(self, limit: int, *, before: int | None, after: int | None, symbol: str | None) -> list[Trade]:
        first, last = INT64_MIN if after is None else int64(after + 1), before_key(before) - 1
        if symbol is None:
            spans = _spans(
                self._index.walk_descending(TRADES, first // BUCKET_SIZE, last // BUCKET_SIZE), BUCKET_SIZE, first, last
            )
            return self._read_spans(cql.TRADES_IN_BUCKET_DESCENDING, spans, limit, is_descending=True)
        slices = self._index.walk_descending(trades_of(symbol), first // SLICE_SIZE, last // SLICE_SIZE)
        return self._of_symbol(symbol, _spans(slices, SLICE_SIZE, first, last), limit, is_descending=True)

    def _read_spans(self, statement: str, spans: Iterator[Span], limit: int, is_descending: bool) -> list[Trade]:
        dates = _Dates(self._session, self._shard, is_descending)

        def read(group: list[Span], limit: int) -> Iterator[list[Row]]:
            places = dates.places(group)
            return self._session.many(statement, [(*place, min(limit, BUCKET_SIZE)) for place in places])

        return [Trade._make(row) for row in gather(spans, limit, self._session.access.in_flight, read)]

    def _of_symbol(self, symbol: str, spans: Iterator[Span], limit: int, is_descending: bool) -> list[Trade]:
        """Slices contain rows of other instruments too; of those only the ids are read."""
        dates = _Dates(self._session, self._shard, is_descending)

        def read(group: list[Span], limit: int) -> Iterator[list[Place]]:
            places = dates.places(group)
            answers = self._session.many(cql.TRADE_SYMBOLS, places)
            for (_, on, bucket, *_), rows in zip(places, answers, strict=True):
                yield [(on, bucket, trade_id) for trade_id in _ids_of(symbol, rows, is_descending)]

        partitions: dict[tuple[date, int], list[int]] = {}
        for on, bucket, trade_id in gather(spans, limit, self._session.access.in_flight, read):
            partitions.setdefault((on, bucket), []).append(trade_id)
        keys = [(self._shard, *key, piece) for key, ids in partitions.items() for piece in _chunks(ids)]
        found = [Trade._make(row) for rows in self._session.many(cql.GET_TRADES, keys) for row in rows]
        return sorted(found, reverse=is_descending)

    def day(self, day: date) -> TradingDay | None:
        row = self._session.one(cql.GET_TRADING_DAY, (self._shard, day))
        return TradingDay(day, *row) if row else None


class Orders:
    def __init__(self, session: Session, shard: int, index: Index) -> None:
        self._session = session
        self._shard = shard
        self._index = index

    def get(self, ids: Iterable[int]) -> list[Order]:
        keys = [(self._shard, bucket, piece) for bucket, wanted in _by_bucket(ids).items() for piece in _chunks(wanted)]
        return [Order._make(row) for rows in self._session.many(cql.GET_ORDERS, keys) for row in rows]

    def newest(self, limit: int, before: int | None, symbol: str | None) -> list[Order]:
        last = before_key(before) - 1
        if symbol is None:
            spans = _spans(
                self._index.walk_descending(ORDERS, INT64_MIN, last // BUCKET_SIZE), BUCKET_SIZE, INT64_MIN, last
            )
            return self._read_spans(cql.ORDERS_IN_BUCKET_DESCENDING, spans, limit)
        slices = self._index.walk_descending(orders_of(symbol), INT64_MIN, last // SLICE_SIZE)
        return self._of_symbol(symbol, _spans(slices, SLICE_SIZE, INT64_MIN, last), limit)

    def between(self, first: int, last: int, limit: int) -> list[Order]:
        first, last = int64(first), int64(last)
        spans = _spans(self._index.walk(ORDERS, first // BUCKET_SIZE, last // BUCKET_SIZE), BUCKET_SIZE, first, last)
        return self._read_spans(cql.ORDERS_IN_BUCKET, spans, limit)

    def _read_spans(self, statement: str, spans: Iterator[Span], limit: int) -> list[Order]:
        def read(group: list[Span], limit: int) -> Iterator[list[Row]]:
            keys = [(self._shard, low // BUCKET_SIZE, low, high, min(limit, BUCKET_SIZE)) for low, high in group]
            return self._session.many(statement, keys)

        return [Order._make(row) for row in gather(spans, limit, self._session.access.in_flight, read)]

    def _of_symbol(self, symbol: str, spans: Iterator[Span], limit: int) -> list[Order]:
        """Newest first."""

        def read(group: list[Span], limit: int) -> Iterator[list[int]]:
            keys = [(self._shard, low // BUCKET_SIZE, low, high) for low, high in group]
            for rows in self._session.many(cql.ORDER_SYMBOLS, keys):
                yield _ids_of(symbol, rows, is_descending=True)

        found = self.get(gather(spans, limit, self._session.access.in_flight, read))
        return sorted(found, key=lambda order: order.order_id, reverse=True)

    def open(self, after: int | None, limit: int | None) -> Iterator[Order]:
        last = INT64_MIN if after is None else int64(after)
        left = INT64_MAX if limit is None else limit
        while left > 0 and (ids := self._open_ids(last, min(left, PAGE))):
            # An entry without an open order is left by a batch that was interrupted.
            found = [order for order in self.get(ids) if order.status in OPEN_STATUSES]
            yield from sorted(found, key=lambda order: order.order_id)
            last, left = ids[-1], left - len(found)

    def _open_ids(self, after: int, limit: int) -> list[int]:
        """The next `limit` orders that may be open."""

        def read(buckets: list[int], limit: int) -> Iterator[list[int]]:
            keys = [(self._shard, bucket, after, limit) for bucket in buckets]
            for rows in self._session.many(cql.OPEN_IN_BUCKET, keys):
                yield [order_id for (order_id,) in rows]

        buckets = self._index.walk(OPEN_ORDERS, after // BUCKET_SIZE)
        return gather(buckets, limit, self._session.access.in_flight, read)


class Candles:
    def __init__(self, session: Session, shard: int) -> None:
        self._session = session
        self._shard = shard

    def get(self, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        months: dict[tuple[str, int], list[int]] = {}
        for symbol, minute_ns in keys:
            months.setdefault((symbol, month_of(minute_ns)), []).append(minute_ns)
        places = [(self._shard, *month, piece) for month, minutes in months.items() for piece in _chunks(minutes)]
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
    """Caches the dates of the trades in each bucket, which are part of the partition key of trades."""

    def __init__(self, session: Session, shard: int, is_descending: bool) -> None:
        self._session = session
        self._shard = shard
        self._is_descending = is_descending
        self._of: dict[int, list[date]] = {}

    def places(self, spans: list[Span]) -> list[tuple[int, date, int, int, int]]:
        """The partitions of these spans, each with its first and last id, in reading order."""
        new = [bucket for bucket in dict.fromkeys(low // BUCKET_SIZE for low, _ in spans) if bucket not in self._of]
        answers = self._session.many(cql.TRADE_DATES, [(self._shard, bucket) for bucket in new])
        for bucket, rows in zip(new, answers, strict=True):
            days = [found.date() for (found,) in rows]
            self._of[bucket] = days[::-1] if self._is_descending else days
        return [
            (self._shard, on, low // BUCKET_SIZE, low, high)
            for low, high in spans
            for on in self._of[low // BUCKET_SIZE]
        ]


def gather(
    places: Iterator[P], limit: int, in_flight: int, read: Callable[[list[P], int], Iterable[list[T]]]
) -> list[T]:
    """The first `limit` rows of places, which are read in this order.

    If one place has too few rows, the next ones are read concurrently, more of them each time, so that sparse rows
    cost few round trips. `read(places, limit)` returns up to `limit` rows of each place.
    """
    found: list[T] = []
    ahead = 1
    while len(found) < limit and (group := list(islice(places, ahead))):
        for rows in read(group, limit - len(found)):
            found += rows
            if len(found) >= limit:
                break
        ahead = min(4 * ahead, in_flight)
    return found[:limit]


def _ids_of(symbol: str, rows: list[Row], is_descending: bool) -> list[int]:
    ids = [number for number, named in rows if named == symbol]
    return ids[::-1] if is_descending else ids


def _spans(keys: Iterable[int], size: int, first: int, last: int) -> Iterator[Span]:
    """The sequences of each key, limited to `first` to `last`."""
    for key in keys:
        yield max(first, key * size), min(last, (key + 1) * size - 1)


def _by_bucket(ids: Iterable[int]) -> dict[int, list[int]]:
    """Groups ids by bucket, without those outside the range of a column."""
    buckets: dict[int, list[int]] = {}
    for one in ids:
        if is_int64(one):
            buckets.setdefault(one // BUCKET_SIZE, []).append(one)
    return buckets


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), KEYS_PER_STATEMENT):
        yield ids[start : start + KEYS_PER_STATEMENT]


def _block(row: Row) -> StoredBlock:
    return StoredBlock._make((row[0], hash_value(row[1]), hash_value(row[2]), *row[3:]))
