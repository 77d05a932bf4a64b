"""The trades of a batch, and the days and minutes that they belong to."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ledger.api import compiled, inlined
from matching.core.codes import EventKind, Side
from matching.core.registry import Registry
from settlement.project.columns.orders import SIDES
from settlement.project.columns.records import BatchRecords
from settlement.project.columns.state_cache import numbered
from settlement.stores.base import MAX_VOLUME, Candle, Trade, TradingDay
from settlement.stores.base.columns import ABSENT, ColumnTable, Integers, Numbers, OptionalNumbers, Words

MINUTE_NS = 60 * 10**9
_DAY_NS = 86_400 * 10**9
_TRADE = int(EventKind.TRADE)
_BUY = int(Side.BUY)

CandleKey = tuple[str, int]
"""(symbol, start of the minute in ns)"""

CANDLE_STATE = np.dtype([(field, "<i8") for field in Candle._fields])
"""A `settlement.stores.base.Candle`; `symbol` is the number of the instrument, `trade_count` 0: there is none yet."""
_MAYBE_UNKNOWN = ("quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
"""All three are ABSENT in a minute that an earlier version began, and stay so."""


class BatchTrades:
    """The trades of a batch as arrays."""

    def __init__(self, batch: BatchRecords, registry: Registry) -> None:
        places = np.flatnonzero(batch.events["kind"] == _TRADE)
        self._events = batch.events[places]
        self._numbers = batch.numbers(places)
        self._times_ns = batch.times_ns(places)
        self._symbols = [instrument.symbol for instrument in registry.instruments]
        self._quote_units = np.array([instrument.quote_unit for instrument in registry.instruments], np.int64)

    def __len__(self) -> int:
        return len(self._events)

    def table(self) -> ColumnTable[Trade]:
        events = {name: np.ascontiguousarray(self._events[name]) for name in self._events.dtype.names or ()}
        takes_bid = events["side"] == _BUY
        taker, maker = events["account"], events["other_account"]
        return ColumnTable(
            Trade,
            trade_id=Numbers(events["sequence"]),
            block_number=Numbers(self._numbers),
            timestamp_ns=Numbers(self._times_ns),
            symbol=Words(events["instrument"], self._symbols),
            price=Numbers(events["price"]),
            quantity=Numbers(events["quantity"]),
            taker_side=Words(events["side"], SIDES),
            maker_order_id=Numbers(events["other_order_id"]),
            taker_order_id=Numbers(events["order_id"]),
            buyer=Numbers(np.where(takes_bid, taker, maker)),
            seller=Numbers(np.where(takes_bid, maker, taker)),
            buyer_fee=Numbers(events["buyer_fee"]),
            seller_fee=Numbers(events["seller_fee"]),
            trade_number=OptionalNumbers(np.where(events["trade_number"] == 0, ABSENT, events["trade_number"])),
        )

    def days(self, known: Callable[[date], TradingDay | None]) -> list[TradingDay]:
        """The days of the trades, in order, with their first trades. `known`: what is stored of a day."""
        if not len(self):
            return []
        days = self._times_ns // _DAY_NS
        starts = np.flatnonzero(np.diff(days, prepend=days[:1] - 1)).tolist()
        found = []
        for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
            day = day_of(int(self._times_ns[start]))
            before = known(day)
            first, last = (int(self._events["sequence"][place]) for place in (start, end - 1))
            found.append(TradingDay(day, before.first_trade_id if before else first, last))
        return found

    def minutes(self) -> "BatchCandles":
        minutes_ns = self._times_ns // MINUTE_NS * MINUTE_NS
        return BatchCandles(self._events, minutes_ns, self._symbols, self._quote_units)


class BatchCandles:
    """The candles that a batch changes."""

    def __init__(self, events: Any, minutes_ns: Integers, symbols: Sequence[str], quote_units: Integers) -> None:
        """`events`: the trades, and the minute of each; then what each instrument has, by its number."""
        self._events = events
        self._symbols, self._quote_units = symbols, quote_units
        instruments = events["instrument"].astype(np.int64)
        self._candle_of, places = numbered(instruments, minutes_ns)
        self._states = np.zeros(len(places), CANDLE_STATE)
        self._states["symbol"], self._states["minute_ns"] = instruments[places], minutes_ns[places]

    def keys(self) -> list[CandleKey]:
        ids, minutes_ns = self._states["symbol"].tolist(), self._states["minute_ns"].tolist()
        return [(self._symbols[instrument], minute_ns) for instrument, minute_ns in zip(ids, minutes_ns, strict=True)]

    def fold(self, before: Mapping[CandleKey, Candle]) -> ColumnTable[Candle]:
        """The candles after the trades, in the order of `keys`. `before` has those that exist."""
        for place, key in enumerate(self.keys()):
            if key in before:
                known = (ABSENT if value is None else value for value in before[key][1:])
                self._states[place] = (self._states["symbol"][place], *known)
        _fold(self._events, self._candle_of, self._quote_units, self._states)
        kinds: dict[str, type[Numbers | OptionalNumbers]] = dict.fromkeys(_MAYBE_UNKNOWN, OptionalNumbers)
        columns = {
            field: kinds.get(field, Numbers)(np.ascontiguousarray(self._states[field])) for field in Candle._fields[1:]
        }
        return ColumnTable(Candle, symbol=Words(self._states["symbol"], self._symbols), **columns)


@inlined
def _sum(volume: int, more: int) -> int:
    """The sum, at most MAX_VOLUME."""
    return MAX_VOLUME if volume > MAX_VOLUME - more else volume + more


@compiled(Path(__file__))
def _fold(events: Any, candle_of: Integers, quote_units: Integers, candles: Any) -> None:
    for place in range(len(events)):
        candle = candles[candle_of[place]]
        price, quantity = events[place]["price"], events[place]["quantity"]
        if candle["trade_count"] == 0:
            candle["open"] = price
            candle["high"] = price
            candle["low"] = price
        candle["high"] = max(candle["high"], price)
        candle["low"] = min(candle["low"], price)
        candle["close"] = price
        candle["volume"] = _sum(candle["volume"], quantity)
        if candle["quote_volume"] != ABSENT:
            quote = price * quantity * quote_units[events[place]["instrument"]]
            candle["quote_volume"] = _sum(candle["quote_volume"], quote)
            if events[place]["side"] == _BUY:
                candle["taker_buy_volume"] = _sum(candle["taker_buy_volume"], quantity)
                candle["taker_buy_quote_volume"] = _sum(candle["taker_buy_quote_volume"], quote)
        candle["trade_count"] += 1
        candle["last_trade_id"] = events[place]["sequence"]


def day_of(at_ns: int) -> date:
    """The UTC day of a time in nanoseconds."""
    return datetime.fromtimestamp(at_ns // 10**9, UTC).date()
