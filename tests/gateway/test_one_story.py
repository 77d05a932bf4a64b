"""An order's life is one story, whoever tells it: the answer, the user's events, allOrders, myTrades, the balances."""

import random
from contextlib import ExitStack
from typing import Any

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.trading import Market, new_market
from tests.gateway.ws_client import WsClient, hmac_signer

ACTIONS = 120
PRICES = ["98", "99", "100", "101", "102"]
QUANTITIES = ["0.1", "0.2", "0.5", "1"]
PREVENTIONS = ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]
TRADERS = ("one", "two")

Document = dict[str, Any]


def random_order(drawn: random.Random, symbol: str) -> Document:
    order: Document = {
        "symbol": symbol,
        "side": drawn.choice(["BUY", "SELL"]),
        "selfTradePreventionMode": drawn.choice(PREVENTIONS),
        "newOrderRespType": "FULL",
    }
    kind = drawn.choice(["LIMIT", "LIMIT", "LIMIT", "LIMIT_MAKER", "MARKET", "QUOTE", "STOP_LOSS", "TAKE_PROFIT_LIMIT"])
    if kind == "QUOTE":
        return {**order, "type": "MARKET", "quoteOrderQty": drawn.choice(["10", "55.5", "120"])}
    order |= {"type": kind, "quantity": drawn.choice(QUANTITIES)}
    if kind in ("LIMIT", "LIMIT_MAKER", "TAKE_PROFIT_LIMIT"):
        order["price"] = drawn.choice(PRICES)
    if kind in ("LIMIT", "TAKE_PROFIT_LIMIT"):
        order["timeInForce"] = drawn.choice(["GTC", "GTC", "IOC", "FOK"])
    if kind in ("STOP_LOSS", "TAKE_PROFIT_LIMIT"):
        order["stopPrice"] = drawn.choice(PRICES)
    return order


def act(drawn: random.Random, client: SignedClient, symbol: str) -> Document | None:
    """Does something; returns the answer to a new order that was accepted."""
    choice = drawn.random()
    open_orders = client.get("openOrders", symbol=symbol).body
    if open_orders and choice < 0.15:
        client.delete("order", symbol=symbol, orderId=drawn.choice(open_orders)["orderId"])
    elif open_orders and choice < 0.25:
        order = drawn.choice(open_orders)
        client.put("order/amend/keepPriority", symbol=symbol, orderId=order["orderId"], newQty="0.15")
    elif open_orders and choice < 0.35:
        new = random_order(drawn, symbol)
        order_id = drawn.choice(open_orders)["orderId"]
        answer = client.send(
            "POST", "order/cancelReplace", {**new, "cancelReplaceMode": "ALLOW_FAILURE", "cancelOrderId": order_id}
        )
        data = answer.body.get("data", answer.body)
        placed: Document | None = data.get("newOrderResponse") if data.get("newOrderResult") == "SUCCESS" else None
        return placed
    elif choice < 0.45:
        legs = {"aboveType": "LIMIT_MAKER", "abovePrice": "103", "belowType": "STOP_LOSS", "belowStopPrice": "97"}
        client.send("POST", "orderList/oco", {"symbol": symbol, "side": "SELL", "quantity": "0.3", **legs})
    else:
        answer = client.send("POST", "order", random_order(drawn, symbol))
        return answer.body if answer.status == 200 else None
    return None


def told_by(stream: WsClient, client: SignedClient, symbol: str) -> list[Document]:
    """All events up to that of an order which is placed and cancelled at the end."""
    last = client.post(
        "order", symbol=symbol, side="BUY", type="LIMIT", timeInForce="GTC", price="1", quantity="0.1"
    ).body["orderId"]
    client.delete("order", symbol=symbol, orderId=last)
    found: list[Document] = []
    while not (found and found[-1].get("i") == last and found[-1]["x"] == "CANCELED"):
        found += [one["event"] for one in stream.next_events(1)]
    found += [one["event"] for one in stream.next_events(1)]
    return found


def check_orders(orders: list[Document], events: list[Document]) -> None:
    """The last report of each order tells what allOrders tells."""
    newest = {event["i"]: event for event in events if event["e"] == "executionReport"}
    assert {order["orderId"] for order in orders} == newest.keys()
    for order in orders:
        event = newest[order["orderId"]]
        assert (event["X"], event["q"], event["z"], event["Z"], event["p"], event["o"], event["f"], event["S"]) == (
            order["status"],
            order["origQty"],
            order["executedQty"],
            order["cummulativeQuoteQty"],
            order["price"],
            order["type"],
            order["timeInForce"],
            order["side"],
        ), (order, event)
        assert (event["T"], event["O"]) == (order["updateTime"], order["time"]), (order, event)
        assert event.get("W", -1) == order["workingTime"]


def check_fills(fills: list[Document], events: list[Document]) -> None:
    traded = [
        (event["t"], event["i"], event["L"], event["l"], event["Y"], event["n"], event["N"], event["m"], event["T"])
        for event in events
        if event.get("x") == "TRADE"
    ]
    assert sorted(traded) == sorted(
        (
            fill["id"],
            fill["orderId"],
            fill["price"],
            fill["qty"],
            fill["quoteQty"],
            fill["commission"],
            fill["commissionAsset"],
            fill["isMaker"],
            fill["time"],
        )
        for fill in fills
    )


def check_answers(answers: list[Document], events: list[Document]) -> None:
    """The answer to a new order is its last report of the same command."""
    for answer in answers:
        own = [
            event
            for event in events
            if event["e"] == "executionReport"
            and event["i"] == answer["orderId"]
            and event["T"] == answer["transactTime"]
        ]
        assert own[0]["x"] == "NEW"
        states = [(event["X"], event["z"], event["Z"]) for event in own]
        assert (answer["status"], answer["executedQty"], answer["cummulativeQuoteQty"]) in states, (answer, own)


def check_balances(account: Document, events: list[Document]) -> None:
    told: dict[str, tuple[str, str]] = {}
    for event in events:
        if event["e"] == "outboundAccountPosition":
            told |= {balance["a"]: (balance["f"], balance["l"]) for balance in event["B"]}
    for balance in account["balances"]:
        if balance["asset"] in told:
            assert told[balance["asset"]] == (balance["free"], balance["locked"])


def subscribed(market: Market, name: str) -> WsClient:
    market.trader(name)
    key, secret = market.gateway.keys.add(market.accounts[name])
    stream = WsClient(f"{market.gateway.stream_url}/ws-api/v3", key, hmac_signer(secret))
    assert stream.signed("userDataStream.subscribe.signature")["status"] == 200
    return stream


def test_random_orders_are_one_story(gateway: RunningGateway, seed: int) -> None:
    drawn, market = random.Random(seed), new_market(gateway)
    market.trade_at("100")
    answers: dict[str, list[Document]] = {name: [] for name in TRADERS}
    with ExitStack() as opened:
        streams = {name: opened.enter_context(subscribed(market, name)) for name in TRADERS}
        for _ in range(ACTIONS):
            name = drawn.choice(TRADERS)
            answer = act(drawn, market.trader(name), market.symbol)
            if answer is not None:
                answers[name].append(answer)
        told = {name: told_by(streams[name], market.trader(name), market.symbol) for name in TRADERS}
        for name, events in told.items():
            client = market.trader(name)
            check_orders(client.get("allOrders", symbol=market.symbol, limit=1000).body, events)
            check_fills(client.get("myTrades", symbol=market.symbol, limit=1000).body, events)
            check_answers(answers[name], events)
            check_balances(client.get("account").body, events)
