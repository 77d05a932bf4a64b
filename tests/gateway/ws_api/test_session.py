"""The WebSocket API over a real connection: requests, signatures, sessions, revocation."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.exceptions import ConnectionClosed

from gateway.keys.key import KeyType
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market
from tests.gateway.ws_client import WsClient, hmac_signer


def url(gateway: RunningGateway, query: str = "") -> str:
    return f"{gateway.stream_url}/ws-api/v3{query}"


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[WsClient]:
    key, secret = gateway.keys.add(1)
    with WsClient(url(gateway), key, hmac_signer(secret)) as made:
        yield made


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    return new_market(gateway)


def ed25519_client(gateway: RunningGateway, account: int) -> tuple[WsClient, str]:
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key, _ = gateway.keys.add(account, key_type=KeyType.ED25519, material=pem)
    return WsClient(url(gateway), key, lambda text: base64.b64encode(private.sign(text.encode())).decode()), key


def limit_order(market: Market, **more: Any) -> dict[str, Any]:
    return {
        "symbol": market.symbol,
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": "100",
        "quantity": "1",
        **more,
    }


def test_public_requests_need_no_key(client: WsClient) -> None:
    assert client.ask("ping")["result"] == {}
    assert abs(client.ask("v3/time")["result"]["serverTime"] - time.time() * 1000) < 5000
    assert client.ask("depth", symbol="BTCUSD", limit=5)["result"]["bids"] == []
    assert client.ask("ticker.price", symbols=["BTCUSD"])["status"] == 200


def test_an_order_is_placed_and_cancelled(gateway: RunningGateway, market: Market) -> None:
    market.trader("trader")
    key, secret = gateway.keys.add(market.accounts["trader"])
    with WsClient(url(gateway), key, hmac_signer(secret)) as client:
        answer = client.signed("order.place", **limit_order(market, quantity=0.5))
        assert answer["status"] == 200
        assert (answer["result"]["status"], answer["result"]["origQty"]) == ("NEW", "0.50000000")
        assert [limit["rateLimitType"] for limit in answer["rateLimits"]] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
        order_id = answer["result"]["orderId"]
        assert client.signed("order.status", symbol=market.symbol, orderId=order_id)["result"]["status"] == "NEW"
        assert len(client.signed("openOrders.status", symbol=market.symbol)["result"]) == 1
        cancelled = client.signed("order.cancel", symbol=market.symbol, orderId=order_id)
        assert cancelled["result"]["status"] == "CANCELED"
        again = client.signed("order.cancel", symbol=market.symbol, orderId=order_id)
        assert (again["status"], again["error"]) == (400, {"code": -2011, "msg": "Unknown order sent."})


def test_a_failed_replacement_has_both_results(gateway: RunningGateway, market: Market) -> None:
    market.trader("trader")
    key, secret = gateway.keys.add(market.accounts["trader"])
    with WsClient(url(gateway), key, hmac_signer(secret)) as client:
        answer = client.signed(
            "order.cancelReplace",
            **limit_order(market, cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=10**12),
        )
    assert answer["status"] == 409
    assert answer["error"]["code"] == -2021
    assert answer["error"]["data"]["newOrderResult"] == "SUCCESS"


def test_a_session_signs_nothing_after_its_logon(gateway: RunningGateway, market: Market) -> None:
    market.trader("trader")
    client, key = ed25519_client(gateway, market.accounts["trader"])
    with client:
        assert client.ask("session.status")["result"]["apiKey"] is None
        result = client.signed("session.logon")["result"]
        assert (result["apiKey"], result["userDataStream"]) == (key, False)
        now_ms = int(time.time() * 1000)
        assert client.ask("order.place", **limit_order(market), timestamp=now_ms)["status"] == 200
        late = client.ask("account.status", timestamp=now_ms - 6000)
        assert late["error"]["code"] == -1021
        assert client.ask("account.status")["error"]["code"] == -1102, "the time is still needed"
        assert client.ask("session.logout")["result"]["apiKey"] is None
        missing = client.ask("account.status", timestamp=now_ms)
        assert missing["error"]["msg"] == "Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed."


def test_only_ed25519_keys_log_on(client: WsClient) -> None:
    answer = client.signed("session.logon")
    assert (answer["status"], answer["error"]) == (
        400,
        {"code": -4056, "msg": "HMAC_SHA256 API key is not supported."},
    )


def test_a_wrong_signature(gateway: RunningGateway) -> None:
    key, _ = gateway.keys.add(1)
    with WsClient(url(gateway), key, hmac_signer("another")) as client:
        answer = client.signed("account.status")
    assert answer["error"] == {"code": -1022, "msg": "Signature for this request is not valid."}


def test_a_revocation_ends_a_session_within_a_second(gateway: RunningGateway) -> None:
    client, key = ed25519_client(gateway, 1)
    with client:
        client.signed("session.logon")
        del gateway.keys.keys[key]
        began_s = time.monotonic()
        message = client.receive()
        assert (message["id"], message["status"], message["error"]["code"]) == (None, 401, -2015)
        with pytest.raises(ConnectionClosed):
            client.receive()
        assert time.monotonic() - began_s < 1


@pytest.mark.parametrize(
    ("text", "identity", "code"),
    [
        ("{", None, -1135),
        ("[]", None, -1135),
        ('"text"', None, -1135),
        ("[" * 5000, None, -1135),
        ('{"id": 7}', 7, -1102),
        ('{"id": 7, "method": 3}', 7, -1102),
        ('{"id": 7, "method": "ping", "params": []}', 7, -1100),
        ('{"id": {}, "method": "ping"}', None, -1100),
        ('{"id": true, "method": "ping"}', None, -1100),
        ('{"id": 7, "method": "no.such"}', 7, -1020),
        ('{"id": "seven", "method": "ping", "params": {"a": 1}}', "seven", -1101),
        ('{"id": null, "method": "order.status", "params": {"symbol": "BTCUSD"}}', None, -1102),
        ('{"id": 7, "method": "depth", "params": {"symbol": ["BTCUSD"]}}', 7, -1100),
    ],
)
def test_garbage_is_answered_by_a_code(client: WsClient, text: str, identity: object, code: int) -> None:
    client.send_text(text)
    message = client.receive()
    assert (message["id"], message["status"], message["error"]["code"]) == (identity, 400, code)
    assert client.ask("ping")["result"] == {}


def test_limits_are_left_out_if_the_client_wants_it(gateway: RunningGateway) -> None:
    with WsClient(url(gateway, "?returnRateLimits=false")) as client:
        assert "rateLimits" not in client.ask("ping")
        assert "rateLimits" in client.ask("ping", returnRateLimits=True)
    with WsClient(url(gateway)) as client:
        assert "rateLimits" in client.ask("ping")
        assert "rateLimits" not in client.ask("ping", returnRateLimits=False)


def test_times_in_microseconds(gateway: RunningGateway) -> None:
    with WsClient(url(gateway, "?timeUnit=microsecond")) as client:
        assert client.ask("time")["result"]["serverTime"] > 10**15


def test_many_orders_at_once_are_all_answered(gateway: RunningGateway, market: Market) -> None:
    market.trader("trader")
    client, _ = ed25519_client(gateway, market.accounts["trader"])
    with client:
        client.signed("session.logon")
        for number in range(200):
            order = limit_order(market, quantity="0.001", timestamp=int(time.time() * 1000))
            client.send_text(json.dumps({"id": f"n{number}", "method": "order.place", "params": order}))
        answers = [client.receive() for _ in range(200)]
    assert {answer["id"] for answer in answers} == {f"n{number}" for number in range(200)}
    assert {answer["status"] for answer in answers} == {200}
    ids = [answer["result"]["orderId"] for answer in sorted(answers, key=lambda one: int(one["id"][1:]))]
    assert ids == sorted(ids), "orders of one connection are placed in their order"
