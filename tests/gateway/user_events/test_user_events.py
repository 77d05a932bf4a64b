"""User data as subscribers get them, by the WebSocket API and by a listen key."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.user_events import streams
from gateway.ws_api import server
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.trading import Market, new_market
from tests.gateway.ws_client import WsClient, hmac_signer
from tests.matching.small_exchange import deposit, until


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    return new_market(gateway)


@pytest.fixture
def subscribed(gateway: RunningGateway, market: Market) -> Iterator[WsClient]:
    """The trader's events."""
    market.trader("trader")
    key, secret = gateway.keys.add(market.accounts["trader"])
    with WsClient(f"{gateway.stream_url}/ws-api/v3", key, hmac_signer(secret)) as client:
        assert client.signed("userDataStream.subscribe.signature")["result"] == {"subscriptionId": 0}
        yield client


def events(client: WsClient, count: int) -> list[dict[str, Any]]:
    found = client.next_events(count)
    assert all(one["subscriptionId"] == 0 for one in found)
    return [one["event"] for one in found]


def executions(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["x"], event["X"]) if event["e"] == "executionReport" else (event["e"], "") for event in found]


def test_an_order_that_rests(market: Market, subscribed: WsClient) -> None:
    placed = market.place("trader", "BUY", "1", "100", newClientOrderId="mine").body
    report, position = events(subscribed, 2)
    assert report["e"] == "executionReport"
    assert (report["x"], report["X"], report["c"], report["C"]) == ("NEW", "NEW", "mine", "")
    assert (report["i"], report["q"], report["p"]) == (placed["orderId"], "1.00000000", "100.00000000")
    assert (report["t"], report["n"], report["N"], report["w"]) == (-1, "0", None, True)
    assert report["O"] == report["T"] == report["W"] == placed["transactTime"]
    assert position["e"] == "outboundAccountPosition"
    assert position["B"] == [{"a": "USD", "f": "999900.00000000", "l": "100.00000000"}]


def test_a_market_order_is_new_before_it_trades(market: Market, subscribed: WsClient) -> None:
    market.place("maker", "SELL", "0.4", "100")
    market.place("maker", "SELL", "0.4", "101")
    market.place("trader", "BUY", "1")
    found = events(subscribed, 5)
    assert executions(found) == [
        ("NEW", "NEW"),
        ("TRADE", "PARTIALLY_FILLED"),
        ("TRADE", "PARTIALLY_FILLED"),
        ("EXPIRED", "EXPIRED"),
        ("outboundAccountPosition", ""),
    ]
    first, second = found[1:3]
    assert (first["l"], first["L"], first["Y"], first["z"]) == (
        "0.40000000",
        "100.00000000",
        "40.00000000",
        "0.40000000",
    )
    assert (first["n"], first["N"], first["m"]) == ("0.00080000", market.base, False)
    assert (second["z"], second["Z"]) == ("0.80000000", "80.40000000")
    assert second["t"] == first["t"] + 1


def test_an_order_by_quote_quantity_is_filled_by_its_last_trade(market: Market, subscribed: WsClient) -> None:
    market.place("maker", "SELL", "1", "100")
    market.trader("trader").post("order", symbol=market.symbol, side="BUY", type="MARKET", quoteOrderQty="50")
    found = events(subscribed, 3)
    assert executions(found) == [("NEW", "NEW"), ("TRADE", "FILLED"), ("outboundAccountPosition", "")]
    assert (found[0]["Q"], found[1]["q"], found[1]["z"]) == ("50.00000000", "0.50000000", "0.50000000")


def test_a_maker_hears_of_its_trade(market: Market, subscribed: WsClient) -> None:
    market.place("trader", "SELL", "1", "100")
    events(subscribed, 2)
    market.place("taker", "BUY", "1", "100")
    report, position = events(subscribed, 2)
    assert (report["x"], report["X"], report["m"], report["w"]) == ("TRADE", "FILLED", True, False)
    assert (report["n"], report["N"]) == ("0.10000000", "USD")
    assert {balance["a"] for balance in position["B"]} == {market.base, "USD"}


def test_a_cancel_names_both_ids(market: Market, subscribed: WsClient) -> None:
    market.place("trader", "BUY", "1", "100", newClientOrderId="mine")
    events(subscribed, 2)
    client = market.trader("trader")
    client.delete("order", symbol=market.symbol, origClientOrderId="mine", newClientOrderId="cancel")
    report, _ = events(subscribed, 2)
    assert (report["x"], report["X"], report["c"], report["C"]) == ("CANCELED", "CANCELED", "cancel", "mine")


def test_an_amendment(market: Market, subscribed: WsClient) -> None:
    placed = market.place("trader", "BUY", "1", "100", newClientOrderId="first").body
    events(subscribed, 2)
    answer = market.trader("trader").put(
        "order/amend/keepPriority",
        symbol=market.symbol,
        orderId=placed["orderId"],
        newQty="0.4",
        newClientOrderId="second",
    )
    report, position = events(subscribed, 2)
    assert (report["c"], report["C"]) == ("second", "first")
    assert (report["x"], report["X"], report["q"], report["I"]) == (
        "REPLACED",
        "NEW",
        "0.40000000",
        answer.body["executionId"],
    )
    assert position["B"][0]["l"] == "40.00000000"


def test_self_trade_prevention(market: Market, subscribed: WsClient) -> None:
    first = market.place("trader", "SELL", "1", "100").body["orderId"]
    events(subscribed, 2)
    market.place("trader", "BUY", "1", "100")
    found = events(subscribed, 3)
    assert executions(found)[:2] == [("NEW", "NEW"), ("TRADE_PREVENTION", "EXPIRED_IN_MATCH")]
    assert (found[1]["U"], found[1]["A"]) == (first, "1.00000000")


def test_an_order_that_is_triggered(market: Market, subscribed: WsClient) -> None:
    market.trade_at("100")
    market.place("trader", "BUY", "1", "120", type="STOP_LOSS_LIMIT", stopPrice="110")
    waiting = events(subscribed, 2)[0]
    assert (waiting["x"], waiting["X"], waiting["w"], waiting["P"]) == ("NEW", "NEW", False, "110.00000000")
    assert "W" not in waiting
    market.trade_at("110")
    triggered = events(subscribed, 1)[0]
    assert (triggered["x"], triggered["X"], triggered["w"]) == ("NEW", "NEW", True)
    assert triggered["W"] > waiting["O"]


def test_an_order_list(market: Market, subscribed: WsClient) -> None:
    market.trade_at("100")
    legs: dict[str, Any] = {
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "110",
        "belowType": "STOP_LOSS",
        "belowStopPrice": "90",
    }
    placed = market.trader("trader").post(
        "orderList/oco", symbol=market.symbol, side="SELL", quantity="1", listClientOrderId="list", **legs
    )
    found = events(subscribed, 4)
    assert [event["e"] for event in found] == [
        "executionReport",
        "executionReport",
        "listStatus",
        "outboundAccountPosition",
    ]
    status = found[2]
    assert (status["g"], status["l"], status["L"], status["C"]) == (
        placed.body["orderListId"],
        "EXEC_STARTED",
        "EXECUTING",
        "list",
    )
    assert [leg["i"] for leg in status["O"]] == [leg["orderId"] for leg in placed.body["orders"]]
    market.trader("trader").delete("orderList", symbol=market.symbol, listClientOrderId="list")
    ended = events(subscribed, 4)
    assert executions(ended)[:2] == [("CANCELED", "CANCELED"), ("CANCELED", "CANCELED")]
    assert (ended[2]["l"], ended[2]["L"]) == ("ALL_DONE", "ALL_DONE")


def test_a_deposit(gateway: RunningGateway, market: Market, subscribed: WsClient) -> None:
    gateway.call(deposit(market.accounts["trader"], "more", "USD", "5"))
    update, position = events(subscribed, 2)
    assert (update["e"], update["a"], update["d"]) == ("balanceUpdate", "USD", "5.00000000")
    assert position["B"] == [{"a": "USD", "f": "1000005.00000000", "l": "0.00000000"}]


def test_a_subscription_ends(market: Market, subscribed: WsClient) -> None:
    again = subscribed.signed("userDataStream.subscribe.signature")
    assert again["error"] == {"code": -2035, "msg": "User Data Stream subscription already active."}
    assert subscribed.ask("session.subscriptions")["result"] == [{"subscriptionId": 0}]
    assert subscribed.ask("userDataStream.unsubscribe", subscriptionId=0)["result"] == {}
    assert events(subscribed, 1)[0]["e"] == "eventStreamTerminated"
    market.place("trader", "BUY", "1", "100")
    assert subscribed.ask("ping")["result"] == {}
    assert subscribed.events == []
    nothing = subscribed.ask("userDataStream.unsubscribe")
    assert nothing["error"] == {"code": -2036, "msg": "User Data Stream subscription not active."}


def until_closed(stream: WsClient) -> None:
    with suppress(ConnectionClosed):
        while True:
            stream.receive()


@pytest.mark.parametrize("is_combined", [False, True])
def test_a_stream_by_listen_key(gateway: RunningGateway, market: Market, is_combined: bool) -> None:
    client = market.trader("trader")
    name = client.send_raw("POST", "userDataStream").body["listenKey"]
    assert client.send_raw("POST", "userDataStream").body["listenKey"] == name
    assert client.send_raw("PUT", f"userDataStream?listenKey={name}").body == {}
    path = f"stream?streams={name}" if is_combined else f"ws/{name}"
    with WsClient(f"{gateway.stream_url}/{path}") as stream:
        market.place("trader", "BUY", "1", "100")
        message = stream.receive()
        event = message["data"] if is_combined else message
        assert (event["e"], event["x"]) == ("executionReport", "NEW")
        assert client.send_raw("DELETE", f"userDataStream?listenKey={name}").body == {}
        until_closed(stream)
    with pytest.raises(InvalidStatus):
        WsClient(f"{gateway.stream_url}/{path}")


def test_an_open_stream_is_no_use_of_its_key(
    monkeypatch: pytest.MonkeyPatch, gateway: RunningGateway, market: Market, subscribed: WsClient
) -> None:
    keys, name = gateway.keys, market.trader("trader").send_raw("POST", "userDataStream").body["listenKey"]
    monkeypatch.setattr(streams, "_CHECK_S", 0.01)
    monkeypatch.setattr(server, "_CHECK_S", 0.01)
    with WsClient(f"{gateway.stream_url}/ws/{name}"):
        used, searched = keys.uses, keys.searches
        until(lambda: keys.searches > searched + 20, "the keys of open connections to be checked")
        assert keys.uses == used


def test_a_listen_key_of_another_account(gateway: RunningGateway, market: Market) -> None:
    name = market.trader("trader").send_raw("POST", "userDataStream").body["listenKey"]
    other = SignedClient(gateway.url, *gateway.keys.add(1))
    text = (400, -1125, "This listenKey does not exist.")
    assert other.send_raw("PUT", f"userDataStream?listenKey={name}").error == text
    assert other.send_raw("DELETE", "userDataStream?listenKey=nothing").error == text
