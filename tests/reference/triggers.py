"""Waiting orders: which trades trigger them, in which order, and what a triggered order does."""

from tests.reference import forms
from tests.reference.matching import Matching
from tests.reference.open_orders import OpenOrders
from tests.reference.orders import Order
from tests.reference.reckoning import funds_needed
from tests.reference.state import State


class Triggers:
    def __init__(self, state: State, orders: OpenOrders, matching: Matching) -> None:
        self.state = state
        self.orders = orders
        self.matching = matching

    def enqueue_triggered(self) -> None:
        """Adds the orders that the latest trades trigger to the end of the queue."""
        trades, self.matching.trades = self.matching.trades, []
        for symbol in dict.fromkeys(symbol for symbol, _ in trades):
            prices = [price for of, price in trades if of == symbol]
            self.state.queue += self.state.markets[symbol].waiting.take_triggered(min(prices), max(prices))

    def run_queue(self) -> None:
        """Until the queue is empty, or its command has written as many events as one may."""
        while self.state.queue and len(self.state.journal.events) < self.state.limits.events:
            order = self.state.queue.pop(0)
            if order.order_id in self.state.open:
                self._trigger(order)
                self.enqueue_triggered()

    def _trigger(self, order: Order) -> None:
        if order.partner is not None:
            self.orders.cancel_alone(order.partner, "oco")
        self.orders.remove(order)
        sequence = self.state.journal.emit("order_triggered", **forms.triggered(order))
        order.lose_trigger()
        if self.state.accounts.status(order.account) != "active":
            self.orders.cancel(order, "account_restricted")
            return
        needed = funds_needed(self.state, order, banded=True)
        if needed > self.state.funds.available(order.account, order.locked_asset) + order.held:
            self.orders.cancel(order, "insufficient_balance")
            return
        self.orders.set_hold(sequence, order, needed)
        self.matching.match(order, banded=True)
