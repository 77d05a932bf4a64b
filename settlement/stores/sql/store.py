"""The store contract on Django's database connection: SQLite (embedded default) and PostgreSQL.

A batch and its checkpoint are written in one transaction, so rows are never ahead of the checkpoint. Rows are written
with upserts and `executemany` instead of the ORM, which would take more time than all the rest of settlement.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from heapq import merge
from itertools import count, islice
from typing import Any, TypeVar

from django.core.management import call_command

from ledger.api import MAX_LEGS
from matching.core.epochs import Epoch
from matching.core.hashes import hash_text, hash_value
from settlement.stores.base import (
    WHOLE,
    Balance,
    Candle,
    Checkpoint,
    DeadLetter,
    Definition,
    LedgerEvent,
    Order,
    Projection,
    SingleInserts,
    StoredBlock,
    StoreMisconfigured,
    Tables,
    Trade,
    TradingDay,
)
from settlement.stores.block_parts import in_row, joined, may_have_parts, parts_of
from settlement.stores.continuity import (
    refuse_fenced,
    refuse_gap,
    refuse_leap,
    refuse_older_epoch,
    refuse_outrun,
    refuse_skip,
)
from settlement.stores.sql import statements as sql
from settlement.stores.sql.layout import missing
from settlement.stores.sql.session import Row, Session

T = TypeVar("T")

PAGE = 1000
"""Rows that an iterator holds at a time."""
BLOCK_PAGE = 16
"""Rows of blocks that an iterator holds at a time; each has up to 1 MiB."""
KEYS_PER_STATEMENT = 400
"""Databases limit the number of parameters of a statement."""

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1

assert 1 << sql.LEG_BITS > MAX_LEGS


class SqlStore(SingleInserts):
    """One shard in one database. Raises StoreUnavailable and StoreRejected, as the contract defines."""

    is_atomic = True

    def __init__(self, alias: str = "default", slow_query_ms: float = 100, timeout_ms: int | None = None) -> None:
        """`timeout_ms` is the lock time-out; None: that of the database's settings."""
        self._session = Session(alias, slow_query_ms, timeout_ms)

    def connect(self) -> None:
        self._session.open()

    def close(self) -> None:
        self._session.close()

    def init(self) -> None:
        self._session.open()
        with self._session.translating():
            call_command("migrate", database=self._session.alias, interactive=False, verbosity=0)
            lost = list(missing(self._session.open()))
        if lost:
            raise StoreMisconfigured(
                f"The database lacks {', '.join(lost)}, although its record of migrations says that everything was "
                "made: restore it from a copy, or give settlement an empty database."
            )

    def ping(self) -> None:
        self.appended()

    # settlement writes

    def append_blocks(self, blocks: Sequence[StoredBlock]) -> None:
        if not blocks:
            return
        first, last = blocks[0], blocks[-1]
        checkpoint = Checkpoint(last.number, last.hash, last.epoch)
        rows = [(b.number, hash_text(b.hash), hash_text(b.prev_hash), *b[3:-1], in_row(b.data)) for b in blocks]
        with self._session.transaction():
            # The checkpoint first: its lock serializes this transaction and a concurrent `begin_epoch`.
            is_next = self._advance("appended", first.number - 1, first.prev_hash, checkpoint)
            head = checkpoint if is_next else self._lock_checkpoint("appended")
            self._refuse_fenced(blocks)
            if not is_next:
                refuse_gap(head, blocks, self._hash_of)
            self._session.write("engine_blocks", sql.PUT_BLOCK, rows)
            for part in (part for block in blocks for part in parts_of(block)):
                self._session.write("engine_block_parts", sql.PUT_BLOCK_PART, [part])
            if last.number > head.block_number:
                self._put_checkpoint("appended", checkpoint)

    def _hash_of(self, number: int) -> int | None:
        return _first(hash_value(digest) for (digest,) in self._session.rows(sql.GET_BLOCK_HASH, [number]))

    def _refuse_fenced(self, blocks: Sequence[StoredBlock]) -> None:
        oldest = min(block.epoch for block in blocks)
        for number, first_block in self._session.rows(sql.FENCES, [oldest, blocks[-1].number]):
            refuse_fenced(blocks, epoch=number, first_block=first_block)

    def begin_epoch(self, epoch: Epoch) -> None:
        with self._session.transaction():
            head = self._lock_checkpoint("appended")
            newest = max(self.epochs(), default=None)
            if newest == epoch:
                return
            refuse_older_epoch(newest, epoch)
            refuse_outrun(head, epoch)
            self._session.write("engine_epochs", sql.PUT_EPOCH, [_epoch_row(epoch)])

    def epochs(self) -> list[Epoch]:
        return [Epoch._make((*row[:2], hash_value(row[2]), *row[3:])) for row in self._session.rows(sql.EPOCHS)]

    def insert_batch(self, projection: Projection, follows: Checkpoint | None = None) -> None:
        with self._session.transaction():
            if projection.slice != WHOLE:
                self._insert_slice(projection, follows)
                return
            checkpoint = projection.checkpoint
            is_next = follows is not None and self._advance("projected", follows[0], follows[1], checkpoint)
            at = checkpoint if is_next else self._lock_checkpoint("projected")
            if follows is not None:
                refuse_leap(projected=at, appended=self.appended(), batch=checkpoint, follows=follows)
            self._put_rows(projection)
            if checkpoint.block_number > at.block_number:
                self._put_checkpoint("projected", checkpoint)

    def _insert_slice(self, projection: Projection, follows: Checkpoint | None) -> None:
        checkpoint, part, at = projection.checkpoint, projection.slice, self._lock_checkpoint("projected")
        if follows is not None:
            refuse_leap(projected=at, appended=self.appended(), batch=checkpoint, follows=follows)
        is_new = at.block_number < checkpoint.block_number
        within = self._progress(checkpoint.block_number)
        if is_new and not (part.through and within >= part.through):
            refuse_skip(within, checkpoint.block_number, part)
        self._put_rows(projection)
        if is_new and part.through:
            self._session.run(sql.DROP_PROGRESS, [checkpoint.block_number])
            row = (checkpoint.block_number, part.through)
            self._session.write("projection_progress", sql.PUT_PROGRESS, [row])
        elif is_new:
            self._session.run(sql.DROP_PROGRESS, [0])
            self._put_checkpoint("projected", checkpoint)

    def _progress(self, number: int) -> int:
        return _first(event for (event,) in self._session.rows(sql.GET_PROGRESS, [number])) or 0

    def insert_rows(self, projection: Projection) -> None:
        with self._session.transaction():
            self._put_rows(projection)

    def drop_projections(self) -> None:
        with self._session.transaction():
            for table in sql.PROJECTED_TABLES:
                self._session.run(f"DELETE FROM {table}")
            self._session.run(sql.DROP_PROGRESS, [0])
            self._put_checkpoint("projected", Checkpoint(0, 0, 0))

    def reset_projections(self, first_event_sequence: int, base: Projection) -> None:
        with self._session.transaction():
            for table, sequence in sql.SEQUENCE_OF.items():
                self._session.run(f"DELETE FROM {table} WHERE {sequence} >= %s", [first_event_sequence])
            self._session.run("DELETE FROM ledger_events WHERE entry >= %s", [first_event_sequence << sql.LEG_BITS])
            self._session.run(sql.DROP_PROGRESS, [0])
            self._put_rows(base)
            self._put_checkpoint("projected", base.checkpoint)

    def put_dead_letter(self, letter: DeadLetter) -> None:
        with self._session.transaction():
            self._session.write("dead_letters", sql.PUT_DEAD_LETTER, [letter[1:]])

    def _put_rows(self, projection: Projection) -> None:
        write = self._session.write
        write("definitions", sql.PUT_DEFINITION, projection.definitions)
        write("settled_trades", sql.PUT_TRADE, projection.trades)
        write("orders", sql.PUT_ORDER, projection.orders)
        write("ledger_events", sql.PUT_LEDGER_EVENT, projection.ledger_events)
        write("balances", sql.PUT_BALANCE, projection.balances)
        write("candles", sql.PUT_CANDLE, projection.candles)
        write("trading_days", sql.PUT_TRADING_DAY, projection.days)

    def _advance(self, stage: str, number: int, digest: int, checkpoint: Checkpoint) -> bool:
        """Locks and advances a checkpoint if it is at block `number` with that hash, in one statement."""
        values = [
            checkpoint.block_number,
            hash_text(checkpoint.hash),
            checkpoint.epoch,
            stage,
            number,
            hash_text(digest),
        ]
        return bool(self._session.rows(sql.ADVANCE_CHECKPOINT, values))

    def _lock_checkpoint(self, stage: str) -> Checkpoint:
        """Reads a checkpoint and locks it until this transaction ends."""
        ((number, digest, epoch),) = self._session.rows(sql.LOCK_CHECKPOINT, [stage])
        return Checkpoint(number, hash_value(digest), epoch)

    def _put_checkpoint(self, stage: str, checkpoint: Checkpoint) -> None:
        row = (stage, checkpoint.block_number, hash_text(checkpoint.hash), checkpoint.epoch)
        self._session.write("settlement_checkpoints", sql.PUT_CHECKPOINT, [row])

    # settlement reads

    def appended(self) -> Checkpoint:
        return self._checkpoint("appended")

    def projected(self) -> Checkpoint:
        return self._checkpoint("projected")

    def projected_within(self) -> int:
        return self._progress(self.projected().block_number + 1)

    def projecting(self) -> int:
        number = self.projected().block_number
        return number + 1 if self._progress(number + 1) else number

    def at_checkpoint(self) -> Tables:
        return self

    def _checkpoint(self, stage: str) -> Checkpoint:
        for number, digest, epoch in self._session.rows(sql.GET_CHECKPOINT, [stage]):
            return Checkpoint(number, hash_value(digest), epoch)
        return Checkpoint(0, 0, 0)

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        keys = [(order_id,) for order_id in order_ids if _is_int64(order_id)]
        return self._by_keys(sql.GET_ORDERS, keys, Order._make)

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        return self._by_keys(sql.GET_BALANCES, keys, Balance._make)

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        return self._by_keys(sql.GET_CANDLES, keys, Candle._make)

    def _by_keys(self, statement: str, keys: Sequence[Row], make: Callable[[Row], T]) -> list[T]:
        """The rows of many keys of one or two columns."""
        found: list[T] = []
        for start in range(0, len(keys), KEYS_PER_STATEMENT):
            chunk = keys[start : start + KEYS_PER_STATEMENT]
            one = "(" + ", ".join(["%s"] * len(chunk[0])) + ")"
            placeholders = ", ".join([one] * len(chunk))
            values = [value for key in chunk for value in key]
            found += map(make, self._session.rows(statement.replace("KEYS", placeholders), values))
        return found

    def definitions(self) -> list[Definition]:
        return [Definition._make(row) for row in self._session.rows(sql.DEFINITIONS)]

    # lookups: blocks

    def get_block(self, number: int) -> StoredBlock | None:
        return _first(self._whole_blocks(self._session.rows(sql.GET_BLOCK, [number]))) if _is_int64(number) else None

    def blocks(self, first: int, last: int | None = None) -> Iterator[StoredBlock]:
        last = INT64_MAX if last is None else _int64(last)
        while True:
            page = self._session.rows(sql.GET_BLOCKS, [_int64(first), last, BLOCK_PAGE])
            yield from self._whole_blocks(page)
            if len(page) < BLOCK_PAGE:
                return
            first = page[-1][0] + 1

    def block_of_event(self, event_sequence: int) -> StoredBlock | None:
        if not _is_int64(event_sequence):
            return None
        block = _first(self._whole_blocks(self._session.rows(sql.GET_BLOCK_OF_EVENT, [event_sequence])))
        return block if block is not None and block.first_event_sequence <= event_sequence else None

    def newest_blocks(self, limit: int, before: int | None = None) -> list[StoredBlock]:
        rows = self._session.rows(sql.NEWEST_BLOCKS, [_before(before), limit])
        return [_block((*row, b"")) for row in rows]

    def _whole_blocks(self, rows: Iterable[Row]) -> Iterator[StoredBlock]:
        for block in map(_block, rows):
            yield joined(block, self._parts(block.number)) if may_have_parts(block) else block

    def _parts(self, number: int) -> Iterator[bytes]:
        """The bytes of the stored parts of a block."""
        for part in count(1):
            row = _first(self._session.rows(sql.GET_BLOCK_PART, [number, part]))
            if row is None:
                return
            yield bytes(row[1])
            if part == row[0]:
                return

    # lookups: trades

    def get_trade_by_id(self, trade_id: int) -> Trade | None:
        return _first(self._trades(sql.GET_TRADE, [trade_id])) if _is_int64(trade_id) else None

    def get_trades_by_sequence_range(self, first: int, last: int, limit: int, symbol: str | None = None) -> list[Trade]:
        span = [_int64(first), _int64(last), limit]
        if symbol is None:
            return self._trades(sql.TRADES_BY_RANGE, span)
        return self._trades(sql.SYMBOL_TRADES_BY_RANGE, [symbol, *span])

    def newest_trades(
        self, limit: int, *, before: int | None = None, after: int | None = None, symbol: str | None = None
    ) -> list[Trade]:
        span = [INT64_MIN if after is None else _int64(after), _before(before), limit]
        if symbol is None:
            return self._trades(sql.NEWEST_TRADES, span)
        return self._trades(sql.SYMBOL_NEWEST_TRADES, [symbol, *span])

    def get_trades_by_account(self, account: int, limit: int, before: int | None = None) -> list[Trade]:
        if not _is_int64(account):
            return []
        key = [account, _before(before), limit]
        bought, sold = self._trades(sql.TRADES_BY_BUYER, key), self._trades(sql.TRADES_BY_SELLER, key)
        trades = merge(bought, (t for t in sold if t.buyer != account), key=lambda t: t.trade_id, reverse=True)
        return list(islice(trades, limit))

    def _trades(self, statement: str, parameters: Sequence[Any]) -> list[Trade]:
        return [Trade._make(row) for row in self._session.rows(statement, parameters)]

    def trading_day(self, day: date) -> TradingDay | None:
        rows = self._session.rows(sql.GET_TRADING_DAY, [day])
        return _first(TradingDay(day, first, last) for _, first, last in rows)

    # lookups: orders

    def newest_orders(self, limit: int, *, before: int | None = None, symbol: str | None = None) -> list[Order]:
        if symbol is None:
            return self._orders(sql.NEWEST_ORDERS, [_before(before), limit])
        return self._orders(sql.SYMBOL_NEWEST_ORDERS, [symbol, _before(before), limit])

    def get_orders_by_account(self, account: int, limit: int, before: int | None = None) -> list[Order]:
        if not _is_int64(account):
            return []
        return self._orders(sql.ORDERS_BY_ACCOUNT, [account, _before(before), limit])

    def get_orders_by_sequence_range(self, first: int, last: int, limit: int) -> list[Order]:
        return self._orders(sql.ORDERS_BY_RANGE, [_int64(first), _int64(last), limit])

    def open_orders(self) -> Iterator[Order]:
        after = INT64_MIN
        while page := self._orders(sql.OPEN_ORDERS, [after, PAGE]):
            yield from page
            after = page[-1].order_id

    def _orders(self, statement: str, parameters: Sequence[Any]) -> list[Order]:
        return [Order._make(row) for row in self._session.rows(statement, parameters)]

    # lookups: ledger, balances, candles

    def get_ledger_events(self, first_sequence: int, last_sequence: int) -> list[LedgerEvent]:
        span = [_int64(first_sequence << sql.LEG_BITS), _int64(((last_sequence + 1) << sql.LEG_BITS) - 1)]
        return [_ledger_event(row) for row in self._session.rows(sql.LEDGER_EVENTS, span)]

    def get_ledger_events_by_account(
        self, account: int, limit: int, *, asset: str | None = None, before: tuple[int, int] | None = None
    ) -> list[LedgerEvent]:
        if not _is_int64(account):
            return []
        entry = INT64_MAX if before is None else _int64((before[0] << sql.LEG_BITS) + before[1])
        assets = [balance.asset for balance in self.balances_of(account)] if asset is None else [asset]
        # Each page has the newest entries first, so merging the pages yields the newest of all.
        pages = [self._session.rows(sql.LEDGER_EVENTS_BY_ASSET, [account, name, entry, limit]) for name in assets]
        newest = merge(*pages, key=lambda row: row[0], reverse=True)
        return [_ledger_event(row) for row in islice(newest, limit)]

    def balances(self, after: tuple[int, str] | None = None, limit: int | None = None) -> Iterator[Balance]:
        left = INT64_MAX if limit is None else limit
        while left > 0:
            size = min(PAGE, left)
            if after is None:
                rows = self._session.rows(sql.FIRST_BALANCES, [size])
            else:
                rows = self._session.rows(sql.NEXT_BALANCES, [*after, size])
            yield from map(Balance._make, rows)
            if len(rows) < size:
                return
            left -= size
            after = (rows[-1][0], rows[-1][1])

    def balances_of(self, account: int) -> list[Balance]:
        if not _is_int64(account):
            return []
        return [Balance._make(row) for row in self._session.rows(sql.BALANCES_OF, [account])]

    def candles(self, symbol: str, limit: int) -> list[Candle]:
        return [Candle._make(row) for row in reversed(self._session.rows(sql.NEWEST_CANDLES, [symbol, limit]))]

    # dead letters

    def dead_letters(self, unresolved_only: bool = True) -> list[DeadLetter]:
        rows = self._session.rows(sql.UNRESOLVED_DEAD_LETTERS if unresolved_only else sql.DEAD_LETTERS)
        return [DeadLetter(row[0], *row) for row in rows]

    def newest_dead_letters(
        self, limit: int, *, before: int | None = None, unresolved_only: bool = False
    ) -> list[DeadLetter]:
        statement = sql.NEWEST_UNRESOLVED_DEAD_LETTERS if unresolved_only else sql.NEWEST_DEAD_LETTERS
        return [DeadLetter(row[0], *row) for row in self._session.rows(statement, [_before(before), limit])]

    def get_dead_letter(self, id: int) -> DeadLetter | None:
        rows = self._session.rows(sql.GET_DEAD_LETTER, [id]) if _is_int64(id) else []
        return _first(DeadLetter(row[0], *row) for row in rows)


def _epoch_row(epoch: Epoch) -> Row:
    return (*epoch[:2], hash_text(epoch.prev_hash), *epoch[3:])


def _block(row: Row) -> StoredBlock:
    return StoredBlock._make((row[0], hash_value(row[1]), hash_value(row[2]), *row[3:-1], bytes(row[-1])))


def _ledger_event(row: Row) -> LedgerEvent:
    entry, *rest = row
    return LedgerEvent(entry >> sql.LEG_BITS, entry & (1 << sql.LEG_BITS) - 1, *rest)


def _first(found: Iterable[T]) -> T | None:
    return next(iter(found), None)


def _is_int64(value: int) -> bool:
    """Whether a bigint column can hold the number; drivers raise for others."""
    return INT64_MIN <= value <= INT64_MAX


def _int64(value: int) -> int:
    """The value, limited to the range of a bigint column."""
    return max(INT64_MIN, min(INT64_MAX, value))


def _before(before: int | None) -> int:
    return INT64_MAX if before is None else _int64(before)
