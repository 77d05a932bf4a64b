"""Unfilled orders: how many new orders an account may place in ten seconds and in a day, over all APIs.

An order counts from when it is placed until it trades for the first time, so who trades may place more. Intervals are
those of the clock, in UTC.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.limits.counts import Counts
from gateway.rest.errors import ApiError
from matching.core.codes import EventKind
from matching.core.reading.event_rows import EventRow

_TRADE = int(EventKind.TRADE)
_ORDERS_KEPT = 1_000_000


class Interval(NamedTuple):
    """`header` tells the count, `name` and `number` are those in exchangeInfo."""

    label: str
    header: str
    name: str
    number: int
    seconds: int


INTERVALS = (
    Interval("10S", "X-MBX-ORDER-COUNT-10S", "SECOND", 10, 10),
    Interval("1D", "X-MBX-ORDER-COUNT-1D", "DAY", 1, 24 * 3600),
)


class OrderLimits:
    """`clock` returns seconds since 1970. `counts` may be shared with other gateways."""

    def __init__(self, per_10_s: int, per_day: int, clock: Callable[[], float]) -> None:
        self.counts = [Counts(f"orders-{interval.label}", interval.seconds) for interval in INTERVALS]
        self._limits = list(zip(INTERVALS, (per_10_s, per_day), self.counts, strict=True))
        self._clock = clock
        self._unfilled: OrderedDict[int, int] = OrderedDict()  # order id → account

    def reserve(self, account: int, orders: int) -> None:
        """Counts orders that are about to be placed. Raises ApiError if they are too many."""
        now_s, name = self._clock(), str(account)
        for interval, limit, counts in self._limits:
            if counts.get(name, now_s) + orders > limit:
                raise ApiError(
                    -1015,
                    f"Too many new orders; current limit is {limit} orders per {interval.number} {interval.name}.",
                    status=429,
                    headers={"Retry-After": str(counts.rest_s(now_s))},
                )
        for counts in self.counts:
            counts.add(name, orders, now_s)

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

    def used(self, account: int) -> list[tuple[Interval, int, int]]:
        """Each interval with its limit and the account's count."""
        now_s, name = self._clock(), str(account)
        return [(interval, limit, counts.get(name, now_s)) for interval, limit, counts in self._limits]

    def headers(self, account: int) -> dict[str, str]:
        return {interval.header: str(count) for interval, _, count in self.used(account)}

    def _add(self, account: int, orders: int) -> None:
        now_s = self._clock()
        for counts in self.counts:
            counts.add(str(account), orders, now_s)
