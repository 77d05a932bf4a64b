"""A market in which one sale triggers orders that trigger orders, for tests of long cascades."""

from collections.abc import Iterator
from random import Random
from typing import Any

from matching.workloads.btc_usd import DEFINITIONS

Command = dict[str, Any]

_MID = 1_000_000  # ticks, as are all prices here
_WIDTH = 500_000
_SELLER = 99
_MAKERS = range(100, 120)
_TRADERS = range(110, 140)  # some are makers as well: they meet their own orders
_MODES = ("none", "expire_taker", "expire_maker", "expire_both")
_FALLING = (
    *(("sell", "stop_loss", 30), ("sell", "stop_loss_limit", 30)) * 2,
    ("buy", "take_profit", 60),
    ("buy", "take_profit_limit", 2),
)
"""Side, type and most lots of orders that a falling price triggers."""
_RISING = (("buy", "stop_loss", 30), ("buy", "stop_loss_limit", 30), ("sell", "take_profit_limit", 2))


def market(triggers: int, seed: int) -> Iterator[Command]:
    """Definitions, funds, `triggers` orders that rest and as many that wait, for a falling or a rising price.

    Those that wait want to trade more than what rests.
    """
    random = Random(seed)
    yield from DEFINITIONS
    for account in sorted({_SELLER, *_MAKERS, *_TRADERS}):
        yield _deposit(account, "BTC", "1000000")
        yield _deposit(account, "USD", "20000000000")
    yield from (_order(100, "sell", _MID), _order(101, "buy", _MID))  # the last price, which triggers nothing
    for number in range(triggers):
        yield _resting(number, random)
    for _ in range(triggers):
        yield _waiting(random)


def sale(triggers: int) -> Command:
    """The command that begins the cascade."""
    return _order(_SELLER, "sell", 1, 1 + triggers // 20)


def _resting(number: int, random: Random) -> Command:
    side = random.choice(("buy", "sell"))
    distance = random.randint(1, _WIDTH)
    price = _MID - distance if side == "buy" else _MID + distance
    lots = random.randint(1, 4)
    order = _order(random.choice(_MAKERS), side, price, lots, self_trade_prevention=random.choice(_MODES))
    if number % 8 == 0:
        return {**order, "visible_quantity": "1"}
    if number % 8 == 1 and side == "sell":  # the stop leg waits, like those of `_waiting`
        return {**order, "command": "oco", "trigger_price": _decimal(_MID - random.randint(1, _WIDTH))}
    return order


def _waiting(random: Random) -> Command:
    is_rise, distance = random.random() < 0.4, random.randint(1, _WIDTH)
    side, order_type, most = random.choice(_RISING if is_rise else _FALLING)
    trigger = _MID + distance if is_rise else _MID - distance
    order = _order(random.choice(_TRADERS), side, trigger, random.randint(1, most), order_type=order_type)
    order |= {"trigger_price": _decimal(trigger), "self_trade_prevention": random.choice(_MODES)}
    if order_type in ("stop_loss", "take_profit"):
        return {**order, "price": None, "time_in_force": "ioc"}
    worse = random.randint(0, _WIDTH // 4)
    price = trigger + worse if side == "buy" else trigger - worse
    return {**order, "price": _decimal(max(1, price)), "time_in_force": random.choice(("gtc", "gtc", "ioc", "fok"))}


def _deposit(account: int, asset: str, amount: str) -> Command:
    return {"command": "deposit", "account": account, "asset": asset, "amount": amount, "reference": asset}


def _order(account: int, side: str, price: int, quantity: int = 1, **fields: Any) -> Command:
    order = {"command": "order", "account": account, "symbol": "BTC-USD", "side": side, "order_type": "limit"}
    return {**order, "price": _decimal(price), "quantity": str(quantity), **fields}


def _decimal(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02d}"
