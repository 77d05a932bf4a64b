"""Each refusal is provoked, and its status, code and text are exact, because clients match on them."""

from typing import Any

import pytest

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.trading import Market, new_market


@pytest.fixture(scope="module")
def market(gateway: RunningGateway) -> Market:
    """The last price is 100, the band 10 %; an account has five open orders at most."""
    made = new_market(
        gateway,
        min_quantity="0.001",
        max_quantity="500",
        min_notional="1",
        price_band=100_000,
        max_open_orders=5,
    )
    made.place("maker", "SELL", "1", "100")
    made.place("other", "BUY", "1", "100")
    made.place("maker", "SELL", "10", "105")
    made.place("poor", "BUY", "1", "100", newClientOrderId="open")
    return made


LIMIT: dict[str, Any] = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "95"}
MARKET: dict[str, Any] = {"side": "BUY", "type": "MARKET", "quantity": "1"}
STOP = {
    "side": "BUY",
    "type": "STOP_LOSS_LIMIT",
    "timeInForce": "GTC",
    "quantity": "1",
    "price": "95",
    "stopPrice": "120",
}


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


FILTERS = [
    ("a price between ticks", {**LIMIT, "price": "95.001"}, "PRICE_FILTER"),
    ("a price of zero", {**LIMIT, "price": "0"}, "PRICE_FILTER"),
    ("a trigger between ticks", {**STOP, "stopPrice": "120.001"}, "PRICE_FILTER"),
    ("a quantity between lots", {**LIMIT, "quantity": "1.00001"}, "LOT_SIZE"),
    ("a quantity of zero", {**LIMIT, "quantity": "0"}, "LOT_SIZE"),
    ("a quantity below the least", {**LIMIT, "quantity": "0.0009"}, "LOT_SIZE"),
    ("a quantity above the most", {**LIMIT, "quantity": "500.001"}, "LOT_SIZE"),
    ("a notional below the least", {**LIMIT, "quantity": "0.01"}, "NOTIONAL"),
    ("a notional that overflows", {**LIMIT, "price": "92233720368547", "quantity": "500"}, "NOTIONAL"),
    ("a quote quantity below the least", {"side": "BUY", "type": "MARKET", "quoteOrderQty": "0.5"}, "NOTIONAL"),
    ("a price below the band", {**LIMIT, "price": "89.99"}, "PERCENT_PRICE_BY_SIDE"),
    ("a price above the band", {**LIMIT, "price": "110.01"}, "PERCENT_PRICE_BY_SIDE"),
    ("an iceberg of many pieces", {**LIMIT, "quantity": "1", "icebergQty": "0.0099"}, "ICEBERG_PARTS"),
]


@pytest.mark.parametrize(("values", "name"), [case[1:] for case in FILTERS], ids=[case[0] for case in FILTERS])
def test_filters(market: Market, values: dict[str, Any], name: str) -> None:
    answer = market.trader("trader").post("order", symbol=market.symbol, **values)
    assert answer.error == (400, -1013, f"Filter failure: {name}")


REFUSALS = [
    ("no funds", "poorest", LIMIT, -2010, "Account has insufficient balance for requested action."),
    (
        "a maker that would take",
        "trader",
        {**without(LIMIT, "timeInForce"), "type": "LIMIT_MAKER", "price": "105"},
        -2010,
        "Order would immediately match and take.",
    ),
    ("a name in use", "poor", {**LIMIT, "newClientOrderId": "open"}, -2010, "Duplicate order sent."),
    ("a trigger that is met", "trader", {**STOP, "stopPrice": "99"}, -2010, "Stop price would trigger immediately."),
    ("an iceberg above its quantity", "trader", {**LIMIT, "icebergQty": "2"}, -2010, "IcebergQty exceeds QTY."),
    (
        "an iceberg that may not rest",
        "trader",
        {**LIMIT, "timeInForce": "IOC", "icebergQty": "0.5"},
        -2010,
        "Unsupported order combination",
    ),
    (
        "a trailing order",
        "trader",
        {**STOP, "trailingDelta": "10"},
        -2010,
        "Trailing stop orders are not supported for this symbol.",
    ),
    (
        "a pegged order",
        "trader",
        {**LIMIT, "pegPriceType": "PRIMARY_PEG"},
        -2010,
        "Pegged orders are not supported for this symbol.",
    ),
    ("another side", "trader", {**LIMIT, "side": "buy"}, -1117, "Invalid side."),
    ("another type", "trader", {**LIMIT, "type": "LIMITED"}, -1116, "Invalid orderType."),
    ("another time in force", "trader", {**LIMIT, "timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
    (
        "no price",
        "trader",
        without(LIMIT, "price"),
        -1102,
        "Mandatory parameter 'price' was not sent, was empty/null, or malformed.",
    ),
    (
        "no quantity",
        "trader",
        without(MARKET, "quantity"),
        -1102,
        "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!",
    ),
    ("an empty price", "trader", {**LIMIT, "price": ""}, -1105, "Parameter 'price' was empty."),
    (
        "a price of a market order",
        "trader",
        {**MARKET, "price": "1"},
        -1106,
        "Parameter 'price' sent when not required.",
    ),
    (
        "a time in force of a market order",
        "trader",
        {**MARKET, "timeInForce": "GTC"},
        -1106,
        "Parameter 'timeInForce' sent when not required.",
    ),
    (
        "both quantities",
        "trader",
        {**MARKET, "quoteOrderQty": "1"},
        -1106,
        "Parameter 'quantity' sent when not required.",
    ),
    (
        "a negative price",
        "trader",
        {**LIMIT, "price": "-1"},
        -1100,
        r"Illegal characters found in parameter 'price'; legal range is '^([0-9]{1,20})(\.[0-9]{1,20})?$'.",
    ),
    (
        "a name of other characters",
        "trader",
        {**LIMIT, "newClientOrderId": "a b"},
        -1100,
        "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'.",
    ),
    (
        "a price of nine decimals",
        "trader",
        {**LIMIT, "price": "95.000000001"},
        -1111,
        "Parameter 'price' has too much precision.",
    ),
    (
        "a parameter that is not read",
        "trader",
        {**LIMIT, "colour": "red"},
        -1104,
        "Not all sent parameters were read; read '7' parameter(s) but was sent '8', such as 'colour'.",
    ),
    (
        "another mode of prevention",
        "trader",
        {**LIMIT, "selfTradePreventionMode": "SOMETIMES"},
        -1130,
        "Data sent for parameter 'selfTradePreventionMode' is not valid.",
    ),
    (
        "another form of answer",
        "trader",
        {**LIMIT, "newOrderRespType": "LONG"},
        -1130,
        "Data sent for parameter 'newOrderRespType' is not valid.",
    ),
]


@pytest.mark.parametrize(
    ("trader", "values", "code", "text"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_refusals(market: Market, trader: str, values: dict[str, Any], code: int, text: str) -> None:
    client = market.trader(trader, **({"base": "0", "usd": "0"} if trader == "poorest" else {}))
    assert client.post("order", symbol=market.symbol, **values).error == (400, code, text)


def test_more_open_orders_than_the_instrument_allows(market: Market) -> None:
    for _ in range(5):
        assert market.place("many", "BUY", "1", "95").status == 200
    assert market.place("many", "BUY", "1", "95").error == (400, -1013, "Filter failure: MAX_NUM_ORDERS")


def test_a_quote_quantity_that_pays_for_less_than_a_lot(gateway: RunningGateway) -> None:
    market = new_market(gateway)
    market.place("maker", "SELL", "0.0001", "20000")
    answer = market.trader("trader").post(
        "order", symbol=market.symbol, side="BUY", type="MARKET", quoteOrderQty="1.99"
    )
    assert answer.error == (400, -2010, "Order book liquidity is less than LOT_SIZE filter minimum quantity.")


def test_a_market_that_is_not_open(gateway: RunningGateway) -> None:
    market = new_market(gateway)
    order = market.place("trader", "BUY", "1", "100").body
    gateway.call({"command": "instrument_status", "symbol": market.engine_symbol, "status": "halted"})
    assert market.place("trader", "BUY", "1", "100").error == (400, -2010, "Market is closed.")
    cancel = market.trader("trader").delete("order", symbol=market.symbol, orderId=order["orderId"])
    assert cancel.error == (400, -2011, "Market is closed.")


def test_an_account_that_may_not_trade(gateway: RunningGateway) -> None:
    market = new_market(gateway)
    market.trader("trader")
    gateway.call({"command": "account_status", "account": market.accounts["trader"], "status": "no_trading"})
    answer = market.place("trader", "BUY", "1", "100")
    assert answer.error == (400, -2010, "This action is disabled on this account.")
    assert market.trader("trader").get("account").body["canTrade"] is False


@pytest.mark.parametrize("method", ["get", "delete"])
def test_an_order_that_is_not_there(market: Market, method: str) -> None:
    ask = getattr(market.trader("trader"), method)
    expected = (400, -2013, "Order does not exist.") if method == "get" else (400, -2011, "Unknown order sent.")
    assert ask("order", symbol=market.symbol, orderId=10**12).error == expected
    assert ask("order", symbol=market.symbol, origClientOrderId="nobody").error == expected
    other = market.trader("maker").get("openOrders", symbol=market.symbol).body[0]["orderId"]
    assert ask("order", symbol=market.symbol, orderId=other).error == expected, "the order of another account"


def test_an_order_without_a_name_to_look_for(market: Market) -> None:
    answer = market.trader("trader").get("order", symbol=market.symbol)
    text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
    assert answer.error == (400, -1102, text)


@pytest.mark.parametrize("symbol", ["NOSUCHUSD", "BTC-USD"])
def test_a_symbol_that_is_not_there(gateway: RunningGateway, symbol: str) -> None:
    client = SignedClient(gateway.url, *gateway.keys.add(1))
    assert client.post("order", symbol=symbol, **LIMIT).error == (400, -1121, "Invalid symbol.")


def test_a_span_of_more_than_a_day(market: Market) -> None:
    day_ms = 24 * 3600 * 1000
    client = market.trader("trader")
    for path in ("allOrders", "myTrades"):
        answer = client.get(path, symbol=market.symbol, startTime=1000, endTime=1001 + day_ms)
        assert answer.error == (400, -1127, "More than 24 hours between startTime and endTime.")
        assert client.get(path, symbol=market.symbol, startTime=1000).status == 200
