"""ccxt places, finds and cancels orders by the gateway's API, with nothing changed but its addresses."""

import ccxt

from tests.gateway.running_gateway import RunningGateway

MARKETS = [
    {
        "id": "BTCUSD",
        "symbol": "BTC/USD",
        "base": "BTC",
        "quote": "USD",
        "baseId": "BTC",
        "quoteId": "USD",
        "spot": True,
        "type": "spot",
        "active": True,
        "precision": {"amount": 0.0001, "price": 0.01},
        "limits": {},
        "info": {"orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"]},
    }
]


def exchange(gateway: RunningGateway, account: int) -> ccxt.binance:
    key, secret = gateway.keys.add(account)
    made = ccxt.binance({"apiKey": key, "secret": secret, "options": {"fetchCurrencies": False}})
    made.urls["api"]["public"] = made.urls["api"]["private"] = f"{gateway.url}/api/v3"
    made.set_markets(MARKETS)
    return made


def test_a_limit_order_is_placed_found_and_cancelled(gateway: RunningGateway) -> None:
    client = exchange(gateway, 1)
    placed = client.create_order("BTC/USD", "limit", "buy", 0.5, 20_000)
    assert (placed["status"], placed["filled"], placed["remaining"]) == ("open", 0.0, 0.5)

    found = client.fetch_open_orders("BTC/USD")
    assert [order["id"] for order in found] == [placed["id"]]

    balance = client.fetch_balance()
    assert balance["USD"]["used"] == 10_000.0

    cancelled = client.cancel_order(placed["id"], "BTC/USD")
    assert cancelled["status"] == "canceled"
    assert client.fetch_open_orders("BTC/USD") == []
    assert client.fetch_order(placed["id"], "BTC/USD")["status"] == "canceled"
    assert client.fetch_balance()["USD"]["used"] == 0.0
