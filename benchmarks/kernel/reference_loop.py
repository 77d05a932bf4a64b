"""A plain matching loop without money, as a yardstick: what matching alone costs on this machine, in the same run.

It takes the limit orders, IOC orders and cancels of one instrument, in price-time priority, with self-trade prevention
by expire_taker or none. It knows neither funds, fees nor names, checks nothing, and writes no events: its result is the
number of trades and the lots traded, which must be those of the kernel.
"""

from typing import Any

import numpy as np
from numba import njit

from matching.core.codes import CommandKind, SelfTradePrevention, Side, TimeInForce
from matching.workloads.generated import Workload

# Order n of the commands has index n, from 1; index 0 means "none".
_ORDER = np.dtype(
    [
        ("remaining", "<i8"),  # 0: not open
        ("account", "<i8"),
        ("level", "<u4"),
        ("next", "<u4"),
        ("previous", "<u4"),
        ("side", "<u4"),
    ]
)
# Levels are in an array by price, with an empty one at each end.
_LEVEL = np.dtype([("head", "<u4"), ("tail", "<u4")])

_CANCEL, _BUY = int(CommandKind.CANCEL), int(Side.BUY)
_IOC, _NO_PREVENTION = int(TimeInForce.IOC), int(SelfTradePrevention.NONE)

BEST_BID, BEST_ASK, NEXT_ORDER, TRADES, TRADED_LOTS = range(5)


class ReferenceBook:
    """The memory of the loop for one workload, with the resting orders of its setup."""

    def __init__(self, workload: Workload) -> None:
        funds, *before = workload.setup
        streams = [*before, workload.stream]
        prices = np.concatenate([each.commands["price"][each.commands["kind"] != _CANCEL] for each in streams])
        self.lowest = int(prices.min()) - 1
        span = int(prices.max()) - self.lowest + 2
        self.first_id = 1 + len(workload.definitions()) + len(funds)
        self.orders = np.zeros(1 + sum(map(len, streams)), _ORDER)
        self.levels = np.zeros(span, _LEVEL)
        self.state = np.zeros(8, np.int64)
        self.state[BEST_ASK], self.state[NEXT_ORDER] = span - 1, 1
        for stream in before:
            self.apply(stream.commands)
        self.state[TRADES] = self.state[TRADED_LOTS] = 0

    def apply(self, commands: Any) -> None:
        """Applies COMMAND records."""
        apply_all(commands, self.orders, self.levels, self.state, self.first_id, self.lowest)

    @property
    def trades(self) -> int:
        """Trades since the setup."""
        return int(self.state[TRADES])

    @property
    def traded_lots(self) -> int:
        return int(self.state[TRADED_LOTS])


@njit(nogil=True, error_model="numpy")
def apply_all(commands: Any, orders: Any, levels: Any, state: Any, first_id: Any, lowest: Any) -> None:
    bid, ask = np.int64(state[BEST_BID]), np.int64(state[BEST_ASK])
    number = np.int64(state[NEXT_ORDER])
    trades, traded = np.int64(0), np.int64(0)
    for i in range(len(commands)):
        command = commands[i]
        own = number
        number += 1
        if command["kind"] == _CANCEL:
            slot = command["order_id"] - first_id + 1
            order = orders[slot]
            if order["remaining"] != 0:
                order["remaining"] = 0
                _unlink(orders, levels, slot)
                bid, ask = _nearest(levels, bid, ask)
            continue
        buys = command["side"] == _BUY
        price = command["price"] - lowest
        lots = command["quantity"]
        stopped = command["time_in_force"] == _IOC
        while lots > 0 and (price >= ask if buys else price <= bid):
            best = ask if buys else bid
            slot = np.int64(levels[best]["head"])
            if slot == 0:  # the end of the book
                break
            maker = orders[slot]
            if command["self_trade_prevention"] != _NO_PREVENTION and maker["account"] == command["account"]:
                stopped = True
                break
            taken = min(lots, maker["remaining"])
            maker["remaining"] -= taken
            lots -= taken
            trades += 1
            traded += taken
            if maker["remaining"] == 0:
                _unlink(orders, levels, slot)
                bid, ask = _nearest(levels, bid, ask)
        if lots > 0 and not stopped:
            _append(orders, levels, own, price, lots, command)
            if buys:
                bid = max(bid, price)
            else:
                ask = min(ask, price)
    state[BEST_BID], state[BEST_ASK], state[NEXT_ORDER] = bid, ask, number
    state[TRADES] += trades
    state[TRADED_LOTS] += traded


@njit(forceinline=True, error_model="numpy")
def _append(orders: Any, levels: Any, slot: Any, price: Any, lots: Any, command: Any) -> None:
    order, level = orders[slot], levels[price]
    tail = np.int64(level["tail"])
    order["remaining"] = lots
    order["account"] = command["account"]
    order["level"] = price
    order["previous"] = tail
    order["next"] = 0
    order["side"] = command["side"]
    level["tail"] = slot
    if tail == 0:
        level["head"] = slot
    else:
        orders[tail]["next"] = slot


@njit(forceinline=True, error_model="numpy")
def _unlink(orders: Any, levels: Any, slot: Any) -> None:
    order = orders[slot]
    level = levels[np.int64(order["level"])]
    previous, following = np.int64(order["previous"]), np.int64(order["next"])
    if previous == 0:
        level["head"] = following
    else:
        orders[previous]["next"] = following
    if following == 0:
        level["tail"] = previous
    else:
        orders[following]["previous"] = previous


@njit(forceinline=True, error_model="numpy")
def _nearest(levels: Any, bid: Any, ask: Any) -> Any:
    """The best prices, from those before an order left the book."""
    while bid > 0 and levels[bid]["head"] == 0:
        bid -= 1
    while ask < len(levels) - 1 and levels[ask]["head"] == 0:
        ask += 1
    return bid, ask
