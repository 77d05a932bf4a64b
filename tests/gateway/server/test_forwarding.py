"""The client's address behind proxies, and that REST and the WebSocket API take the same one."""

import pytest

from gateway.server.forwarding import TrustedProxies
from tests.gateway.running_gateway import gateway_of
from tests.gateway.signed_client import SignedClient
from tests.gateway.ws_client import WsClient, hmac_signer
from tests.matching import small_exchange

NETWORK = "198.51.100.0/24"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["192.0.2.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["192.0.2.1", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, 198.51.100.4"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.4, 10.0.0.1"], "198.51.100.4"),
        ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["", " , "], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("203.0.113.9", ["203.0.113.7"], "203.0.113.9"),
        ("", ["203.0.113.7"], ""),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(peer: str, forwarded: list[str], client: str) -> None:
    assert TrustedProxies(["10.0.0.1", NETWORK]).client_of(peer, forwarded) == client


def test_without_trusted_proxies_the_header_is_not_believed() -> None:
    assert TrustedProxies().client_of("10.0.0.1", ["203.0.113.7"]) == "10.0.0.1"


def test_a_text_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="proxy"):
        TrustedProxies(["proxy"])


def test_rest_and_the_websocket_api_count_the_weight_of_the_client_and_not_of_the_proxy() -> None:
    with (
        small_exchange.leader(small_exchange.plan()) as engine,
        gateway_of(engine, proxies=["127.0.0.1"]) as gateway,
    ):
        rest = SignedClient(gateway.url)
        for number in range(1, 4):
            answer = rest.get("ping", {"X-Forwarded-For": "192.0.2.1, 203.0.113.7"})
            assert answer.headers["X-MBX-USED-WEIGHT-1M"] == str(number)
        key, secret = gateway.keys.add(1)
        url = f"{gateway.stream_url}/ws-api/v3"
        for client, used in (("203.0.113.7", 4), ("203.0.113.8", 1)):
            with WsClient(url, key, hmac_signer(secret), headers={"X-Forwarded-For": client}) as session:
                assert session.ask("ping")["rateLimits"][0]["count"] == used
