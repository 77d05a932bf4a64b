"""What makes a batch of rows repeatable where it cannot be atomic.

Before a batch is written, one record keeps the rows that it changes as they were. When the batch dies half-way, some
rows are ahead of the `projected` checkpoint; whoever projects those blocks again reads them as the record has them
(the overlay), until the checkpoint has come to where rows may be. The batches of the second time may be others than
those of the first: while an overlay lasts, their records include it, and it follows what they write.

Two slots take turns, so that a record which is cut off half-way leaves the one before it readable. While a batch on an
overlay is under way both are needed: the record of the checkpoint, and the one of the block that the batch ends with,
for the checkpoint may be there although its write had no answer. So a record that is there whole is not written again,
and none goes into the slot of the checkpoint's own.
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
from settlement.stores.scylla.batches import PackedBatch, blob, head, long, longs, routing_key
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import int_value

SLOTS = (0, 1)
CHUNK_BYTES = 512 << 10

_NUMBERS = longs(3)


@dataclass
class Overlay:
    """Rows by key as the checkpoint's block, or a slice after it, left them; None: not there yet."""

    to_block: int
    to_event: int = 0  # where only slices of that block are written; 0: to its end
    orders: dict[int, Order | None] = field(default_factory=dict)
    balances: dict[tuple[int, str], Balance | None] = field(default_factory=dict)
    candles: dict[tuple[str, int], Candle | None] = field(default_factory=dict)

    def before(self, projection: Projection) -> "Overlay":
        """This, and what the batch changes besides; every key of it, too, that was not there."""
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
        """As the batch leaves it; None where the checkpoint comes to all that rows may tell of."""
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
        orders, balances, candles, *rest = json.loads(data)  # older versions write three
        return cls(
            to_block,
            rest[0] if rest else 0,
            {key: Order(*row) if row else None for key, row in orders},
            {(account, asset): Balance(*row) if row else None for account, asset, row in balances},
            {(symbol, minute): Candle(*row) if row else None for symbol, minute, row in candles},
        )


def _end_of(projection: Projection) -> tuple[int, int]:
    """Block and event to which a batch goes; event 0: to the block's end."""
    return projection.checkpoint.block_number, projection.slice.through


def _place(end: tuple[int, int]) -> tuple[int, float]:
    """What compares two of them."""
    return end[0], end[1] or inf


class _Record(NamedTuple):
    written_us: int
    chunks: int
    generation: int
    after_block: int
    to_block: int


class _Whole(NamedTuple):
    """A record of which all chunks are there."""

    generation: int
    after_block: int
    overlay: Overlay


class UndoLog:
    """The records of one shard, written by the one process that projects."""

    def __init__(self, session: Session, shard: int) -> None:
        self._session = session
        self._shard = shard
        self._whole: dict[int, _Whole] | None = None  # by slot, the newest last; None: not looked yet
        self._sending: tuple[int, _Whole] | None = None
        self._written_us = 0

    def write(self, generation: int, after_block: int, overlay: Overlay, checkpoint: int) -> None:
        """Durable when this returns. `checkpoint`: the block that is projected, whose record stays as it is."""
        self._session.send(self.batches(generation, after_block, overlay, checkpoint))
        self.written()

    def batches(self, generation: int, after_block: int, overlay: Overlay, checkpoint: int) -> list[PackedBatch]:
        """What to send, and to tell `written` of; nothing where the record is there."""
        whole = self._look() if self._whole is None else self._whole
        record = _Whole(generation, after_block, overlay)
        if record in whole.values():
            self._sending = None
            return []
        slot = _slot_beside(whole, generation, checkpoint)
        whole.pop(slot, None)  # until `written`
        self._sending = slot, record
        self._written_us = max(time.time_ns() // 1000, self._written_us + 1)
        return list(self._chunks(slot, record))

    def written(self) -> None:
        """The batches of the last call are there, all of them."""
        if self._sending is not None and self._whole is not None:
            slot, record = self._sending
            self._whole[slot] = record
            self._sending = None

    def _chunks(self, slot: int, record: _Whole) -> Iterator[PackedBatch]:
        generation, after_block, overlay = record
        data = overlay.encode()
        pieces = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
        where = int_value(self._shard) + int_value(slot)
        top = head(self._session.query_id(cql.PUT_UNDO), cql.width(cql.PUT_UNDO)) + where
        key = routing_key(where[4:8], where[12:])
        numbers = _NUMBERS.pack(8, generation, 8, after_block, 8, overlay.to_block)
        at = long(self._written_us)
        for place, piece in enumerate(pieces):
            row = b"".join((top, int_value(place), at, int_value(len(pieces)), numbers, blob(piece), at))
            yield PackedBatch(key, [row], "INSERT INTO projection_undo")

    def to_block(self, generation: int, after_block: int) -> int:
        """The newest block that rows may tell of while the checkpoint is at `after_block`."""
        records = [record for _, record in self._records() if (record[2], record[3]) == (generation, after_block)]
        return max((record.to_block for record in records), default=after_block)

    def read(self, generation: int, after_block: int) -> Overlay | None:
        """What a batch on this checkpoint that did not come to its end has left; None: there was none."""
        for record in reversed(self._look().values()):
            if record[:2] == (generation, after_block) and record.overlay.to_block > after_block:
                return record.overlay
        return None

    def _look(self) -> dict[int, _Whole]:
        """What is there. A record that is not whole was cut off, and then no row of its batch was written."""
        whole: dict[int, _Whole] = {}
        for slot, record in sorted(self._records(), key=lambda found: found[1].written_us):
            self._written_us = max(self._written_us, record.written_us)
            rows = self._session.rows(cql.UNDO, (self._shard, slot))
            pieces = [data for written_us, data in rows if written_us == record.written_us]
            if len(pieces) >= record.chunks:
                overlay = Overlay.decode(record.to_block, b"".join(pieces[: record.chunks]))
                whole[slot] = _Whole(record.generation, record.after_block, overlay)
        self._whole, self._sending = whole, None
        return whole

    def _records(self) -> list[tuple[int, _Record]]:
        found = [(slot, self._session.one(cql.UNDO_HEAD, (self._shard, slot))) for slot in SLOTS]
        return [(slot, _Record(*row)) for slot, row in found if row is not None]


def _slot_beside(whole: dict[int, _Whole], generation: int, checkpoint: int) -> int:
    """Not that of the checkpoint's newest record; where it has none, not that of the newest of all."""
    newest_first = list(reversed(whole))
    of_checkpoint = [slot for slot in newest_first if whole[slot][:2] == (generation, checkpoint)]
    kept = next(iter(of_checkpoint + newest_first), SLOTS[-1])
    return SLOTS[1 - SLOTS.index(kept)]


class TablesAtCheckpoint:
    """The tables, but for what an overlay knows better."""

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
        """Only its first trade is asked for, and that does not change."""
        return self._tables.trading_day(day)


def _split(known: dict[Any, Any], keys: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """The rows that are known to be there, and the keys that nothing is known of."""
    held, missing = [], []
    for key in keys:
        if key not in known:
            missing.append(key)
        elif known[key] is not None:
            held.append(known[key])
    return held, missing
