"""Finds an account's orders and trades of an instrument in the store by time or trade number; its keys are ids.

Ids, times and trade numbers rise together. So the place of a time among the rows is found by halving the range of ids,
with one question for each step (about forty). These functions block.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

from settlement.stores.base import Order, Store, Trade

NO_END = (1 << 63) - 1
_PAGE = 1000
_Row = TypeVar("_Row")


class Span(NamedTuple):
    """Rows from an order id or trade number on, and of a time (Unix, nanoseconds), both ends included."""

    first: int = 0
    start_ns: int = 0
    end_ns: int = NO_END


class Rows(NamedTuple):
    """The rows of one account in one instrument with an id below `before`."""

    store: Store
    account: int
    symbol: str
    before: int

    def orders_from(self, span: Span, limit: int) -> list[Order]:
        """The oldest ones of a span, oldest first."""
        read = partial(self.store.get_orders_by_account_range, self.account, self.symbol, last=self.before - 1)
        first = span.first
        if span.start_ns:
            first = max(first, self._order_id(lambda order: order.placed_at_ns >= span.start_ns))
        return [order for order in read(first=first, limit=limit) if order.placed_at_ns <= span.end_ns]

    def newest_orders(self, end_ns: int, limit: int) -> list[Order]:
        """The newest ones that were placed until a time, newest first."""
        before = self.before
        if end_ns != NO_END:
            before = self._order_id(lambda order: order.placed_at_ns > end_ns)
        return self.store.get_orders_by_account(self.account, limit, before, symbol=self.symbol)

    def trades_from(self, span: Span, limit: int) -> list[Trade]:
        """The oldest ones of a span, oldest first."""
        return list(islice(self._trades(span), limit))

    def newest_trades(self, end_ns: int, limit: int) -> list[Trade]:
        """The newest ones until a time, newest first."""
        before = self.before
        if end_ns != NO_END:
            before = self._trade_id(lambda trade: trade.timestamp_ns > end_ns)
        return self.store.get_trades_by_account(self.account, limit, before, symbol=self.symbol)

    def trades_of_order(self, order: Order, limit: int) -> list[Trade]:
        """Oldest first. It reads the account's trades while the order was open, `limit` of them at most."""
        during = self._trades(Span(start_ns=order.placed_at_ns))
        found, left = [], order.filled
        for trade in islice(during, limit):
            if left <= 0:
                break
            if order.order_id in (trade.maker_order_id, trade.taker_order_id):
                found.append(trade)
                left -= trade.quantity
        return found

    def _trades(self, span: Span) -> Iterator[Trade]:
        """Those of a span, oldest first, read a page at a time."""
        first = 0
        if span.first or span.start_ns:
            first = self._trade_id(
                lambda trade: (trade.trade_number or 0) >= span.first and trade.timestamp_ns >= span.start_ns
            )
        read = partial(self.store.get_trades_by_account_range, self.account, self.symbol, last=self.before - 1)
        while page := read(first=first, limit=_PAGE):
            for trade in page:
                if trade.timestamp_ns > span.end_ns:
                    return
                yield trade
            first = page[-1].trade_id + 1

    def _order_id(self, is_after: Callable[[Order], bool]) -> int:
        read = partial(self.store.get_orders_by_account_range, self.account, self.symbol, last=self.before - 1, limit=1)
        return _first_id(lambda at: read(first=at), is_after, lambda order: order.order_id, self.before)

    def _trade_id(self, is_after: Callable[[Trade], bool]) -> int:
        read = partial(self.store.get_trades_by_account_range, self.account, self.symbol, last=self.before - 1, limit=1)
        return _first_id(lambda at: read(first=at), is_after, lambda trade: trade.trade_id, self.before)


def _first_id(
    read: Callable[[int], list[_Row]], is_after: Callable[[_Row], bool], id_of: Callable[[_Row], int], before: int
) -> int:
    """An id that separates the rows: those from it on are after, all others are not. `before`: no row is after.

    `read` returns the oldest row from an id on, below `before`, if there is one.
    """
    low, high = 0, before
    while low < high:
        middle = (low + high) // 2
        found = read(middle)
        if found and not is_after(found[0]):
            low = id_of(found[0]) + 1
        else:
            high = middle
    return low
