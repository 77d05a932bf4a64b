"""The book of one instrument: for each side a sorted list of prices with a queue at each."""

from bisect import bisect_left, insort
from collections.abc import Iterator

from tests.reference.orders import Order


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

    def move_to_end(self, order: Order) -> None:
        """An order that shows its next piece goes to the end of the queue of its price."""
        queue = self.queues[order.side][order.own_price]
        queue.remove(order)
        queue.append(order)

    def best_price(self, side: str) -> int | None:
        prices = self.prices[side]
        if not prices:
            return None
        return prices[-1] if side == "buy" else prices[0]

    def first(self, side: str) -> Order | None:
        """The first order in price-time priority."""
        best = self.best_price(side)
        return None if best is None else self.queues[side][best][0]

    def levels(self, side: str) -> Iterator[list[Order]]:
        """The queue of each price, best price first."""
        prices = self.prices[side]
        for price in reversed(prices) if side == "buy" else prices:
            yield self.queues[side][price]

    def orders(self, side: str) -> Iterator[Order]:
        """Best price first, oldest first within a price."""
        for queue in self.levels(side):
            yield from queue
