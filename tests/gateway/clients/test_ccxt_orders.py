"""ccxt trades by the gateway's API, with nothing changed but its addresses: synchronous, and over WebSocket."""

import asyncio
from typing import Any

import ccxt
import ccxt.pro
import pytest

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market

_PATIENCE_S = 30.0


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    made = new_market(gateway)
    made.trade_at("100")
    made.trader("trader")
    return made


def pointed(made: Any, market: Market) -> Any:
    """The exchange at the gateway's addresses, with a key of the trader."""
    gateway = market.gateway
    made.apiKey, made.secret = gateway.keys.add(market.accounts["trader"])
    made.urls["api"]["public"] = made.urls["api"]["private"] = f"{gateway.url}/api/v3"
    made.urls["api"]["sapi"] = f"{gateway.url}/sapi/v1"
    made.options["fetchMarkets"] = {"types": ["spot"]}
    if "ws" in made.urls["api"]:
        made.urls["api"]["ws"]["spot"] = f"{gateway.stream_url}/stream"
        made.urls["api"]["ws"]["ws-api"]["spot"] = f"{gateway.stream_url}/ws-api/v3"
    return made


@pytest.fixture
def client(market: Market) -> Any:
    made = pointed(ccxt.binance(), market)
    made.load_markets()
    return made


@pytest.fixture
def pair(market: Market) -> str:
    return f"{market.base}/USD"


def test_a_limit_order_is_placed_found_and_cancelled(client: Any, pair: str) -> None:
    placed = client.create_order(pair, "limit", "buy", 0.5, 90)
    assert (placed["status"], placed["filled"], placed["remaining"]) == ("open", 0.0, 0.5)
    assert [order["id"] for order in client.fetch_open_orders(pair)] == [placed["id"]]
    assert client.fetch_balance()["USD"]["used"] == 45.0
    assert client.cancel_order(placed["id"], pair)["status"] == "canceled"
    assert client.fetch_open_orders(pair) == []
    assert client.fetch_order(placed["id"], pair)["status"] == "canceled"
    assert client.fetch_balance()["USD"]["used"] == 0.0


def test_a_market_order_and_its_trades(market: Market, client: Any, pair: str) -> None:
    market.place("maker", "SELL", "1", "100")
    bought = client.create_order(pair, "market", "buy", 0.25)
    assert (bought["status"], bought["filled"], bought["average"]) == ("closed", 0.25, 100.0)
    (trade,) = client.fetch_my_trades(pair)
    assert (trade["order"], trade["amount"], trade["takerOrMaker"]) == (bought["id"], 0.25, "taker")
    assert trade["fee"] == {"cost": 0.0005, "currency": market.base}
    spent = client.create_market_buy_order_with_cost(pair, 25)
    assert (spent["status"], spent["cost"]) == ("closed", 25.0)


@pytest.mark.parametrize(
    ("kind", "side", "price", "parameters", "shown"),
    [
        ("limit", "buy", 90, {"postOnly": True}, "limit"),
        ("limit", "sell", 95, {"stopLossPrice": 96}, "limit"),
        ("limit", "sell", 120, {"takeProfitPrice": 119}, "limit"),
        ("market", "sell", None, {"stopLossPrice": 95}, "market"),
        ("limit", "buy", 90, {"timeInForce": "IOC"}, "limit"),
    ],
)
def test_kinds_of_orders(
    client: Any, pair: str, kind: str, side: str, price: float | None, parameters: dict[str, Any], shown: str
) -> None:
    placed = client.create_order(pair, kind, side, 1, price, parameters)
    found = client.fetch_order(placed["id"], pair)
    assert (found["type"], found["side"], found["amount"]) == (shown, side, 1.0)


def test_an_order_is_edited(client: Any, pair: str) -> None:
    placed = client.create_order(pair, "limit", "buy", 1, 90)
    edited = client.edit_order(placed["id"], pair, "limit", "buy", 2, 91)
    assert (edited["price"], edited["amount"], edited["status"]) == (91.0, 2.0, "open")
    assert client.fetch_order(placed["id"], pair)["status"] == "canceled"
    assert len(client.fetch_orders(pair)) == 2
    client.cancel_all_orders(pair)
    assert client.fetch_open_orders(pair) == []
    assert len(client.fetch_canceled_orders(pair)) == 2


def test_errors_have_their_classes(market: Market, client: Any, pair: str) -> None:
    market.place("maker", "BUY", "1", "95")
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(pair, "limit", "buy", 50_000, 90)
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("123456789012", pair)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        client.create_order(pair, "limit", "sell", 1, 95, {"postOnly": True})
    client.secret = "another"
    with pytest.raises(ccxt.AuthenticationError):
        client.fetch_balance()


def test_fees(client: Any, pair: str) -> None:
    assert client.fetch_trading_fee(pair)["taker"] == 0.002


def test_orders_and_user_data_over_websocket(market: Market, pair: str) -> None:
    async def body() -> None:
        exchange = pointed(ccxt.pro.binance(), market)
        try:
            await exchange.load_markets()
            watching = {
                asyncio.ensure_future(exchange.watch_orders(pair)),
                asyncio.ensure_future(exchange.watch_balance()),
            }
            placed = []
            while waiting := {one for one in watching if not one.done()}:  # until both have subscribed
                placed.append(await exchange.create_order_ws(pair, "limit", "buy", 0.5, 90))
                await asyncio.wait(waiting, timeout=0.1)
            found = [order for one in watching if isinstance(one.result(), list) for order in one.result()]
            assert {order["status"] for order in found} == {"open"}
            assert {order["id"] for order in found} <= {order["id"] for order in placed}
            cancelled = await exchange.cancel_order_ws(placed[0]["id"], pair)
            assert cancelled["status"] == "canceled"
        finally:
            await exchange.close()

    asyncio.run(asyncio.wait_for(body(), _PATIENCE_S))
