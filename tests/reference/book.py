"""Orders and the book of one instrument: for each side a sorted list of prices with a queue at each."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

from tests.reference.commands import Instrument

OPPOSITE = {"buy": "sell", "sell": "buy"}


@dataclass(eq=False)
class Order:
    """An order that is being matched or rests. Quantities in lots, `held` and `quote_left` in smallest units.

    `quantity` is what has traded plus what is open. A market buy by quote has neither quantity nor `remaining`.
    `held` is the part of its account's locked balance that belongs to this order.
    """

    order_id: int
    account: int
    instrument: Instrument
    side: str
    price: int | None
    quantity: int | None
    remaining: int | None
    quote_left: int | None
    time_in_force: str
    post_only: bool
    self_trade_prevention: str
    client_order_id: str | None
    held: int = 0

    @property
    def is_buy(self) -> bool:
        return self.side == "buy"

    @property
    def is_market(self) -> bool:
        return self.price is None

    @property
    def own_price(self) -> int:
        """Price of a limit order; all orders in a book are limit orders."""
        assert self.price is not None
        return self.price

    @property
    def open_lots(self) -> int:
        """Open quantity of an order by quantity; all orders in a book are such orders."""
        assert self.remaining is not None
        return self.remaining

    @property
    def locked_asset(self) -> str:
        return self.instrument.quote.symbol if self.is_buy else self.instrument.base.symbol

    @property
    def notional(self) -> int:
        """Notional of the open quantity at the order's price, in quote units."""
        return self.own_price * self.open_lots * self.instrument.quote_unit

    @property
    def hold(self) -> int:
        """Amount that a limit order must have locked for its open quantity."""
        return self.notional if self.is_buy else self.open_lots * self.instrument.lot_units

    def accepts(self, price: int) -> bool:
        """Whether the order may trade at this price of the opposite side."""
        if self.price is None:
            return True
        return price <= self.price if self.is_buy else price >= self.price

    def takes(self, maker: "Order") -> int:
        """Lots that this taker would trade with the maker; 0 if its quote budget does not pay for one lot."""
        if self.quote_left is not None:
            return min(self.quote_left // (maker.own_price * self.instrument.quote_unit), maker.open_lots)
        return min(self.open_lots, maker.open_lots)


class Book:
    def __init__(self) -> None:
        self.prices: dict[str, list[int]] = {"buy": [], "sell": []}  # ascending on both sides
        self.queues: dict[str, dict[int, list[Order]]] = {"buy": {}, "sell": {}}  # oldest first

    def add(self, order: Order) -> None:
        """Appends the order to the queue of its price."""
        queues = self.queues[order.side]
        if order.own_price not in queues:
            queues[order.own_price] = []
            insort(self.prices[order.side], order.own_price)
        queues[order.own_price].append(order)

    def remove(self, order: Order) -> None:
        queues, prices = self.queues[order.side], self.prices[order.side]
        queue = queues[order.own_price]
        queue.remove(order)
        if not queue:
            del queues[order.own_price]
            del prices[bisect_left(prices, order.own_price)]

    def best_price(self, side: str) -> int | None:
        prices = self.prices[side]
        if not prices:
            return None
        return prices[-1] if side == "buy" else prices[0]

    def first(self, side: str) -> Order | None:
        """The first order in price-time priority."""
        best = self.best_price(side)
        return None if best is None else self.queues[side][best][0]

    def orders(self, side: str) -> Iterator[Order]:
        """Best price first, oldest first within a price."""
        prices = self.prices[side]
        for price in reversed(prices) if side == "buy" else prices:
            yield from self.queues[side][price]
