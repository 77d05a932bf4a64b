"""Refusals that do not depend on an order: limits, malformed requests, an engine that is halted or does not answer.

Each is provoked by REST, and where it has another path there, by the WebSocket API. Texts and codes are exact.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from gateway.limits import orders, weight
from gateway.market.exchange_info import RateLimits
from matching.core.blocks import Block
from matching.storage.input_logs.memory import MemoryLog
from matching.workloads.btc_usd import DEFINITIONS
from tests.gateway.running_gateway import RunningGateway, gateway_of, running_gateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.small_gateway import funds
from tests.gateway.ws_client import WsClient, hmac_signer
from tests.matching import small_exchange
from tests.matching.small_exchange import until

ORDER: dict[str, Any] = {
    "symbol": "BTCUSD",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "1",
    "price": "100",
}
USED_UP = (
    "Too much request weight used; current limit is 5 request weight per 1 MINUTE. Please use WebSocket Streams for "
    "live updates to avoid polling the API."
)
BUSY = "Server is currently overloaded with other requests. Please try again in a few minutes."
UNKNOWN = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
LONG_S = 10**10


def session_of(gateway: RunningGateway, key: str, secret: str) -> WsClient:
    return WsClient(f"{gateway.stream_url}/ws-api/v3", key, hmac_signer(secret))


def test_weight_that_is_used_up_and_then_a_ban(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight, "_MINUTE_S", LONG_S)  # so that no minute ends during the test
    with running_gateway(RateLimits(5, 100, 100)) as gateway:
        rest = SignedClient(gateway.url)
        assert [rest.get("ping").status for _ in range(5)] == [200] * 5
        refused = rest.get("ping")
        assert refused.error == (429, -1003, USED_UP)
        assert int(refused.headers["Retry-After"]) > 0
        for _ in range(weight._REFUSED_UNTIL_BAN - 1):
            assert rest.get("ping").status == 429
        banned = rest.get("ping")
        assert (banned.status, banned.body["code"]) == (418, -1003)
        assert banned.body["msg"].startswith("Way too much request weight used; IP banned until ")
        assert 0 < int(banned.headers["Retry-After"]) <= 121
        with session_of(gateway, *gateway.keys.add(1)) as session:
            answer = session.ask("ping")
            assert (answer["status"], answer["error"]["code"]) == (418, -1003)


def test_too_many_unfilled_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "INTERVALS", tuple(one._replace(seconds=LONG_S) for one in orders.INTERVALS))
    with running_gateway(RateLimits(1000, 2, 100)) as gateway:
        key, secret = gateway.keys.add(1)
        rest = SignedClient(gateway.url, key, secret)
        assert [rest.post("order", **ORDER).status for _ in range(2)] == [200, 200]
        refused = rest.post("order", **ORDER)
        text = "Too many new orders; current limit is 2 orders per 10 SECOND."
        assert refused.error == (429, -1015, text)
        assert int(refused.headers["Retry-After"]) > 0
        with session_of(gateway, key, secret) as session:
            answer = session.signed("order.place", **ORDER)
            assert (answer["status"], answer["error"]) == (429, {"code": -1015, "msg": text})


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("depth?symbol=BTCUSD&symbol=BTCUSD", "Duplicate values for parameter 'symbol' detected."),
        ("ping?colour=red", "Too many parameters; expected '0' and received '1', such as 'colour'."),
    ],
)
def test_superfluous_parameters(gateway: RunningGateway, path: str, text: str) -> None:
    assert SignedClient(gateway.url).send_raw("GET", path).error == (400, -1101, text)


def test_a_halted_engine_has_executed_nothing() -> None:
    """It halts because its ring is full, and settlement does not confirm blocks."""
    with (
        small_exchange.leader(small_exchange.plan(ring_blocks=8)) as engine,
        gateway_of(engine, asked_s=1.0) as gateway,
    ):
        gateway.call(*DEFINITIONS)
        gateway.call(*funds(1))
        rest = SignedClient(gateway.url, *gateway.keys.add(1))
        placed = 0
        while (answer := rest.post("order", **ORDER)).status == 200:
            placed += 1
        assert answer.error == (503, -1008, BUSY)
        assert len(rest.get("openOrders").body) == placed


class HangingLog(MemoryLog):
    """A log whose disk hangs while `hangs` is not set: no real disk does that when a test wants it to."""

    def __init__(self) -> None:
        super().__init__()
        self.flows = threading.Event()
        self.flows.set()

    def append(self, blocks: Sequence[Block]) -> None:
        self.flows.wait(30)


@contextmanager
def hanging_engine() -> Iterator[tuple[RunningGateway, HangingLog]]:
    log = HangingLog()
    with ExitStack() as opened:
        engine = opened.enter_context(small_exchange.leader(small_exchange.plan(), input_log=log))
        gateway = opened.enter_context(gateway_of(engine, asked_s=1.0))
        opened.callback(log.flows.set)
        gateway.call(*DEFINITIONS)
        gateway.call(*funds(1))
        yield gateway, log


def test_an_engine_that_does_not_answer_leaves_the_outcome_unknown() -> None:
    with hanging_engine() as (gateway, log):
        rest = SignedClient(gateway.url, *gateway.keys.add(1))
        log.flows.clear()
        assert rest.post("order", **ORDER).error == (504, -1007, UNKNOWN)
        until(lambda: not gateway.model.is_ready, "the gateway to notice that the engine is silent")
        assert rest.post("order", **ORDER).error == (503, -1008, BUSY)
