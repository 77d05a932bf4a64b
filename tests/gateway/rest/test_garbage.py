"""Whatever is sent, the answer is JSON with a code, and the next request is answered."""

import random
from urllib.parse import quote

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import SignedClient, signature

PATHS = [
    "order",
    "order/test",
    "order/cancelReplace",
    "order/amend/keepPriority",
    "order/amendments",
    "orderList/oco",
    "orderList",
    "openOrders",
    "allOrders",
    "myTrades",
    "account",
    "account/commission",
    "rateLimit/order",
    "userDataStream",
    "myPreventedMatches",
    "nothing",
]
NAMES = [
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "price",
    "stopPrice",
    "icebergQty",
    "quoteOrderQty",
    "orderId",
    "origClientOrderId",
    "newClientOrderId",
    "limit",
    "startTime",
    "endTime",
    "recvWindow",
    "cancelReplaceMode",
    "cancelOrderId",
    "newQty",
    "aboveType",
    "belowType",
    "listenKey",
]
VALUES = [
    "",
    "BTCUSD",
    "BUY",
    "SELL",
    "LIMIT",
    "MARKET",
    "STOP_LOSS",
    "LIMIT_MAKER",
    "GTC",
    "FOK",
    "0",
    "1",
    "-1",
    "0.00000001",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999",
    "1e5",
    "NaN",
    "Infinity",
    "null",
    "[]",
    '{"a":1}',
    "STOP_ON_FAILURE",
    "a" * 36,
    "a" * 37,
    "٣",
    "\x00",
    "\n",
    "ордер",
]
ROUNDS = 400


def test_random_requests_are_answered_by_a_code(gateway: RunningGateway, seed: int) -> None:
    drawn = random.Random(seed)
    key, secret = gateway.keys.add(1)
    client = SignedClient(gateway.url, key, secret)
    at_ms = client.get("time").body["serverTime"]
    for _ in range(ROUNDS):
        names = drawn.sample(NAMES, drawn.randrange(8))
        pairs = [f"{name}={quote(drawn.choice(VALUES))}" for name in names]
        text = "&".join(
            [*pairs, f"timestamp={at_ms + 800}", "recvWindow=60000"] if "recvWindow" not in names else pairs
        )
        signed = f"{text}&signature={signature(secret, text)}"
        method, path = drawn.choice(["GET", "POST", "PUT", "DELETE"]), drawn.choice(PATHS)
        if drawn.random() < 0.5:
            answer = client.send_raw(method, f"{path}?{signed}")
        else:
            answer = client.send_raw(method, path, signed.encode())
        assert answer.status in (200, 400, 404, 405, 409), (method, path, text, answer)
        if answer.status != 200:
            assert answer.body["code"] < 0, (method, path, text, answer)
            assert answer.body["msg"]
    assert client.send_raw("GET", "ping").body == {}


def test_random_bytes_are_answered_by_a_code(gateway: RunningGateway, seed: int) -> None:
    drawn = random.Random(seed)
    client = SignedClient(gateway.url, *gateway.keys.add(1))
    for _ in range(ROUNDS):
        body = drawn.randbytes(drawn.randrange(200))
        answer = client.send_raw(drawn.choice(["POST", "DELETE"]), "order", body)
        assert answer.status in (400, 401), (body, answer)
        assert answer.body["code"] < 0
