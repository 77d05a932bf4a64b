"""Streams by a real client: requests, and the events of each kind."""

import time
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.gateway.running_gateway import RunningGateway, limit
from tests.gateway.streams.consumer import consuming


def trade(gateway: RunningGateway, price: str, quantity: str = "1") -> None:
    """Two orders that trade, and leave nothing in the book."""
    gateway.call(limit(1, "sell", price, quantity), limit(2, "buy", price, quantity))


def test_requests_are_answered_with_their_id(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/ws") as consumer:
        assert consumer.ask("SUBSCRIBE", "btcusd@trade", "btcusd@depth", identity=7) == {"result": None, "id": 7}
        listed = consumer.ask("LIST_SUBSCRIPTIONS", identity="a")
        assert listed == {"result": ["btcusd@trade", "btcusd@depth"], "id": "a"}
        assert consumer.ask("UNSUBSCRIBE", "btcusd@trade", identity=None) == {"result": None, "id": None}
        assert consumer.ask("LIST_SUBSCRIPTIONS")["result"] == ["btcusd@depth"]


def test_a_connection_can_ask_for_the_names_of_streams(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/ws") as consumer:
        assert consumer.ask("GET_PROPERTY", "combined")["result"] is False
        assert consumer.ask("SET_PROPERTY", "combined", True)["result"] is None
        assert consumer.ask("GET_PROPERTY", "combined")["result"] is True


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ("no json", 3),
        ("[1]", 2),
        ({"id": 1}, 2),
        ({"method": "OTHER", "id": 1}, 2),
        ({"method": "SUBSCRIBE", "params": "btcusd@trade", "id": 1}, 2),
        ({"method": "SUBSCRIBE", "params": ["btcusd@nothing"], "id": 1}, 2),
        ({"method": "SUBSCRIBE", "params": [], "id": 1}, 2),
        ({"method": "SUBSCRIBE", "params": ["btcusd@trade"], "id": 1.5}, 2),
        ({"method": "SET_PROPERTY", "params": ["other", True], "id": 1}, 0),
        ({"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1}, 1),
        ({"method": "SUBSCRIBE", "params": [f"s{at}@trade" for at in range(1025)], "id": 1}, 2),
    ],
)
def test_a_bad_request_is_refused_with_a_code(gateway: RunningGateway, request_: Any, code: int) -> None:
    with consuming(f"{gateway.stream_url}/ws") as consumer:
        assert consumer.send(request_)["error"]["code"] == code
        assert consumer.ask("LIST_SUBSCRIPTIONS")["result"] == []


@pytest.mark.parametrize(
    "path", ["/ws/btcusd@nothing", "/stream?streams=btcusd@nothing", "/other", "/ws?timeUnit=YEAR"]
)
def test_there_is_nothing_at_other_urls(gateway: RunningGateway, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused, consuming(f"{gateway.stream_url}{path}"):
        pass
    assert refused.value.response.status_code == 404


def test_trades_are_sent_one_by_one_and_as_aggregates(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/ws/btcusd@trade/btcusd@aggTrade") as consumer:
        gateway.call(limit(1, "sell", "100.00", "1"), limit(1, "sell", "100.00", "2"), limit(2, "buy", "100.00", "3"))
        first, second = consumer.event("trade"), consumer.event("trade")
        aggregate = consumer.event("aggTrade")
    assert (first["s"], first["p"], first["q"], first["m"]) == ("BTCUSD", "100.00000000", "1.00000000", False)
    assert second["t"] == first["t"] + 1
    assert (aggregate["a"], aggregate["f"], aggregate["l"], aggregate["q"]) == (
        first["t"],
        first["t"],
        second["t"],
        "3.00000000",
    )
    assert abs(first["T"] / 1000 - time.time()) < 60


def test_combined_events_have_the_name_of_their_stream_and_times_in_microseconds(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/stream?streams=btcusd@trade&timeUnit=MICROSECOND") as consumer:
        trade(gateway, "101.00")
        event = consumer.event("trade")
    assert event["stream"] == "btcusd@trade"
    assert abs(event["data"]["T"] / 1e6 - time.time()) < 60


def test_depth_updates_follow_one_another_and_the_book_of_rest(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/ws/btcusd@depth@100ms/btcusd@bookTicker") as consumer:
        gateway.call(limit(2, "buy", "90.00", "2", client_order_id="deep"))
        update = consumer.event("depthUpdate")
        assert update["b"] == [["90.00000000", "2.00000000"]]
        gateway.call({"command": "cancel", "account": 2, "symbol": "BTC-USD", "client_order_id": "deep"})
        following = consumer.event("depthUpdate")
        assert following["b"] == [["90.00000000", "0.00000000"]]
        assert following["U"] == update["u"] + 1


def test_the_best_levels_are_sent_when_they_change(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/ws/btcusd@bookTicker") as consumer:
        gateway.call(limit(2, "buy", "91.00", "2", client_order_id="best"))
        event = consumer.event("bookTicker")
        gateway.call({"command": "cancel", "account": 2, "symbol": "BTC-USD", "client_order_id": "best"})
    assert (event["s"], event["b"], event["B"]) == ("BTCUSD", "91.00000000", "2.00000000")
    assert "e" not in event
    assert "E" not in event


@pytest.mark.parametrize(
    ("name", "kind", "field", "value"),
    [
        ("btcusd@ticker", "24hrTicker", "c", "103.00000000"),
        ("btcusd@miniTicker", "24hrMiniTicker", "c", "103.00000000"),
        ("btcusd@avgPrice", "avgPrice", "i", "5m"),
    ],
)
def test_statistics_are_sent_in_the_second_after_a_trade(
    gateway: RunningGateway, name: str, kind: str, field: str, value: str
) -> None:
    with consuming(f"{gateway.stream_url}/ws/{name}") as consumer:
        trade(gateway, "103.00")
        assert consumer.event(kind)[field] == value


def test_tickers_of_all_instruments_are_one_event(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/ws/!miniTicker@arr") as consumer:
        trade(gateway, "104.00")
        assert [one["s"] for one in consumer.receive()] == ["BTCUSD"]


def test_a_candle_is_sent_while_it_is_open_and_when_it_has_ended(gateway: RunningGateway) -> None:
    trade(gateway, "105.00")
    with consuming(f"{gateway.stream_url}/ws/btcusd@kline_1s") as consumer:
        first = consumer.event("kline")["k"]
        candle = consumer.event("kline")["k"]
        while not candle["x"]:
            candle = consumer.event("kline")["k"]
    assert (first["i"], first["s"], first["x"]) == ("1s", "BTCUSD", False)
    assert candle["T"] == candle["t"] + 999


def test_some_levels_are_sent_whole(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/ws/btcusd@depth5@100ms") as consumer:
        gateway.call(limit(2, "buy", "92.00", "2", client_order_id="whole"))
        event = consumer.receive()
        gateway.call({"command": "cancel", "account": 2, "symbol": "BTC-USD", "client_order_id": "whole"})
    assert event["bids"][0] == ["92.00000000", "2.00000000"]
    assert event["asks"] == []


def test_who_sends_more_than_five_messages_in_a_second_is_cut_off(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/ws") as consumer:
        for _ in range(5):
            consumer.ask("LIST_SUBSCRIPTIONS")
        consumer.connection.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert consumer.closed() == (1008, "Too many requests")


def test_connections_are_counted_while_they_are_open(gateway: RunningGateway) -> None:
    with consuming(f"{gateway.stream_url}/ws") as consumer:
        consumer.ask("LIST_SUBSCRIPTIONS")
        assert gateway.parts.streams.connection_count >= 1
