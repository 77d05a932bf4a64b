"""The open orders of a state: those in the books, and those that wait for their trigger."""

from typing import Any, NamedTuple

import numpy as np

from matching.core import kernel, layout
from matching.core.codes import OrderType, Side, name_of
from matching.core.kernel.structures import pools as p
from matching.core.registry import Instrument, Registry


class OpenOrder(NamedTuple):
    """An order in the book. Price in ticks; quantity (traded plus open), remaining and visible in lots.

    `visible` is what an order with a visible_quantity shows now, None for any other.
    """

    order_id: int
    account: int
    symbol: str
    side: str
    price: int
    quantity: int
    remaining: int
    visible: int | None = None


class PendingOrder(NamedTuple):
    """An order that waits for its trigger. Prices in ticks, quantity in lots; `price` is None for a type without."""

    order_id: int
    account: int
    symbol: str
    side: str
    order_type: str
    trigger_price: int
    price: int | None
    quantity: int


def orders_in_books(pools: Any, registry: Registry) -> list[OpenOrder]:
    """By symbol, buy before sell, price priority, time priority."""
    found: list[OpenOrder] = []
    for instrument in sorted(registry.instruments, key=lambda instrument: instrument.symbol):
        for side in Side:
            found.extend(_queue(pools, instrument, side))
    return found


def orders_that_wait(pools: Any, registry: Registry) -> list[PendingOrder]:
    """By order id."""
    orders = pools.orders[: pools.state[p.ORDER_TOP]]
    extras = pools.extras[orders["extra"]]
    is_waiting = (orders["order_id"] != 0) & (extras["state"] != layout.RESTING)
    orders, extras = orders[is_waiting], extras[is_waiting]
    traders = pools.traders[orders["trader"]]
    columns = (
        orders["order_id"].tolist(),
        traders["account"].tolist(),
        [registry.instruments[identity].symbol for identity in traders["instrument"].tolist()],
        [name_of(Side(side)) for side in orders["side"].tolist()],
        [name_of(OrderType(order_type)) for order_type in extras["order_type"].tolist()],
        extras["trigger_price"].tolist(),
        [price or None for price in extras["price"].tolist()],
        orders["remaining"].tolist(),
    )
    return sorted(PendingOrder(*row) for row in zip(*columns, strict=True))


def _queue(pools: Any, instrument: Instrument, side: Side) -> list[OpenOrder]:
    slots = np.empty(int(pools.state[p.ORDER_COUNT]), np.int64)
    slots = slots[: kernel.list_slots(pools, instrument.id, int(side), slots)]
    orders = pools.orders[slots]
    extras = pools.extras[orders["extra"]]
    lots = orders["remaining"] + extras["hidden"]
    levels = orders["level"].astype(np.int64)
    prices = pools.leaves["base"][levels >> 6] + (levels & 63)
    accounts = pools.traders["account"][orders["trader"]]
    columns = (
        orders["order_id"].tolist(),
        accounts.tolist(),
        prices.tolist(),
        (orders["filled"] + lots).tolist(),
        lots.tolist(),
        orders["remaining"].tolist(),
        extras["visible_quantity"].tolist(),
    )
    name = name_of(side)
    return [
        OpenOrder(order_id, account, instrument.symbol, name, price, quantity, remaining, shown if each else None)
        for order_id, account, price, quantity, remaining, shown, each in zip(*columns, strict=True)
    ]
