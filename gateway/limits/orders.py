"""Unfilled orders: how many new orders an account may place in ten seconds and in a day, over all APIs.

An order counts from when it is placed until it trades for the first time, so who trades may place more. Intervals are
those of the clock, in UTC.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.rest.errors import ApiError
from matching.core.codes import EventKind
from matching.core.reading.event_rows import EventRow

_TRADE = int(EventKind.TRADE)
_ORDERS_KEPT = 1_000_000


class Interval(NamedTuple):
    """`label` as in the names of headers, `name` and `number` as in exchangeInfo."""

    label: str
    name: str
    number: int
    seconds: int


INTERVALS = (Interval("10S", "SECOND", 10, 10), Interval("1D", "DAY", 1, 24 * 3600))


class _Counter:
    """Counts by account in the current interval."""

    def __init__(self, interval: Interval, limit: int) -> None:
        self.interval = interval
        self.limit = limit
        self._number = -1
        self._counts: dict[int, int] = {}

    def count(self, account: int, now_s: float) -> int:
        number = int(now_s // self.interval.seconds)
        if number != self._number:
            self._number = number
            self._counts.clear()
        return self._counts.get(account, 0)

    def add(self, account: int, orders: int, now_s: float) -> None:
        self._counts[account] = max(0, self.count(account, now_s) + orders)


class OrderLimits:
    """Counts in the memory of one gateway. `clock` returns seconds since 1970."""

    def __init__(self, per_10_s: int, per_day: int, clock: Callable[[], float]) -> None:
        limits = (per_10_s, per_day)
        self._counters = [_Counter(interval, limit) for interval, limit in zip(INTERVALS, limits, strict=True)]
        self._clock = clock
        self._unfilled: OrderedDict[int, int] = OrderedDict()  # order id → account

    def reserve(self, account: int, orders: int) -> None:
        """Counts orders that are about to be placed. Raises ApiError if they are too many."""
        now_s = self._clock()
        for counter in self._counters:
            if counter.count(account, now_s) + orders > counter.limit:
                interval = counter.interval
                raise ApiError(
                    -1015,
                    f"Too many new orders; current limit is {counter.limit} orders per {interval.number} "
                    f"{interval.name}.",
                    status=429,
                    headers={"Retry-After": str(int(interval.seconds - now_s % interval.seconds) + 1)},
                )
        self._add(account, orders)

    def release(self, account: int, orders: int) -> None:
        """Takes back a reservation: the orders were refused."""
        self._add(account, -orders)

    def note_placed(self, account: int, order_id: int) -> None:
        """Remembers an order that was reserved, until it trades."""
        self._unfilled[order_id] = account
        if len(self._unfilled) > _ORDERS_KEPT:
            self._unfilled.popitem(last=False)

    def note_events(self, events: Iterable[EventRow]) -> None:
        """Takes orders that have traded from the counts. To be called for every block."""
        for event in events:
            if event.kind == _TRADE:
                for order_id in (event.order_id, event.other_order_id):
                    account = self._unfilled.pop(order_id, None)
                    if account is not None:
                        self._add(account, -1)

    def counts(self, account: int) -> list[tuple[Interval, int, int]]:
        """Each interval with its limit and the account's count."""
        now_s = self._clock()
        return [(one.interval, one.limit, one.count(account, now_s)) for one in self._counters]

    def headers(self, account: int) -> dict[str, str]:
        return {f"X-MBX-ORDER-COUNT-{interval.label}": str(count) for interval, _, count in self.counts(account)}

    def _add(self, account: int, orders: int) -> None:
        now_s = self._clock()
        for counter in self._counters:
            counter.add(account, orders, now_s)
