"""The newest trades of one instrument, and the aggregate trades that are made of them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import attrgetter

from gateway.model.records import AggregateTrade, Trade

_TIME = attrgetter("time_ns")


class Tape:
    """Keeps at least the newest `kept` trades, with consecutive trade numbers."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._trades: list[Trade] = []

    def __len__(self) -> int:
        return len(self._trades)

    def __getitem__(self, index: int) -> Trade:
        return self._trades[index]

    @property
    def first_number(self) -> int:
        """Of the oldest trade that is kept; 0: there is none."""
        return self._trades[0].trade_number if self._trades else 0

    def add(self, trade: Trade) -> None:
        self._trades.append(trade)
        if len(self._trades) > 2 * self._kept:  # seldom, because it moves all that are kept
            del self._trades[: -self._kept]

    def extend_back(self, older: Sequence[Trade]) -> None:
        """Puts trades before those that are there. Ignores them unless they end where these begin."""
        if older and (not self._trades or older[-1].trade_number + 1 == self.first_number):
            self._trades[:0] = older

    def trades(self, *, limit: int, from_number: int | None = None) -> Sequence[Trade]:
        if from_number is None:
            return self._trades[-limit:]
        start = max(0, from_number - self.first_number)
        return self._trades[start : start + limit]

    def aggregates(
        self, *, limit: int, from_id: int | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Sequence[AggregateTrade]:
        trades = self._trades
        if from_id is None and start_ns is None:
            stop = len(trades) if end_ns is None else bisect_right(trades, end_ns, key=_TIME)
            return self._newest_aggregates(stop, limit)
        begin = max(0, (from_id or 0) - self.first_number)
        if start_ns is not None:
            begin = max(begin, bisect_left(trades, start_ns, key=_TIME))
        while 0 < begin < len(trades) and _belong_together(trades[begin - 1], trades[begin]):
            begin += 1
        stop = len(trades) if end_ns is None else bisect_right(trades, end_ns, key=_TIME)
        return list(islice(aggregated(trades[begin:stop]), limit))

    def _newest_aggregates(self, stop: int, limit: int) -> Sequence[AggregateTrade]:
        begin, count = stop, 0
        while begin > 0:
            if begin == stop or not _belong_together(self._trades[begin - 1], self._trades[begin]):
                count += 1
                if count > limit:
                    break
            begin -= 1
        return list(aggregated(self._trades[begin:stop]))


def aggregated(trades: Iterable[Trade]) -> Iterable[AggregateTrade]:
    """Joins consecutive trades of one command and taker at one price."""
    first: Trade | None = None
    last: Trade | None = None
    quantity = 0
    for trade in trades:
        if first is not None and last is not None and _belong_together(last, trade):
            quantity += trade.quantity
        else:
            if first is not None and last is not None:
                yield _aggregate(first, last, quantity)
            first, quantity = trade, trade.quantity
        last = trade
    if first is not None and last is not None:
        yield _aggregate(first, last, quantity)


def _belong_together(one: Trade, following: Trade) -> bool:
    return (one.price, one.taker_order_id, one.command_sequence) == (
        following.price,
        following.taker_order_id,
        following.command_sequence,
    )


def _aggregate(first: Trade, last: Trade, quantity: int) -> AggregateTrade:
    return AggregateTrade(
        first.trade_number,
        first.price,
        quantity,
        first.trade_number,
        last.trade_number,
        first.time_ns,
        first.taker_side,
    )
