"""Small indexes of the partitions that contain rows, with one entry per bucket, account part or month, not per row.

With them a lookup does not scan: it goes from one partition with rows to the next. An entry is written before the rows
that it leads to, and is kept when these are deleted. An entry without rows costs one read; a missing entry would hide
rows. Only entries of buckets of open orders are removed (`drop_leaf`), when no order there can be open any more.
"""

from collections.abc import Iterator
from datetime import date
from struct import Struct

from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.batches import Outbox, long, routing_key, statement_header, text
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.keys import BUCKET_SIZE, INT64_MAX, INT64_MIN, PART_SIZE, SLICE_SIZE, last_stamp, stamp

ACCOUNTS, ORDERS, OPEN_ORDERS, TRADES, LEDGER = "accounts", "orders", "open_orders", "trades", "ledger"
_BITS = 16  # of a key, per level of a tree
_LEVELS = 4
_CACHE_SIZE = 200_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal() - (1 << 31)

_INT = Struct(">ii")
_DATE = Struct(">iI")


def trades_of(symbol: str) -> str:
    """The tree of the ranges of SLICE_SIZE sequences that hold trades of an instrument."""
    return f"trades of {symbol}"


def orders_of(symbol: str) -> str:
    return f"orders of {symbol}"


def int_value(value: int) -> bytes:
    return _INT.pack(4, value)


def date_value(value: date) -> bytes:
    return _DATE.pack(4, value.toordinal() - _EPOCH_ORDINAL)


class Entries:
    """The index entries that a batch of rows needs."""

    def __init__(self) -> None:
        self.children: set[tuple[str, int]] = set()  # tree, key
        self.trade_dates: set[tuple[int, date]] = set()  # bucket, date
        self.account_parts: set[tuple[int, str, str, int, int]] = set()  # account, kind, asset, month, part
        self.candle_months: set[tuple[str, int]] = set()  # symbol, month
        self.ledger_accounts: set[tuple[int, int, str, int]] = set()  # bucket, account, asset, month

    def add_trade(self, trade_id: int, on: date, symbol: str) -> None:
        bucket = trade_id // BUCKET_SIZE
        self.trade_dates.add((bucket, on))
        self.children.add((TRADES, bucket))
        self.children.add((trades_of(symbol), trade_id // SLICE_SIZE))

    def add_order(self, order_id: int, symbol: str) -> None:
        self.children.add((ORDERS, order_id // BUCKET_SIZE))
        self.children.add((orders_of(symbol), order_id // SLICE_SIZE))

    def add_ledger(self, bucket: int, account: int, asset: str, month: int) -> None:
        self.ledger_accounts.add((bucket, account, asset, month))
        self.account_parts.add((account, LEDGER, asset, month, bucket * BUCKET_SIZE // PART_SIZE))


class Index:
    """Writes and walks the indexes of one shard."""

    def __init__(self, session: Session, shard: int) -> None:
        self._session = session
        self._shard = shard
        self._known: set[object] = set()
        self._known_before: set[object] = set()

    # Writing

    def missing(self, entries: Entries, generation: int) -> tuple[Outbox, set[object]]:
        """Rows for entries that are not in the cache, and the keys to pass to `remember` after writing them."""
        for key in entries.account_parts:
            entries.children.add((ACCOUNTS, key[0]))
        for bucket, *_ in entries.ledger_accounts:
            entries.children.add((LEDGER, bucket))
        outbox, new = Outbox(), set[object]()
        time = long(stamp(generation, 0))
        for tree, child in entries.children:
            for level in range(_LEVELS):
                node = (tree, level, child >> _BITS * level)
                if not self._is_known(node, new):
                    self._add_child(outbox, tree=tree, level=level, child=node[2], time=time)
        self._add_rest(outbox, entries, new, time)
        return outbox, new

    def remember(self, keys: set[object]) -> None:
        if len(self._known) >= _CACHE_SIZE:
            self._known_before, self._known = self._known, set()
        self._known |= keys

    def forget(self) -> None:
        self._known, self._known_before = set(), set()

    def _is_known(self, key: object, new: set[object]) -> bool:
        if key in self._known or key in new:
            return True
        new.add(key)
        if key in self._known_before:
            self._known.add(key)
            return True
        return False

    def _add_child(self, outbox: Outbox, *, tree: str, level: int, child: int, time: bytes) -> None:
        shard, name, prefix = int_value(self._shard), text(tree), long(_prefix(level, child))
        key = routing_key(shard[4:], name[4:], int_value(level)[4:], prefix[4:])
        values = b"".join((shard, name, int_value(level), prefix, long(child), time))
        outbox.add(key, self._header(cql.PUT_CHILD) + values)

    def _add_rest(self, outbox: Outbox, entries: Entries, new: set[object], time: bytes) -> None:
        shard = int_value(self._shard)

        def add(statement: str, values: bytes, *key: bytes) -> None:
            outbox.add(routing_key(shard[4:], *key), self._header(statement) + shard + values + time)

        for dated in entries.trade_dates:
            if not self._is_known(dated, new):
                bucket = long(dated[0])
                add(cql.PUT_TRADE_DATE, bucket + date_value(dated[1]), bucket[4:])
        for part in entries.account_parts:
            if not self._is_known(part, new):
                account = long(part[0])
                rest = text(part[1]) + text(part[2]) + int_value(part[3]) + long(part[4])
                add(cql.PUT_ACCOUNT_PART, account + rest, account[4:])
        for monthly in entries.candle_months:
            if not self._is_known(monthly, new):
                add(cql.PUT_CANDLE_MONTH, text(monthly[0]) + int_value(monthly[1]))
        for entry in entries.ledger_accounts:
            if not self._is_known(entry, new):
                bucket = long(entry[0])
                rest = long(entry[1]) + text(entry[2]) + int_value(entry[3])
                add(cql.PUT_LEDGER_ACCOUNT, bucket + rest, bucket[4:])

    def _header(self, statement: str) -> bytes:
        return statement_header(self._session.query_id(statement), cql.width(statement))

    def drop_leaf(self, tree: str, key: int, generation: int) -> None:
        """Removes a bucket that is empty and stays empty."""
        values = (last_stamp(generation), self._shard, tree, 0, _prefix(0, key), key)
        self._session.run(cql.DROP_CHILD, values)

    # Walking

    def walk(self, tree: str, first: int = INT64_MIN, last: int = INT64_MAX) -> Iterator[int]:
        """The keys from `first` to `last`, ascending."""
        return self._walk(cql.CHILDREN, tree, _LEVELS - 1, 0, first, last)

    def walk_descending(self, tree: str, first: int = INT64_MIN, last: int = INT64_MAX) -> Iterator[int]:
        return self._walk(cql.CHILDREN_DESCENDING, tree, _LEVELS - 1, 0, first, last)

    def _walk(self, statement: str, tree: str, level: int, prefix: int, first: int, last: int) -> Iterator[int]:
        if first > last:
            return
        bounds = first >> _BITS * level, last >> _BITS * level
        for (child,) in self._session.iterate(statement, (self._shard, tree, level, prefix, *bounds)):
            if level == 0:
                yield child
            else:
                yield from self._walk(statement, tree, level - 1, child, first, last)

    def dates_of(self, bucket: int) -> list[date]:
        """The dates of the trades in a bucket, ascending."""
        return [found.date() for (found,) in self._session.rows(cql.TRADE_DATES, (self._shard, bucket))]

    def parts_of(
        self, account: int, kind: str, *, first: int, last: int, is_descending: bool = True
    ) -> Iterator[tuple[int, int]]:
        """Month and part of an account's trades or orders from sequence `first` to `last`."""
        statement = cql.ACCOUNT_PARTS if is_descending else cql.OLDEST_ACCOUNT_PARTS
        for month, part in self._session.iterate(statement, (self._shard, account, kind, "")):
            if first // PART_SIZE <= part <= last // PART_SIZE:
                yield month, part


def _prefix(level: int, child: int) -> int:
    return 0 if level == _LEVELS - 1 else child >> _BITS
