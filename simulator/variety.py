"""Turns some of a trader's limit orders into the other commands that an engine knows.

It has a random stream of its own, so that the stream that decides on times and faults does not depend on it.
"""

import random
from collections.abc import Callable
from typing import Any

Command = dict[str, Any]

_PLAIN = 0.55
_TRIGGER_TYPES = ("stop_loss", "stop_loss_limit", "take_profit", "take_profit_limit")
_STATUSES = ("active",) * 6 + ("no_trading", "frozen")
_DISTANCE = 3
"""Of a trigger price from the order's price, in units of the quote asset."""


class Variety:
    def __init__(self, rng: random.Random) -> None:
        """Takes the state of `rng` as its seed, and draws nothing from it."""
        self._rng = random.Random(str(rng.getstate()))  # noqa: S311 (seeded)
        self._last: Command | None = None
        self._forms: tuple[Callable[[Command], Command], ...] = (
            self._iceberg,
            self._trigger_order,
            self._trigger_order,
            self._trigger_order,
            self._order_list,
            self._order_list,
            self._by_quote,
            self._replace,
            self._required,
            self._account_status,
            self._account_fees,
            self._instrument_update,
        )

    def of(self, order: Command) -> Command:
        """The order, a variant of it, or another command of its account."""
        if self._rng.random() < _PLAIN:
            self._last = order
            return order
        return self._rng.choice(self._forms)(order)

    def _iceberg(self, order: Command) -> Command:
        return {**order, "visible_quantity": "0.1"}

    def _trigger_order(self, order: Command) -> Command:
        order_type = self._rng.choice(_TRIGGER_TYPES)
        waits_for_rise = (order["side"] == "buy") == order_type.startswith("stop")
        trigger_price = _moved(order, 1 if waits_for_rise else -1)
        waiting = {**order, "order_type": order_type, "trigger_price": trigger_price}
        if not order_type.endswith("_limit"):
            del waiting["price"]
        return waiting

    def _order_list(self, order: Command) -> Command:
        away = 1 if order["side"] == "sell" else -1
        kept = {name: order[name] for name in ("account", "symbol", "side", "quantity", "client_order_id")}
        prices = {"price": _moved(order, 2 * away), "trigger_price": _moved(order, -away)}
        return {"command": "oco", **kept, **prices, "stop_client_order_id": f"{order['client_order_id']}-stop"}

    def _by_quote(self, order: Command) -> Command:
        market = {name: value for name, value in order.items() if name not in ("price", "quantity")}
        return {**market, "order_type": "market", "quote_quantity": f"{self._rng.randint(1, 60_000)}"}

    def _replace(self, order: Command) -> Command:
        """Of the last plain order, which may be gone."""
        if self._last is None:
            return order
        kept = {name: self._last[name] for name in ("account", "symbol", "client_order_id")}
        names = {"new_client_order_id": order["client_order_id"]}
        return {"command": "replace", **kept, **names, "price": order["price"], "total_quantity": "0.9"}

    def _required(self, order: Command) -> Command:
        return {**order, "requires_previous": True}

    def _account_status(self, order: Command) -> Command:
        return {"command": "account_status", "account": order["account"], "status": self._rng.choice(_STATUSES)}

    def _account_fees(self, order: Command) -> Command:
        rates = self._rng.choice(({"maker_fee": 0, "taker_fee": 300}, {"maker_fee": None, "taker_fee": None}))
        place = self._rng.choice(({}, {"symbol": order["symbol"]}))
        return {"command": "account_fees", "account": order["account"], **place, **rates}

    def _instrument_update(self, order: Command) -> Command:
        values = {"taker_fee": self._rng.randint(0, 900), "price_band": self._rng.choice((0, 300, 100_000))}
        return {"command": "instrument_update", "symbol": order["symbol"], **values}


def _moved(order: Command, steps: int) -> str:
    return f"{float(order['price']) + steps * _DISTANCE:.2f}"
