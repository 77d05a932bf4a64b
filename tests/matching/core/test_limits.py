"""Limits: values at the limit work exactly; values one above are refused."""

from random import Random

import numpy as np
import pytest

from matching.client.jsonlines import dumps
from matching.client.replay import replay
from matching.core import layout
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.kernel.structures import pools as p
from tests.matching.both import Both, Event
from tests.reference.engine import ReferenceExchange

LIMIT = 2**62
HIGHEST_ACCOUNT = 2**63 - 1
USUAL = {
    "base": "BASE",
    "quote": "QUOTE",
    "tick_size": "1",
    "lot_size": "1",
    "min_quantity": "1",
    "max_quantity": str(2**63 - 1),
    "min_notional": "0",
    "maker_fee": 0,
    "taker_fee": 0,
}


class Market(Both):
    """BASE-QUOTE; account 1 has the maximum supply of BASE, account 2 that of QUOTE."""

    def __init__(self, base_decimals: int = 0, quote_decimals: int = 0, **definition: object) -> None:
        super().__init__()
        self.do("asset", symbol="BASE", decimals=base_decimals)
        self.do("asset", symbol="QUOTE", decimals=quote_decimals)
        self.do("instrument", symbol="BASE-QUOTE", **{**USUAL, **definition})

    def fund(self, account: int, asset: str, amount: object) -> str | None:
        reference = f"{asset}-{self.reference.command_count}"
        return self.refusal("deposit", account=account, asset=asset, amount=str(amount), reference=reference)

    def fund_all(self) -> None:
        for account, asset in ((1, "BASE"), (2, "QUOTE")):
            unit = self.kernel.engine.registry.asset_by_symbol[asset].unit
            assert self.fund(account, asset, unit.text(LIMIT)) is None

    def order(self, account: int, side: str, price: object, quantity: object, **more: object) -> list[Event]:
        fields = {"account": account, "symbol": "BASE-QUOTE", "side": side, "order_type": "limit", **more}
        return self.do("order", price=str(price), quantity=str(quantity), **fields)

    def refused(self, account: int, side: str, price: object, quantity: object, **more: object) -> str | None:
        first = self.order(account, side, price, quantity, **more)[0]
        return str(first["reason"]) if first["event"] == "rejected" else None

    def balance(self, account: int, asset: str) -> tuple[int, int]:
        """(available, locked) in smallest units"""
        for found, symbol, available, locked in self.kernel.engine.balances():
            if (found, symbol) == (account, asset):
                return available, locked
        return 0, 0


@pytest.fixture
def market() -> Market:
    made = Market()
    made.fund_all()
    return made


# Amounts


def test_the_maximum_supply_is_2_to_the_62() -> None:
    market = Market()
    assert market.fund(1, "BASE", LIMIT + 1) == "supply_overflow"
    assert market.fund(1, "BASE", LIMIT - 1) is None
    assert market.fund(2, "BASE", 2) == "supply_overflow"
    assert market.fund(2, "BASE", 1) is None
    assert market.fund(HIGHEST_ACCOUNT, "BASE", 1) == "supply_overflow"
    assert market.fund(1, "BASE", 2**63 - 1) == "supply_overflow"
    assert market.fund(1, "BASE", 2**63) == "invalid_amount"
    market.do("withdraw", account=1, asset="BASE", amount=str(LIMIT - 1), reference="out")
    assert market.balance(1, "BASE") == (0, 0)
    assert market.fund(3, "BASE", LIMIT - 1) is None
    market.check()


@pytest.mark.parametrize(("price", "quantity"), [(2**31, 2**31), (LIMIT, 1), (1, LIMIT), (2**61, 2), (3, LIMIT // 3)])
def test_a_notional_of_2_to_the_62_is_the_highest(price: int, quantity: int, market: Market) -> None:
    assert market.refused(2, "buy", price + 1, quantity) == "notional_overflow"
    assert market.refused(2, "buy", price, quantity + 1) == "notional_overflow"
    assert market.refused(2, "buy", 2**63 - 1, 2**63 - 1) == "notional_overflow"
    assert market.refused(2, "buy", price, quantity) is None
    assert market.balance(2, "QUOTE") == (LIMIT - price * quantity, price * quantity)
    if quantity < LIMIT:
        assert market.refused(1, "sell", price, quantity + 1) == "notional_overflow"
    assert market.order(1, "sell", price, quantity)[1]["event"] == "trade"
    assert market.balance(1, "QUOTE") == (price * quantity, 0)
    market.check()


def test_a_fee_of_999999_ppm_of_2_to_the_62_is_rounded_down() -> None:
    market = Market(maker_fee=999_999, taker_fee=999_999)
    market.fund_all()
    market.order(1, "sell", 1, LIMIT)
    *_, trade = market.order(2, "buy", 1, LIMIT)
    # 4611686018427387904 × 0.999999 = 4611681406741369476.612096
    assert trade["buyer_fee"] == trade["seller_fee"] == "4611681406741369476"
    assert market.balance(1, "QUOTE") == (4_611_686_018_428, 0)
    assert market.balance(2, "BASE") == (4_611_686_018_428, 0)
    assert market.balance(0, "BASE") == market.balance(0, "QUOTE") == (4_611_681_406_741_369_476, 0)
    market.check()


@pytest.mark.parametrize("rate", [0, 1, 999, 500_000, 999_998, 999_999])
def test_fees_are_the_floor_at_any_size(rate: int) -> None:
    market = Market(maker_fee=rate, taker_fee=999_999 - rate)
    market.fund_all()
    for lots in (1, 2, 999_999, 1_000_000, 1_000_001, 2**31 - 1, 2**32 + 1, 10**15 + 7, 2**61 + 12_345_678_901):
        market.order(1, "sell", 1, lots)
        *_, trade = market.order(2, "buy", 1, lots)
        assert (trade["seller_fee"], trade["buyer_fee"]) == tuple(
            str(lots * ppm // 1_000_000) for ppm in (rate, 999_999 - rate)
        )
    market.check()


def test_base_amounts_of_more_than_2_to_the_62_are_refused_whatever_the_order() -> None:
    market = Market(base_decimals=18)  # a lot is 10^18 units: 4 lots are below 2^62, 5 above it
    market.fund_all()
    for side, account in (("sell", 1), ("buy", 2)):
        assert market.refused(account, side, 1, 5) == "notional_overflow"
        market_order = {"account": account, "symbol": "BASE-QUOTE", "side": side, "order_type": "market"}
        assert market.refusal("order", **market_order, quantity="5") == "notional_overflow"
    assert market.refused(1, "sell", 1, 4) is None
    assert market.balance(1, "BASE") == (LIMIT - 4 * 10**18, 4 * 10**18)
    market.check()


def test_18_decimals_are_exact_to_the_last_unit() -> None:
    smallest = "0.000000001"
    market = Market(18, 18, tick_size=smallest, lot_size=smallest, min_quantity=smallest, max_quantity="1")
    market.fund(1, "BASE", "0.000000002")
    market.fund(2, "QUOTE", "0.000000000000000003")
    market.order(1, "sell", "0.000000001", "0.000000001")
    assert market.refused(2, "buy", "0.000000004", "0.000000001") == "insufficient_balance"
    *_, trade = market.order(2, "buy", "0.000000003", "0.000000001")
    assert (trade["price"], trade["quantity"]) == ("0.000000001", "0.000000001")
    assert market.balance(2, "QUOTE") == (2, 0)
    assert market.balance(1, "QUOTE") == (1, 0)
    assert market.balance(2, "BASE") == (10**9, 0)
    market.check()


def test_an_instrument_whose_smallest_order_is_2_to_the_62_works() -> None:
    base = Market(lot_size=str(LIMIT), min_quantity=str(LIMIT), max_quantity=str(LIMIT))
    base.fund(1, "BASE", LIMIT)
    assert base.refused(1, "sell", 1, LIMIT) is None  # quote_unit equals the lot in base units
    quote = Market(tick_size=str(LIMIT))
    quote.fund(2, "QUOTE", LIMIT)
    assert quote.refused(2, "buy", LIMIT, 1) is None
    by_quote = {"account": 2, "symbol": "BASE-QUOTE", "side": "buy", "order_type": "market"}
    assert quote.refusal("order", **by_quote, quote_quantity=str(LIMIT)) is not None
    base.check()
    quote.check()


def test_a_market_buy_that_costs_more_than_the_maximum_supply_is_refused(market: Market) -> None:
    for _ in range(3):
        market.order(1, "sell", LIMIT, 1)
    buy = {"account": 2, "symbol": "BASE-QUOTE", "side": "buy", "order_type": "market"}
    for quantity in ("2", "3", "100", str(LIMIT)):
        assert market.refusal("order", **buy, quantity=quantity) == "insufficient_balance"
    assert market.refusal("order", **buy, quantity=str(LIMIT + 1)) == "notional_overflow"
    assert market.refusal("order", **buy, quote_quantity=str(LIMIT + 1)) == "notional_overflow"
    assert market.refusal("order", **buy, quote_quantity=str(LIMIT - 1)) == "quote_quantity_too_small"
    _, trade, cancelled = market.do("order", **buy, quote_quantity=str(LIMIT))
    assert (trade["event"], cancelled["reason"]) == ("trade", "quote_quantity_used")
    market.check()


def test_a_market_buy_may_cost_the_maximum_supply(market: Market) -> None:
    for price in (LIMIT // 4, LIMIT // 4, LIMIT // 2):
        market.order(1, "sell", price, 1)
    buy = {"account": 2, "symbol": "BASE-QUOTE", "side": "buy", "order_type": "market"}
    assert len(market.do("order", **buy, quantity="3")) == 4
    assert market.balance(2, "QUOTE") == (0, 0)
    market.check()


# Names


def test_names_of_maximum_length_may_differ_only_in_the_last_character(market: Market) -> None:
    ids = ["x" * 35 + last for last in "abc"]
    for client_order_id in ids:
        assert market.refused(1, "sell", 10, 1, client_order_id=client_order_id) is None
        assert market.refused(1, "sell", 10, 1, client_order_id=client_order_id) == "duplicate_client_order_id"
    assert market.refused(1, "sell", 10, 1, client_order_id="x" * 37) == "malformed"
    market.do("cancel", account=1, symbol="BASE-QUOTE", client_order_id=ids[1])
    assert [row["order_id"] for row in market.reference.open_orders()] == [6, 10]
    for last in "ab":
        reference = "r" * 63 + last
        transfer = {"account": 1, "asset": "BASE", "amount": "1", "reference": reference}
        assert market.refusal("withdraw", **transfer) is None
        assert market.refusal("withdraw", **transfer) == "duplicate_reference"
        assert market.refusal("deposit", **transfer) is None
    assert market.refusal("deposit", account=1, asset="BASE", amount="1", reference="r" * 65) == "malformed"
    market.check()


def test_the_highest_account_number_works(market: Market) -> None:
    market.do("withdraw", account=1, asset="BASE", amount="10", reference="out")
    market.fund(HIGHEST_ACCOUNT, "BASE", 10)
    market.order(HIGHEST_ACCOUNT, "sell", 5, 4, client_order_id="a")
    market.order(HIGHEST_ACCOUNT, "sell", 5, 4)
    market.order(2, "buy", 5, 1)
    market.restart()
    assert market.do("cancel_all", account=HIGHEST_ACCOUNT)[-1]["count"] == 2
    assert market.balance(HIGHEST_ACCOUNT, "BASE") == (9, 0)
    assert market.balance(HIGHEST_ACCOUNT, "QUOTE") == (5, 0)
    assert market.refusal("deposit", account=2**63, asset="BASE", amount="1", reference="t") == "malformed"
    market.check()


def test_a_client_order_id_is_free_again_once_its_order_is_gone(market: Market) -> None:
    named = {"client_order_id": "again"}
    for _ in range(3):
        market.order(1, "sell", 10, 5, **named)
        assert market.refused(1, "sell", 11, 1, **named) == "duplicate_client_order_id"
        market.order(2, "buy", 10, 5)  # filled
        market.order(1, "sell", 10, 5, **named)
        market.do("cancel", account=1, symbol="BASE-QUOTE", **named)
        market.order(1, "sell", 10, 5, **named)
        market.do("cancel_all", account=1)
        market.order(1, "sell", 10, 5, time_in_force="ioc", **named)
        market.order(2, "buy", 9, 5)
        market.order(1, "sell", 10, 5, **named)
        replaced = market.do("replace", account=1, symbol="BASE-QUOTE", price="9", quantity="5", **named)
        assert replaced[-1]["event"] == "trade"
        assert market.refusal("cancel", account=1, symbol="BASE-QUOTE", **named) == "unknown_order"
        market.order(1, "sell", 10, 5, **named)
        market.order(1, "buy", 10, 5, self_trade_prevention="expire_maker")
        market.order(1, "sell", 11, 5, **named)
        market.do("cancel_all", account=1)
        market.restart()
    market.check()


# The tree of prices


def test_prices_at_every_height_of_the_tree_are_sorted_and_its_nodes_are_freed(market: Market) -> None:
    prices = sorted({64**height + more for height in range(11) for more in (-1, 0, 1) if 64**height + more <= LIMIT})
    prices = [price for price in (*prices, LIMIT - 1, LIMIT) if price > 1]
    random = Random(4)
    for turn in range(4):
        order_ids = {}
        for price in random.sample(prices, len(prices)) if turn else prices:
            order_ids[price] = market.order(1, "sell", price, 1)[0]["order_id"]
        assert market.refused(1, "sell", LIMIT + 1, 1) == "notional_overflow"
        market.order(2, "buy", 1, 1)
        market.check()
        market.restart()
        for price in random.sample(prices, len(prices)) if turn < 3 else reversed(prices):
            market.do("cancel", account=1, symbol="BASE-QUOTE", order_id=order_ids[price])
            if turn == 2:
                market.check()
        market.do("cancel_all", account=2)
        state = market.kernel.engine.pools.state
        assert (state[p.LEAF_COUNT], state[p.NODE_COUNT], state[p.ORDER_COUNT]) == (0, 1, 0)
    market.check()


def test_a_taker_walks_from_the_lowest_price_to_the_highest(market: Market) -> None:
    prices = [1, 63, 64, 4096, 2**18, 2**30, 2**45, 2**60]
    for price in reversed(prices):
        market.order(1, "sell", price, 1)
    taken = market.do("order", account=2, symbol="BASE-QUOTE", side="buy", order_type="market", quantity="8")
    assert [event["price"] for event in taken[1:]] == [str(price) for price in prices]
    market.check()


# Many at once


@pytest.mark.parametrize("block_size", [40, 10_000])
def test_cancel_all_takes_thousands_of_orders_in_order_of_order_id(block_size: int) -> None:
    funds = [
        {"command": "deposit", "account": 1, "asset": asset, "amount": "1000000000", "reference": asset}
        for asset in ("BASE", "QUOTE")
    ]
    orders = [
        {
            "command": "order",
            "account": 1 if at % 50 else 2,
            "symbol": ("BASE-QUOTE", "QUOTE-BASE")[at % 2],
            "side": "sell" if at % 3 else "buy",
            "order_type": "limit",
            "price": str(500 + at * 7919 % 400 if at % 3 else 1 + at * 7919 % 400),
            "quantity": "1",
        }
        for at in range(6000)
    ]
    commands: list[Event] = [
        *({"command": "asset", "symbol": symbol, "decimals": 0} for symbol in ("BASE", "QUOTE")),
        {"command": "instrument", "symbol": "BASE-QUOTE", **USUAL},
        {"command": "instrument", "symbol": "QUOTE-BASE", **USUAL, "base": "QUOTE", "quote": "BASE"},
        *funds,
        *orders[:5000],
        {"command": "cancel_all", "account": 1, "symbol": "QUOTE-BASE"},
        *orders[5000:],
        {"command": "cancel_all", "account": 1},
        {"command": "cancel_all", "account": 1},
    ]
    found = same_as_reference(commands, block_size)
    counts = [event["count"] for event in found if event["event"] == "orders_cancelled"]
    assert counts == [2500, 3380, 0]
    cancelled = [event["order_id"] for event in found if event["event"] == "order_cancelled"]
    assert cancelled[:2500] == sorted(cancelled[:2500])
    assert cancelled[2500:] == sorted(cancelled[2500:])


def test_tens_of_thousands_of_client_order_ids_come_and_go() -> None:
    random, account = Random(5), {"account": 1, "symbol": "BASE-QUOTE"}
    commands: list[Event] = [
        *({"command": "asset", "symbol": symbol, "decimals": 0} for symbol in ("BASE", "QUOTE")),
        {"command": "instrument", "symbol": "BASE-QUOTE", **USUAL},
        {"command": "deposit", "account": 1, "asset": "BASE", "amount": "1000000000", "reference": "t"},
    ]
    terms = {"side": "sell", "order_type": "limit", "quantity": "1"}
    for at in range(25_000):
        name = {"client_order_id": f"{random.randrange(3000):036d}"}
        if at % 2:
            commands.append({"command": "cancel", **account, **name})
        else:
            commands.append({"command": "order", **account, **terms, **name, "price": str(1 + random.randrange(99))})
    events = same_as_reference(commands, snapshot_at=12_000)
    assert sum(event["event"] == "order_cancelled" for event in events) > 5000


def same_as_reference(commands: list[Event], block_size: int = 512, snapshot_at: int | None = None) -> list[Event]:
    """The events of a replay, compared with those of the reference engine."""
    reference = ReferenceExchange()
    expected = [dumps(event) for command in commands for event in reference.submit(command)]
    *events, summary = replay(map(dumps, commands), block_size=block_size, snapshot_at=snapshot_at)
    assert [dumps(event) for event in events] == expected
    assert summary["state_digest"] == reference.state_digest()
    return events


def test_an_empty_block_continues_the_chain() -> None:
    engine = Engine()
    nothing = np.zeros(0, layout.REQUEST), np.zeros(0, layout.COMMAND), b""
    hashes = [0]
    for number in (1, 2, 3):
        block = engine.apply(*nothing, timestamp_ns=5 - number)
        assert (block.number, block.timestamp_ns, block.command_count, block.event_count) == (number, 4, 0, 0)
        Block.decode(block.data).verify(number, hashes[-1])
        hashes.append(engine.state_hash)
    assert len(set(hashes)) == 4
    assert (engine.next_command_sequence, engine.next_event_sequence) == (1, 1)
