"""What clients are told when the engine is away, by REST and by the WebSocket API."""

from contextlib import ExitStack
from typing import Any

from matching.workloads.btc_usd import DEFINITIONS
from tests.gateway.running_gateway import gateway_of
from tests.gateway.signed_client import SignedClient
from tests.gateway.small_gateway import funds
from tests.gateway.ws_client import WsClient, hmac_signer
from tests.matching import small_exchange
from tests.matching.small_exchange import until

BUSY = (-1008, "Server is currently overloaded with other requests. Please try again in a few minutes.")
ORDER: dict[str, Any] = {
    "symbol": "BTCUSD",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "1",
    "price": "100",
}


def test_nothing_is_executed_while_the_engine_is_away() -> None:
    with ExitStack() as engine_stack, ExitStack() as stack:
        engine = engine_stack.enter_context(small_exchange.leader(small_exchange.plan()))
        gateway = stack.enter_context(gateway_of(engine))
        gateway.call(*DEFINITIONS)
        gateway.call(*funds(1))
        key, secret = gateway.keys.add(1)
        rest = SignedClient(gateway.url, key, secret)
        session = stack.enter_context(WsClient(f"{gateway.stream_url}/ws-api/v3", key, hmac_signer(secret)))
        assert rest.post("order", **ORDER).status == 200
        engine_stack.close()
        until(lambda: not gateway.model.is_ready, "the gateway to notice that the engine is away")
        for answer in (rest.post("order", **ORDER), rest.get("openOrders"), rest.get("account")):
            assert answer.error == (503, *BUSY)
        refused = session.signed("order.place", **ORDER)
        assert (refused["status"], refused["error"]) == (503, {"code": BUSY[0], "msg": BUSY[1]})
        assert rest.get("time").status == 200
