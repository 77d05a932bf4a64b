"""Undo records, which make a batch of rows repeatable on a store that cannot write it atomically.

Before a batch is written, an undo record saves the rows that it changes. If the batch is interrupted, some rows are
ahead of the `projected` checkpoint. When those blocks are projected again, these rows are read from the record (the
overlay) until the checkpoint has passed every block whose rows may have been written. The second time the blocks may be
batched differently: while an overlay exists, the records of new batches include it, and it is updated with what they
write.

Two slots are used alternately, so that writing a record does not destroy the previous one. During a batch on an overlay
both records are needed: that of the current checkpoint, and that of the block that the batch ends with, because the
write of the new checkpoint may succeed without an answer. Therefore a complete record is not written again, and no
record is written to the slot of the current checkpoint's record.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import inf
from typing import Any, NamedTuple

from settlement.stores.base import Balance, Candle, Order, Projection, Tables, TradingDay
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.batches import PackedBatch, blob, long, longs, routing_key, statement_header
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import int_value

SLOTS = (0, 1)
CHUNK_BYTES = 512 << 10

_NUMBERS = longs(3)


@dataclass
class Overlay:
    """Rows by key as they were at the checkpoint, or after a slice of the next block; None: the row did not exist."""

    to_block: int
    to_event: int = 0  # the end of the last slice written of that block; 0: the whole block
    orders: dict[int, Order | None] = field(default_factory=dict)
    balances: dict[tuple[int, str], Balance | None] = field(default_factory=dict)
    candles: dict[tuple[str, int], Candle | None] = field(default_factory=dict)

    def before(self, projection: Projection) -> "Overlay":
        """The overlay extended by the rows that the batch changes or adds."""
        made = Overlay(*max(self._to, _end_of(projection), key=_place))
        known = projection.before
        made.orders = {row.order_id: None for row in projection.orders}
        made.balances = {(row.account, row.asset): None for row in projection.balances}
        made.candles = {(row.symbol, row.minute_ns): None for row in projection.candles}
        if known is not None:
            made.orders |= {row.order_id: row for row in known.orders}
            made.balances |= {(row.account, row.asset): row for row in known.balances}
            made.candles |= {(row.symbol, row.minute_ns): row for row in known.candles}
        made.orders |= self.orders
        made.balances |= self.balances
        made.candles |= self.candles
        return made

    def after(self, projection: Projection) -> "Overlay | None":
        """The overlay after the batch; None if the checkpoint is then not behind any row."""
        if _place(_end_of(projection)) >= _place(self._to):
            return None
        made = Overlay(*self._to, {**self.orders}, {**self.balances}, {**self.candles})
        made.orders |= {row.order_id: row for row in projection.orders}
        made.balances |= {(row.account, row.asset): row for row in projection.balances}
        made.candles |= {(row.symbol, row.minute_ns): row for row in projection.candles}
        return made

    @property
    def _to(self) -> tuple[int, int]:
        return self.to_block, self.to_event

    def encode(self) -> bytes:
        orders = [[key, row] for key, row in self.orders.items()]
        balances = [[*key, row] for key, row in self.balances.items()]
        candles = [[*key, row] for key, row in self.candles.items()]
        return json.dumps([orders, balances, candles, self.to_event], separators=(",", ":")).encode()

    @classmethod
    def decode(cls, to_block: int, data: bytes) -> "Overlay":
        orders, balances, candles, *rest = json.loads(data)  # older versions wrote three items
        return cls(
            to_block,
            rest[0] if rest else 0,
            {key: Order(*row) if row else None for key, row in orders},
            {(account, asset): Balance(*row) if row else None for account, asset, row in balances},
            {(symbol, minute): Candle(*row) if row else None for symbol, minute, row in candles},
        )


def _end_of(projection: Projection) -> tuple[int, int]:
    """The block and event that a batch ends with; event 0: the end of the block."""
    return projection.checkpoint.block_number, projection.slice.through


def _place(end: tuple[int, int]) -> tuple[int, float]:
    """A sort key of such ends."""
    return end[0], end[1] or inf


class _Record(NamedTuple):
    written_us: int
    chunks: int
    generation: int
    after_block: int
    to_block: int


class _CompleteRecord(NamedTuple):
    """A record whose chunks are all stored."""

    generation: int
    after_block: int
    overlay: Overlay


class UndoLog:
    """The records of one shard, written by the one process that projects."""

    def __init__(self, session: Session, shard: int) -> None:
        self._session = session
        self._shard = shard
        self._complete: dict[int, _CompleteRecord] | None = None  # by slot, the newest last; None: not read yet
        self._sending: tuple[int, _CompleteRecord] | None = None
        self._written_us = 0

    def write(self, generation: int, after_block: int, overlay: Overlay, checkpoint: int) -> None:
        """Writes a record, durable when this returns. `checkpoint`: its record is not overwritten."""
        self._session.send(self.batches(generation, after_block, overlay, checkpoint))
        self.written()

    def batches(self, generation: int, after_block: int, overlay: Overlay, checkpoint: int) -> list[PackedBatch]:
        """The batches of a record, empty if it is stored already; call `written` after sending them."""
        complete = self._read_records() if self._complete is None else self._complete
        record = _CompleteRecord(generation, after_block, overlay)
        if record in complete.values():
            self._sending = None
            return []
        slot = _slot_to_overwrite(complete, generation, checkpoint)
        complete.pop(slot, None)  # until `written`
        self._sending = slot, record
        self._written_us = max(time.time_ns() // 1000, self._written_us + 1)
        return list(self._chunks(slot, record))

    def written(self) -> None:
        """Call when all batches of the last call of `batches` are durable."""
        if self._sending is not None and self._complete is not None:
            slot, record = self._sending
            self._complete[slot] = record
            self._sending = None

    def _chunks(self, slot: int, record: _CompleteRecord) -> Iterator[PackedBatch]:
        generation, after_block, overlay = record
        data = overlay.encode()
        pieces = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
        where = int_value(self._shard) + int_value(slot)
        header = statement_header(self._session.query_id(cql.PUT_UNDO), cql.width(cql.PUT_UNDO)) + where
        key = routing_key(where[4:8], where[12:])
        numbers = _NUMBERS.pack(8, generation, 8, after_block, 8, overlay.to_block)
        at = long(self._written_us)
        for place, piece in enumerate(pieces):
            row = b"".join((header, int_value(place), at, int_value(len(pieces)), numbers, blob(piece), at))
            yield PackedBatch(key, [row], "INSERT INTO projection_undo")

    def to_block(self, generation: int, after_block: int) -> int:
        """The newest block of which rows may be written while the checkpoint is at `after_block`."""
        records = [record for _, record in self._records() if (record[2], record[3]) == (generation, after_block)]
        return max((record.to_block for record in records), default=after_block)

    def read(self, generation: int, after_block: int) -> Overlay | None:
        """The overlay of an unfinished batch on this checkpoint; None: there is no such batch."""
        for record in reversed(self._read_records().values()):
            if record[:2] == (generation, after_block) and record.overlay.to_block > after_block:
                return record.overlay
        return None

    def _read_records(self) -> dict[int, _CompleteRecord]:
        """Reads the complete records. If a record is incomplete, no row of its batch was written."""
        complete: dict[int, _CompleteRecord] = {}
        for slot, record in sorted(self._records(), key=lambda found: found[1].written_us):
            self._written_us = max(self._written_us, record.written_us)
            rows = self._session.rows(cql.UNDO, (self._shard, slot))
            pieces = [data for written_us, data in rows if written_us == record.written_us]
            if len(pieces) >= record.chunks:
                overlay = Overlay.decode(record.to_block, b"".join(pieces[: record.chunks]))
                complete[slot] = _CompleteRecord(record.generation, record.after_block, overlay)
        self._complete, self._sending = complete, None
        return complete

    def _records(self) -> list[tuple[int, _Record]]:
        found = [(slot, self._session.one(cql.UNDO_HEAD, (self._shard, slot))) for slot in SLOTS]
        return [(slot, _Record(*row)) for slot, row in found if row is not None]


def _slot_to_overwrite(complete: dict[int, _CompleteRecord], generation: int, checkpoint: int) -> int:
    """Keeps the checkpoint's newest record, or the newest of all if the checkpoint has none."""
    newest_first = list(reversed(complete))
    of_checkpoint = [slot for slot in newest_first if complete[slot][:2] == (generation, checkpoint)]
    kept = next(iter(of_checkpoint + newest_first), SLOTS[-1])
    return SLOTS[1 - SLOTS.index(kept)]


class TablesAtCheckpoint:
    """Reads rows from the overlay, and from the tables those that it does not have."""

    def __init__(self, tables: Tables, overlay: Callable[[], Overlay | None]) -> None:
        self._tables = tables
        self._overlay = overlay

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        overlay = self._overlay()
        held, missing = _split(overlay.orders if overlay else {}, order_ids)
        return [*held, *(self._tables.get_orders(missing) if missing else ())]

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        overlay = self._overlay()
        held, missing = _split(overlay.balances if overlay else {}, keys)
        return [*held, *(self._tables.get_balances(missing) if missing else ())]

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        overlay = self._overlay()
        held, missing = _split(overlay.candles if overlay else {}, keys)
        return [*held, *(self._tables.get_candles(missing) if missing else ())]

    def trading_day(self, day: date) -> TradingDay | None:
        """Read from the table: the caller needs only the first trade, which does not change."""
        return self._tables.trading_day(day)


def _split(known: dict[Any, Any], keys: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """The rows that the overlay has, and the keys that it does not have."""
    held, missing = [], []
    for key in keys:
        if key not in known:
            missing.append(key)
        elif known[key] is not None:
            held.append(known[key])
    return held, missing
