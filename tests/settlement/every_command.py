"""A market made by commands of every kind. How each order ends follows from docs/semantics.md, told beside it."""

from typing import Any, NamedTuple

from matching.workloads.btc_usd import DEFINITIONS
from tests.settlement.chains import Chain, deposit, order

FUNDED = range(1, 5)
SYMBOL = "BTC-USD"


class Ending(NamedTuple):
    """An order after the last command; quantities in lots of 0.0001, prices in ticks of 0.01."""

    status: str
    reason: str | None
    filled: int
    remaining: int
    trigger_price: int | None = None
    visible_quantity: int | None = None
    is_triggered: bool = False
    is_in_list: bool = False


def _typed(account: int, side: str, order_type: str, name: str, **more: Any) -> dict[str, Any]:
    fixed = {"command": "order", "account": account, "symbol": SYMBOL, "side": side, "order_type": order_type}
    return {**fixed, "client_order_id": name, **more}


def _limit(account: int, side: str, price: str, quantity: str, name: str, **more: Any) -> dict[str, Any]:
    return order(account, side, price, quantity, client_order_id=name, **more)


def _oco(account: int, price: str, trigger: str, quantity: str, names: tuple[str, str], **more: Any) -> dict[str, Any]:
    sale = {"command": "oco", "account": account, "symbol": SYMBOL, "side": "sell", "quantity": quantity}
    named = {"client_order_id": names[0], "stop_client_order_id": names[1], "list_client_order_id": "list"}
    return {**sale, "price": price, "trigger_price": trigger, **named, **more}


def _status(account: int, status: str) -> dict[str, Any]:
    return {"command": "account_status", "account": account, "status": status}


def _fees(account: int, maker: int | None, taker: int | None, **more: Any) -> dict[str, Any]:
    return {"command": "account_fees", "account": account, "maker_fee": maker, "taker_fee": taker, **more}


FUNDING = [
    deposit(account, asset, amount, f"{asset}-{account}")
    for account in FUNDED
    for asset, amount in (("BTC", "100"), ("USD", "10000000"))
]

FEES = [
    _fees(2, 0, 500),
    _fees(2, 100, 300, symbol=SYMBOL),
    _fees(3, 10, 20),
    _fees(3, None, None),
]

ICEBERG = [
    _limit(1, "sell", "20000", "0.1", "first sale"),
    _limit(2, "buy", "20000", "0.1", "first purchase"),  # trade 1
    _limit(1, "sell", "20100", "1", "iceberg", visible_quantity="0.3"),
    _limit(2, "buy", "20100", "0.4", "eater"),  # trades 2 and 3: a whole piece, and 0.1 of the next one
]

TRIGGERS = [
    _typed(3, "sell", "stop_loss_limit", "waiting", trigger_price="19000", price="18900", quantity="0.2"),
    _typed(3, "buy", "take_profit", "dip", trigger_price="19900", quantity="0.1"),
    _typed(4, "sell", "stop_loss_limit", "resting", trigger_price="19890", price="20500", quantity="0.2"),
    _limit(2, "buy", "19900", "0.2", "bid"),
    _limit(1, "sell", "19900", "0.1", "hit"),  # trade 4 triggers "dip", which buys of the iceberg: trade 5
    _limit(2, "buy", "19890", "0.2", "lower bid"),
    _limit(1, "sell", "19890", "0.2", "lower hit"),  # trades 6 (0.1 at 19900) and 7 (0.1 at 19890), then "resting"
]

LISTS = [
    _oco(3, "21000", "19000", "0.5", ("profit", "loss"), stop_price="18900"),
    _oco(4, "20050", "19500", "0.1", ("quick", "slow")),
    _limit(2, "buy", "20050", "0.05", "taker"),  # trade 8, before it "slow" is cancelled
    _oco(4, "22000", "19885", "0.1", ("top", "bottom")),
    _limit(2, "buy", "19880", "0.1", "low bid"),  # "lower bid" has 0.1 at 19890
    _limit(1, "sell", "19880", "0.15", "low hit"),  # trades 9 and 10; "top" goes, "bottom" sells 0.05: trade 11
]

FREEZING = [
    _typed(4, "buy", "take_profit_limit", "frozen", trigger_price="19800", price="19850", quantity="0.1"),
    _status(1, "no_trading"),
    _status(1, "active"),
    _status(4, "frozen"),
    {"command": "withdraw", "account": 4, "asset": "USD", "amount": "1", "reference": "out"},  # refused
    _limit(2, "buy", "19800", "0.1", "lowest bid"),
    _limit(1, "sell", "19800", "0.1", "lowest hit"),  # trade 12 triggers "frozen"
]

UPDATE = [
    {"command": "instrument_update", "symbol": SYMBOL, "maker_fee": 0, "price_band": 10_000, "max_open_orders": 9},
    _typed(2, "buy", "market", "banded", quantity="0.1"),  # the best ask, 20050, is beyond 19998
    _limit(2, "buy", "19700", "0.5", "quote bid"),
    _typed(1, "sell", "market", "for quote", quote_quantity="1971"),  # trade 13: 0.1, which is 1970
    _limit(1, "sell", "19750", "0.2", "quote ask"),
    _typed(3, "buy", "market", "spend", quote_quantity="100"),  # trade 14: 0.005, which is 98.75
]

CHANGES = [
    _limit(1, "sell", "19760", "0.4", "old name"),
    {
        "command": "replace",
        "account": 1,
        "symbol": SYMBOL,
        "client_order_id": "old name",
        "price": "19760",
        "total_quantity": "0.3",
        "new_client_order_id": "new name",
    },
    _limit(1, "buy", "10", "0.1", "out of band"),  # refused
    _limit(1, "buy", "19600", "0.1", "dependent", requires_previous=True),  # refused
    _limit(2, "buy", "19760", "5", "fill or kill", time_in_force="fok"),
    _limit(3, "buy", "19600", "0.1", "unwanted"),
    {"command": "cancel", "account": 3, "symbol": SYMBOL, "client_order_id": "unwanted", "request_id": "please"},
    {"command": "cancel_all", "account": 2},
]

PARTS = (FUNDING, FEES, ICEBERG, TRIGGERS, LISTS, FREEZING, UPDATE, CHANGES)
"""One block each."""

ENDINGS = {
    "first sale": Ending("filled", None, 1000, 0),
    "first purchase": Ending("filled", None, 1000, 0),
    "iceberg": Ending("open", None, 5000, 5000, visible_quantity=3000),
    "eater": Ending("filled", None, 4000, 0),
    "waiting": Ending("waiting", None, 0, 2000, 1_900_000),
    "dip": Ending("filled", None, 1000, 0, 1_990_000, is_triggered=True),
    "resting": Ending("open", None, 0, 2000, 1_989_000, is_triggered=True),
    "bid": Ending("filled", None, 2000, 0),
    "hit": Ending("filled", None, 1000, 0),
    "lower bid": Ending("filled", None, 2000, 0),
    "lower hit": Ending("filled", None, 2000, 0),
    "profit": Ending("open", None, 0, 5000, is_in_list=True),
    "loss": Ending("waiting", None, 0, 5000, 1_900_000, is_in_list=True),
    "quick": Ending("open", None, 500, 500, is_in_list=True),
    "slow": Ending("cancelled", "oco", 0, 0, 1_950_000, is_in_list=True),
    "taker": Ending("filled", None, 500, 0),
    "top": Ending("cancelled", "oco", 0, 0, is_in_list=True),
    "bottom": Ending("cancelled", "no_liquidity", 500, 0, 1_988_500, is_triggered=True, is_in_list=True),
    "low bid": Ending("filled", None, 1000, 0),
    "low hit": Ending("filled", None, 1500, 0),
    "frozen": Ending("cancelled", "account_restricted", 0, 0, 1_980_000, is_triggered=True),
    "lowest bid": Ending("filled", None, 1000, 0),
    "lowest hit": Ending("filled", None, 1000, 0),
    "banded": Ending("cancelled", "price_band", 0, 0),
    "quote bid": Ending("cancelled", "user", 1000, 0),
    "for quote": Ending("filled", "quote_quantity_used", 1000, 0),
    "quote ask": Ending("open", None, 50, 1950),
    "spend": Ending("filled", "quote_quantity_used", 50, 0),
    "new name": Ending("open", None, 0, 3000),
    "fill or kill": Ending("cancelled", "fok_not_fillable", 0, 0),
    "unwanted": Ending("cancelled", "user", 0, 0),
}
"""By client order id."""

TRADES = [
    # price, lots, buyer's fee in units of 10^-8 BTC, seller's fee in units of 10^-6 USD
    (2_000_000, 1000, 3_000, 2_000_000),  # the buyer has a taker fee of 300, the seller the instrument's maker fee
    (2_010_000, 3000, 9_000, 6_030_000),
    (2_010_000, 1000, 3_000, 2_010_000),
    (1_990_000, 1000, 1_000, 3_980_000),  # the buyer has a maker fee of 100
    (2_010_000, 1000, 20_000, 2_010_000),
    (1_990_000, 1000, 1_000, 3_980_000),
    (1_989_000, 1000, 1_000, 3_978_000),
    (2_005_000, 500, 1_500, 1_002_500),
    (1_989_000, 1000, 1_000, 3_978_000),
    (1_988_000, 500, 500, 1_988_000),
    (1_988_000, 500, 500, 1_988_000),
    (1_980_000, 1000, 1_000, 3_960_000),
    (1_970_000, 1000, 1_000, 3_940_000),
    (1_975_000, 50, 1_000, 0),  # after the update makers pay nothing
]
"""In order."""


def market() -> Chain:
    """All of it; the definitions are in blocks of their own."""
    chain = Chain().add(*DEFINITIONS)
    for part in PARTS:
        chain.add(*part)
    return chain
