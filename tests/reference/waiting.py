"""The orders of one instrument that wait for their trigger, in the order in which a price triggers them."""

from bisect import bisect_left, insort
from collections.abc import Iterator

from tests.reference.orders import Order


class Waiting:
    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}  # by order_id, those in the queue of triggered orders too
        # (trigger_price, order_id), of falling ones the negative price; without those in the queue
        self.rising: list[tuple[int, int]] = []
        self.falling: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[Order]:
        yield from self.orders.values()

    def add(self, order: Order) -> None:
        self.orders[order.order_id] = order
        triggers, key = self._place(order)
        insort(triggers, key)

    def remove(self, order: Order) -> None:
        del self.orders[order.order_id]
        triggers, key = self._place(order)
        at = bisect_left(triggers, key)
        if triggers[at : at + 1] == [key]:
            del triggers[at]

    def take_triggered(self, lowest: int, highest: int) -> list[Order]:
        """What trades between these prices trigger and did not before, in the order in which it is put into the queue.

        First what a rising price triggers, lowest trigger first; then what a falling one does, highest first.
        """
        taken = []
        for triggers, reached in ((self.rising, highest), (self.falling, -lowest)):
            end = bisect_left(triggers, (reached + 1,))
            taken += [self.orders[order_id] for _, order_id in triggers[:end]]
            del triggers[:end]
        return taken

    def _place(self, order: Order) -> tuple[list[tuple[int, int]], tuple[int, int]]:
        assert order.trigger_price is not None
        if order.is_rising:
            return self.rising, (order.trigger_price, order.order_id)
        return self.falling, (-order.trigger_price, order.order_id)
