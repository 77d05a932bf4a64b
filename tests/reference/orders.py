"""An order: being matched, in the book, or waiting for its trigger."""

from dataclasses import dataclass

from tests.reference.commands import Instrument

OPPOSITE = {"buy": "sell", "sell": "buy"}
RISING = {("stop_loss", "buy"), ("stop_loss_limit", "buy"), ("take_profit", "sell"), ("take_profit_limit", "sell")}


@dataclass(eq=False)
class Order:
    """Quantities in lots, `held` and `quote_left` in smallest units.

    `quantity` is what has traded plus what is open. An order by quote_quantity has neither quantity nor `remaining`.
    `shown` is the part of `remaining` that a taker meets: all of it, unless the order has a `visible_quantity`.
    `held` is the part of its account's locked balance that belongs to this order.
    `partner` is the other leg of an oco as long as both are open.
    """

    order_id: int
    account: int
    instrument: Instrument
    side: str
    order_type: str
    price: int | None
    quantity: int | None
    remaining: int | None
    quote_left: int | None
    time_in_force: str
    post_only: bool
    self_trade_prevention: str
    client_order_id: str | None
    trigger_price: int | None = None
    visible_quantity: int | None = None
    order_list_id: int | None = None
    shown: int = 0
    held: int = 0
    partner: "Order | None" = None

    @property
    def is_buy(self) -> bool:
        return self.side == "buy"

    @property
    def is_waiting(self) -> bool:
        """Whether it needs a trigger before it can trade."""
        return self.trigger_price is not None

    @property
    def can_rest(self) -> bool:
        return self.is_waiting or (self.order_type == "limit" and self.time_in_force == "gtc")

    @property
    def own_price(self) -> int:
        """Price of an order that has one; all orders in a book do."""
        assert self.price is not None
        return self.price

    @property
    def open_lots(self) -> int:
        """Open quantity of an order by quantity; all open orders are such orders."""
        assert self.remaining is not None
        return self.remaining

    @property
    def traded_lots(self) -> int:
        assert self.quantity is not None
        return self.quantity - self.open_lots

    @property
    def locked_asset(self) -> str:
        return self.instrument.quote.symbol if self.is_buy else self.instrument.base.symbol

    @property
    def notional(self) -> int | None:
        """Value in quote units by which the order is judged; None for a market order by quantity.

        The open quantity at the order's price, or at the trigger price of an order without a price.
        """
        if self.quote_left is not None:
            return self.quote_left
        price = self.price if self.price is not None else self.trigger_price
        return None if price is None else price * self.open_lots * self.instrument.quote_unit

    @property
    def hold(self) -> int:
        """Amount that a limit order, or a waiting order by itself, must have locked for its open quantity."""
        if not self.is_buy:
            return self.open_lots * self.instrument.lot_units
        assert self.notional is not None
        return self.notional

    def accepts(self, price: int) -> bool:
        """Whether the order may trade at this price of the opposite side."""
        if self.price is None:
            return True
        return price <= self.price if self.is_buy else price >= self.price

    # Triggers

    @property
    def is_rising(self) -> bool:
        """Whether a waiting order is triggered by a trade at its trigger price or higher; otherwise or lower."""
        return (self.order_type, self.side) in RISING

    def is_triggered_by(self, price: int) -> bool:
        assert self.trigger_price is not None
        return price >= self.trigger_price if self.is_rising else price <= self.trigger_price

    def lose_trigger(self) -> None:
        """From then on it is an ordinary limit or market order."""
        self.trigger_price = None
        self.order_type = "market" if self.price is None else "limit"

    # Visible quantity

    def show(self) -> None:
        """Shows the next piece, or all that is open."""
        lots = self.open_lots
        self.shown = lots if self.visible_quantity is None else min(self.visible_quantity, lots)
