"""Candles of one instrument: seconds, minutes, hours and days as trades make them, the other intervals from these.

Only intervals with a trade are kept. The newest row of each step is still open; it is added to the next longer step
when it ends. So a trade changes one row.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Self

from gateway.model.intervals import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Interval
from gateway.model.records import Candle, Trade
from matching.core.codes import Side
from settlement.stores.base import Candle as StoredCandle

_STEPS = (SECOND_NS, MINUTE_NS, HOUR_NS, DAY_NS)
_BUY = Side.BUY
NO_TRADE = -1


class Row:
    """The trades of one interval, summed up. The open time is a multiple of the step's length."""

    __slots__ = (
        "close",
        "count",
        "first",
        "high",
        "last",
        "last_quantity",
        "low",
        "open",
        "open_ns",
        "quote",
        "taker_quote",
        "taker_volume",
        "volume",
    )

    def __init__(self, open_ns: int, trade: Trade, quote: int) -> None:
        self.open_ns = open_ns
        self.open = self.high = self.low = self.close = trade.price
        self.volume = self.last_quantity = trade.quantity
        self.quote = quote
        self.count = 1
        is_taker_buy = trade.taker_side is _BUY
        self.taker_volume = trade.quantity if is_taker_buy else 0
        self.taker_quote = quote if is_taker_buy else 0
        self.first = self.last = trade.trade_number

    @classmethod
    def of_minute(cls, stored: StoredCandle, first: int, quote_unit: int) -> Self:
        """A minute of the store.

        One that an earlier version stored has neither what was paid, nor what takers bought: what was paid is reckoned
        at the middle of its prices, and takers count as if they had bought half.
        """
        made = cls.__new__(cls)
        made.open_ns = stored.minute_ns
        made.open, made.high, made.low, made.close = stored.open, stored.high, stored.low, stored.close
        made.volume, made.last_quantity = stored.volume, 0
        made.count = stored.trade_count
        if stored.quote_volume is None:
            made.quote = stored.volume * (stored.open + stored.high + stored.low + stored.close) * quote_unit // 4
            made.taker_volume, made.taker_quote = stored.volume // 2, made.quote // 2
        else:
            made.quote = stored.quote_volume
            made.taker_volume, made.taker_quote = stored.taker_buy_volume or 0, stored.taker_buy_quote_volume or 0
        made.first, made.last = first, first + stored.trade_count - 1
        return made

    def add(self, trade: Trade, quote: int) -> None:
        price, quantity = trade.price, trade.quantity
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close, self.last_quantity, self.last = price, quantity, trade.trade_number
        self.volume += quantity
        self.quote += quote
        self.count += 1
        if trade.taker_side is _BUY:
            self.taker_volume += quantity
            self.taker_quote += quote

    def merge(self, later: "Row") -> None:
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close, self.last_quantity, self.last = later.close, later.last_quantity, later.last
        self.volume += later.volume
        self.quote += later.quote
        self.count += later.count
        self.taker_volume += later.taker_volume
        self.taker_quote += later.taker_quote

    def copy(self, open_ns: int) -> Self:
        made = type(self).__new__(type(self))
        for name in Row.__slots__:
            setattr(made, name, getattr(self, name))
        made.open_ns = open_ns
        return made

    def candle(self, close_ns: int) -> Candle:
        return Candle(
            self.open_ns,
            close_ns,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.quote,
            self.count,
            self.taker_volume,
            self.taker_quote,
            self.first,
            self.last,
        )


class CandleSeries:
    """`kept` rows of each step are kept at least."""

    def __init__(self, quote_unit: int, *, kept: int) -> None:
        self._quote_unit = quote_unit
        self._kept = kept
        self._ended: list[list[Row]] = [[] for _ in _STEPS]
        self._current: list[Row | None] = [None for _ in _STEPS]

    def add(self, trade: Trade) -> None:
        quote = trade.price * trade.quantity * self._quote_unit
        current = self._current[0]
        if current is not None and trade.time_ns - current.open_ns < SECOND_NS:
            current.add(trade, quote)
            return
        if current is not None:
            self._end(0, current)
        self._current[0] = Row(trade.time_ns - trade.time_ns % SECOND_NS, trade, quote)

    def add_minute(self, row: Row) -> None:
        """Adds a whole minute, before any trade of a later one."""
        self._end(1, row)

    def _end(self, step: int, row: Row) -> None:
        """Puts the ended row of a step to the others, and adds it to the open row of the next step."""
        ended = self._ended[step]
        ended.append(row)
        if len(ended) > 2 * self._kept:  # seldom, because it moves all that are kept
            del ended[: -self._kept]
        if step + 1 == len(_STEPS):
            return
        longer, length = self._current[step + 1], _STEPS[step + 1]
        if longer is not None and row.open_ns - longer.open_ns < length:
            longer.merge(row)
            return
        if longer is not None:
            self._end(step + 1, longer)
        self._current[step + 1] = row.copy(row.open_ns - row.open_ns % length)

    @property
    def last_row(self) -> Row | None:
        """The newest second with a trade."""
        return self._current[0]

    def rows(self, step: int, start_ns: int, end_ns: int) -> Iterator[Row]:
        """Rows of one step that begin from `start_ns` to before `end_ns`; those of shorter steps that are still open
        complete the newest."""
        ended = self._ended[step]
        for index in range(bisect_left(ended, start_ns, key=_open_ns), len(ended)):
            if ended[index].open_ns >= end_ns:
                return
            yield ended[index]
        length = _STEPS[step]
        newest: Row | None = None
        for shorter in range(step, -1, -1):
            part = self._current[shorter]
            if part is None:
                continue
            open_ns = part.open_ns - part.open_ns % length
            if newest is not None and newest.open_ns == open_ns:
                newest.merge(part)
            else:
                if newest is not None and start_ns <= newest.open_ns < end_ns:
                    yield newest
                newest = part.copy(open_ns)
        if newest is not None and start_ns <= newest.open_ns < end_ns:
            yield newest

    def summed(self, step: int, start_ns: int, end_ns: int) -> Row | None:
        """The trades of a time as one row; None: there was none."""
        total: Row | None = None
        for row in self.rows(step, start_ns, end_ns):
            if total is None:
                total = row.copy(start_ns)
            else:
                total.merge(row)
        return total

    def first_ns(self, step: int) -> int | None:
        """Where the oldest row of a step begins."""
        return next((row.open_ns for row in self.rows(step, 0, 1 << 63)), None)

    def close_before(self, time_ns: int) -> tuple[int, int] | None:
        """(price, quantity) of the last trade that is known in the minutes before `time_ns`; None: there is none."""
        found: Row | None = None
        ended = self._ended[1]
        index = bisect_left(ended, time_ns, key=_open_ns)
        if index:
            found = ended[index - 1]
        for row in self.rows(1, found.open_ns if found else 0, time_ns):
            found = row
        return (found.close, found.last_quantity) if found else None

    def candles(
        self,
        interval: Interval,
        *,
        limit: int,
        now_ns: int,
        start_ns: int | None = None,
        end_ns: int | None = None,
        offset_ns: int = 0,
    ) -> Sequence[Candle]:
        """As `MarketQueries.candles`, up to the interval that contains `now_ns`."""
        step = _step_of(interval, offset_ns)
        first = self.first_ns(step)
        if first is None:
            return []
        end = min(now_ns, now_ns if end_ns is None else end_ns)
        if start_ns is None:
            begin = self._begin_of_newest(interval, end, limit, offset_ns)
        else:
            begin = _aligned(interval, start_ns, offset_ns)
            begin = begin if begin >= start_ns else interval.after(begin + offset_ns) - offset_ns
        begin = max(begin, _aligned(interval, first, offset_ns))
        return self._filled(interval, step, begin, end, limit, offset_ns)

    @staticmethod
    def _begin_of_newest(interval: Interval, end: int, limit: int, offset_ns: int) -> int:
        begin = _aligned(interval, end, offset_ns)
        if interval is not Interval.MONTH:
            return begin - (limit - 1) * interval.length_ns
        for _ in range(limit - 1):
            begin = _aligned(interval, begin - 1, offset_ns)
        return begin

    def _filled(
        self, interval: Interval, step: int, begin: int, end: int, limit: int, offset_ns: int
    ) -> Sequence[Candle]:
        """Candles from the interval that begins at `begin` to that which contains `end`, with those of no trade."""
        found: list[Candle] = []
        rows = self.rows(step, begin, end + 1)
        row = next(rows, None)
        before = self.close_before(begin)
        close = before[0] if before else 0
        while begin <= end and len(found) < limit:
            following = interval.after(begin + offset_ns) - offset_ns
            total: Row | None = None
            while row is not None and row.open_ns < following:
                if total is None:
                    total = row.copy(begin)
                else:
                    total.merge(row)
                row = next(rows, None)
            if total is not None:
                found.append(total.candle(following - 1))
                close = total.close
            elif close:
                found.append(flat(begin, following - 1, close))
            begin = following
        return found


def flat(open_ns: int, close_ns: int, price: int) -> Candle:
    """The candle of an interval without a trade."""
    return Candle(open_ns, close_ns, price, price, price, price, 0, 0, 0, 0, 0, NO_TRADE, NO_TRADE)


def _open_ns(row: Row) -> int:
    return row.open_ns


def _aligned(interval: Interval, time_ns: int, offset_ns: int) -> int:
    """The beginning of the interval, in a zone that is `offset_ns` ahead of UTC, that contains `time_ns`."""
    return interval.begin(time_ns + offset_ns) - offset_ns


def _step_of(interval: Interval, offset_ns: int) -> int:
    """The longest step of which the interval consists in a zone that is `offset_ns` ahead of UTC."""
    return max(
        step for step, length in enumerate(_STEPS) if interval.length_ns % length == 0 and offset_ns % length == 0
    )
