"""Open orders: their names, what they hold, and how they are cancelled; the legs of an oco go together."""

from tests.reference import forms
from tests.reference.orders import Order
from tests.reference.state import State


class OpenOrders:
    def __init__(self, state: State) -> None:
        self.state = state

    # Entering and leaving

    def rest(self, order: Order) -> None:
        """Puts an order at the end of the queue of its price."""
        order.show()
        self.state.market(order).book.add(order)
        self._enlist(order)

    def wait(self, order: Order) -> None:
        """Puts an order outside the book until its trigger."""
        self.state.market(order).waiting.add(order)
        self._enlist(order)

    def remove(self, order: Order) -> None:
        """Takes an open order out of the book, or from the waiting ones. What it holds stays."""
        market = self.state.market(order)
        if order.is_waiting:
            market.waiting.remove(order)
        else:
            market.book.remove(order)
        del self.state.open[order.order_id]
        if order.client_order_id is not None:
            del self.state.named[order.account, order.instrument.symbol, order.client_order_id]

    def rename(self, order: Order, client_order_id: str) -> None:
        """Gives an open order another name."""
        if order.client_order_id is not None:
            del self.state.named[order.account, order.instrument.symbol, order.client_order_id]
        order.client_order_id = client_order_id
        self.state.named[order.account, order.instrument.symbol, client_order_id] = order

    def _enlist(self, order: Order) -> None:
        self.state.open[order.order_id] = order
        if order.client_order_id is not None:
            self.state.named[order.account, order.instrument.symbol, order.client_order_id] = order

    # What they hold

    def set_hold(self, sequence: int, order: Order, amount: int) -> None:
        """Locks or unlocks the difference to the amount that the order has locked."""
        self.state.funds.lock(sequence, order.account, order.locked_asset, amount - order.held)
        order.held = amount

    # Cancelling

    def cancel(self, order: Order, reason: str, met: Order | None = None) -> None:
        """Cancels an order, and after it the other leg of its oco. `met`: its counterpart in a self-trade."""
        partner = order.partner
        self.cancel_alone(order, reason, met)
        if partner is not None:
            self.cancel_alone(partner, "oco")

    def cancel_alone(self, order: Order, reason: str, met: Order | None = None) -> None:
        """Cancels an order, open or at work, and unlocks what it holds; another leg of its oco stays."""
        if order.order_id in self.state.open:
            self.remove(order)
        if order.partner is not None:
            order.partner.partner = None
            order.partner = None
        sequence = self.state.journal.emit("order_cancelled", **forms.cancelled(order, reason, met))
        self.set_hold(sequence, order, 0)

    def keep_partner_whole(self, order: Order) -> None:
        """Before the limit leg of an oco goes without its stop leg: gives the stop leg what it needs by itself."""
        stop = order.partner
        assert stop is not None
        missing = stop.hold - stop.held
        assert 0 <= missing <= order.held, (order, stop)
        order.held -= missing
        stop.held += missing
