"""Market data over REST."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.gateway.running_gateway import RunningGateway, limit


def get(gateway: RunningGateway, path: str) -> Any:
    return ask(gateway, path)[1]


def ask(gateway: RunningGateway, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"{gateway.url}{path}", timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module", autouse=True)
def traded(gateway: RunningGateway) -> None:
    """Two aggregates: 3 at 100, 1 at 101; and a book with one level on each side."""
    gateway.call(
        limit(1, "sell", "100.00", "1"),
        limit(1, "sell", "100.00", "2"),
        limit(1, "sell", "101.00", "1"),
        limit(2, "buy", "101.00", "4"),
        limit(2, "buy", "90.00", "2"),
        limit(1, "sell", "110.00", "5"),
    )
    # GET depth is as of the last window, which the next heartbeat ends.
    deadline = time.monotonic() + 20
    while not get(gateway, "/api/v3/depth?symbol=BTCUSD")["asks"]:
        assert time.monotonic() < deadline


def test_ping_and_time(gateway: RunningGateway) -> None:
    assert get(gateway, "/api/v3/ping") == {}
    assert abs(get(gateway, "/api/v3/time")["serverTime"] / 1000 - time.time()) < 60


def test_instruments_have_what_clients_look_for(gateway: RunningGateway) -> None:
    document = get(gateway, "/api/v3/exchangeInfo")
    (symbol,) = document["symbols"]
    assert (symbol["symbol"], symbol["baseAsset"], symbol["quoteAsset"], symbol["status"]) == (
        "BTCUSD",
        "BTC",
        "USD",
        "TRADING",
    )
    assert symbol["permissionSets"] == [["SPOT"]]
    filters = {one["filterType"]: one for one in symbol["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00010000"
    assert {"NOTIONAL", "ICEBERG_PARTS"} <= filters.keys()
    assert [one["rateLimitType"] for one in document["rateLimits"]] == ["REQUEST_WEIGHT", "ORDERS", "ORDERS"]


@pytest.mark.parametrize(
    "query",
    ["symbol=BTCUSD", 'symbols=["BTCUSD"]', "symbols=%5B%22BTCUSD%22%5D", "permissions=SPOT", "symbolStatus=TRADING"],
)
def test_instruments_are_chosen_by_name(gateway: RunningGateway, query: str) -> None:
    document = get(gateway, f"/api/v3/exchangeInfo?{query}")
    assert [one["symbol"] for one in document["symbols"]] == ["BTCUSD"]


def test_depth_has_visible_levels(gateway: RunningGateway) -> None:
    document = get(gateway, "/api/v3/depth?symbol=BTCUSD&limit=9999")
    assert document.keys() == {"lastUpdateId", "bids", "asks"}
    assert document["bids"] == [["90.00000000", "2.00000000"]]
    assert document["asks"] == [["110.00000000", "5.00000000"]]


def test_trades_and_aggregates(gateway: RunningGateway) -> None:
    trades = get(gateway, "/api/v3/trades?symbol=BTCUSD")
    assert [(one["id"], one["price"], one["qty"], one["quoteQty"], one["isBuyerMaker"]) for one in trades] == [
        (1, "100.00000000", "1.00000000", "100.00000000", False),
        (2, "100.00000000", "2.00000000", "200.00000000", False),
        (3, "101.00000000", "1.00000000", "101.00000000", False),
    ]
    assert [one["id"] for one in get(gateway, "/api/v3/historicalTrades?symbol=BTCUSD&fromId=2")] == [2, 3]
    aggregates = get(gateway, "/api/v3/aggTrades?symbol=BTCUSD")
    assert [(one["a"], one["p"], one["q"], one["f"], one["l"]) for one in aggregates] == [
        (1, "100.00000000", "3.00000000", 1, 2),
        (3, "101.00000000", "1.00000000", 3, 3),
    ]
    assert get(gateway, "/api/v3/aggTrades?symbol=BTCUSD&startTime=1000&limit=1") == aggregates[:1]


def test_candles_are_rows(gateway: RunningGateway) -> None:
    (row,) = get(gateway, "/api/v3/klines?symbol=BTCUSD&interval=1M&limit=1")
    assert row[1:6] == ["100.00000000", "101.00000000", "100.00000000", "101.00000000", "4.00000000"]
    assert row[7:] == ["401.00000000", 3, "4.00000000", "401.00000000", "0"]
    assert row[0] <= time.time() * 1000 <= row[6]


def test_tickers(gateway: RunningGateway) -> None:
    ticker = get(gateway, "/api/v3/ticker/24hr?symbol=BTCUSD")
    assert {
        "priceChange": "1.00000000",
        "priceChangePercent": "1.000",
        "weightedAvgPrice": "100.25000000",
        "lastPrice": "101.00000000",
        "lastQty": "1.00000000",
        "bidPrice": "90.00000000",
        "askQty": "5.00000000",
        "volume": "4.00000000",
        "quoteVolume": "401.00000000",
        "firstId": 1,
        "lastId": 3,
        "count": 3,
    }.items() <= ticker.items()
    assert get(gateway, "/api/v3/ticker?symbol=BTCUSD&windowSize=1h")["count"] == 3
    assert get(gateway, "/api/v3/ticker/tradingDay?symbol=BTCUSD&timeZone=0")["symbol"] == "BTCUSD"
    assert "priceChange" not in get(gateway, "/api/v3/ticker/24hr?symbol=BTCUSD&type=MINI")
    assert get(gateway, "/api/v3/ticker/price") == [{"symbol": "BTCUSD", "price": "101.00000000"}]
    assert get(gateway, "/api/v3/ticker/price?symbol=BTCUSD") == {"symbol": "BTCUSD", "price": "101.00000000"}
    assert get(gateway, '/api/v3/ticker/bookTicker?symbols=["BTCUSD"]')[0]["askPrice"] == "110.00000000"
    assert get(gateway, "/api/v3/avgPrice?symbol=BTCUSD")["price"] == "100.25000000"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("depth", -1102),
        ("depth?symbol=", -1105),
        ("depth?symbol=NOTHING", -1121),
        ("depth?symbol=BTCUSD&limit=x", -1100),
        ("depth?symbol=BTCUSD&limit=0", -1130),
        ("depth?symbol=BTCUSD&other=1", -1104),
        ("klines?symbol=BTCUSD&interval=7m", -1120),
        ("klines?symbol=BTCUSD&interval=1m&timeZone=15:00", -1130),
        ("klines?symbol=BTCUSD&interval=1m&timeZone=x", -1130),
        ("ticker", -1102),
        ("ticker?symbol=BTCUSD&windowSize=8d", -1100),
        ('ticker/price?symbol=BTCUSD&symbols=["BTCUSD"]', -1128),
        ('ticker/price?symbols=["BTCUSD","BTCUSD"]', -1101),
        ("ticker/price?symbols=[]", -1100),
        ("aggTrades?symbol=BTCUSD&fromId=1&startTime=1", -1128),
        ("exchangeInfo?symbol=NOTHING", -1121),
        ("ticker/24hr?symbol=BTCUSD&type=OTHER", -1100),
    ],
)
def test_bad_requests_are_refused_with_a_code(gateway: RunningGateway, path: str, code: int) -> None:
    status, document = ask(gateway, f"/api/v3/{path}")
    assert (status, document["code"]) == (400, code)
    assert document["msg"]
