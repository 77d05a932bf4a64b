"""Keys, permissions, addresses and signatures of real requests."""

import base64
import time
from ipaddress import ip_network
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.keys.key import KeyType, Permission
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import SignedClient, signature

BAD_FORMAT = (401, -2014, "API-key format invalid.")
REFUSED = (401, -2015, "Invalid API-key, IP, or permissions for action.")
BAD_SIGNATURE = (400, -1022, "Signature for this request is not valid.")
ORDER = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "1"}


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.mark.parametrize("key", ["", "short", "a" * 63 + "!", "a" * 65])
def test_a_key_of_another_form(gateway: RunningGateway, key: str) -> None:
    client = SignedClient(gateway.url)
    assert client.send_raw("GET", "account", headers={"X-MBX-APIKEY": key} if key else {}).error == BAD_FORMAT


def test_a_key_that_is_not_there(gateway: RunningGateway) -> None:
    assert SignedClient(gateway.url, "a" * 64, "secret").get("account").error == REFUSED


@pytest.mark.parametrize(
    ("permission", "method", "path"), [(Permission.READ, "POST", "order"), (Permission.TRADE, "GET", "account")]
)
def test_a_key_without_the_permission(gateway: RunningGateway, permission: Permission, method: str, path: str) -> None:
    key, secret = gateway.keys.add(1, permissions=frozenset({permission}))
    assert SignedClient(gateway.url, key, secret).send(method, path, ORDER).error == REFUSED


@pytest.mark.parametrize(
    ("network", "status"), [("127.0.0.1/32", 200), ("127.0.0.0/8", 200), ("192.0.2.0/24", 401), ("::1/128", 401)]
)
def test_a_key_of_some_addresses(gateway: RunningGateway, network: str, status: int) -> None:
    key, secret = gateway.keys.add(1, networks=(ip_network(network),))
    answer = SignedClient(gateway.url, key, secret).get("account")
    assert answer.status == status
    if status == 401:
        assert answer.error == REFUSED


def test_a_request_without_a_signature(gateway: RunningGateway) -> None:
    client = SignedClient(gateway.url, *gateway.keys.add(1))
    text = "Mandatory parameter 'signature' was not sent, was empty/null, or malformed."
    assert client.send_raw("GET", f"account?timestamp={now_ms()}").error == (400, -1102, text)
    assert client.send_raw("GET", f"account?timestamp={now_ms()}&signature=").error == BAD_SIGNATURE


def test_a_signature_of_other_parameters(gateway: RunningGateway) -> None:
    key, secret = gateway.keys.add(1)
    client, at = SignedClient(gateway.url, key, secret), now_ms()
    good = signature(secret, f"timestamp={at}")
    assert client.send_raw("GET", f"account?timestamp={at}&signature={good}").status == 200
    assert client.send_raw("GET", f"account?timestamp={at + 1}&signature={good}").error == BAD_SIGNATURE
    assert (
        client.send_raw("GET", f"account?timestamp={at}&omitZeroBalances=true&signature={good}").error == BAD_SIGNATURE
    )


def test_a_signature_of_another_key(gateway: RunningGateway) -> None:
    (key, _), (_, other_secret) = gateway.keys.add(1), gateway.keys.add(1)
    assert SignedClient(gateway.url, key, other_secret).get("account").error == BAD_SIGNATURE


def test_a_request_of_an_earlier_time(gateway: RunningGateway) -> None:
    client = SignedClient(gateway.url, *gateway.keys.add(1))
    late = (400, -1021, "Timestamp for this request is outside of the recvWindow.")
    assert client.get("account", timestamp=now_ms() - 6000).error == late
    assert client.get("account", timestamp=now_ms() - 6000, recvWindow=10_000).status == 200
    early = (400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    assert client.get("account", timestamp=now_ms() + 2000).error == early


def test_parameters_in_query_and_body(gateway: RunningGateway) -> None:
    key, secret = gateway.keys.add(1)
    client = SignedClient(gateway.url, key, secret)
    query = "symbol=BTCUSD&side=BUY&type=LIMIT&timeInForce=GTC"
    body = f"quantity=1&price=1&timestamp={now_ms()}"
    signed = f"{body}&signature={signature(secret, query + body)}"
    for content_type in ("application/x-www-form-urlencoded", "application/json", "text/plain"):
        answer = client.send_raw("POST", f"order/test?{query}", signed.encode(), {"Content-Type": content_type})
        assert (answer.status, answer.body) == (200, {})


def test_a_delete_with_its_parameters_in_the_body(gateway: RunningGateway) -> None:
    key, secret = gateway.keys.add(1)
    client = SignedClient(gateway.url, key, secret)
    body = f"symbol=BTCUSD&orderId=1000000&timestamp={now_ms()}"
    answer = client.send_raw("DELETE", "order", f"{body}&signature={signature(secret, body)}".encode())
    assert answer.error == (400, -2011, "Unknown order sent.")


def test_values_of_other_alphabets_are_verified_as_sent(gateway: RunningGateway) -> None:
    key, secret = gateway.keys.add(1)
    client = SignedClient(gateway.url, key, secret)
    for name in (quote("ордер"), quote("ордер").lower(), "a%20b", "a+b"):
        text = f"symbol=BTCUSD&origClientOrderId={name}&timestamp={now_ms()}"
        answer = client.send_raw("GET", f"order?{text}&signature={signature(secret, text)}")
        assert answer.body["code"] == -1100, "the signature is good, and the name is not"


def test_ed25519_and_rsa(gateway: RunningGateway) -> None:
    ed25519_key, rsa_key = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
    for private, key_type in ((ed25519_key, KeyType.ED25519), (rsa_key, KeyType.RSA)):
        pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        key, _ = gateway.keys.add(1, key_type=key_type, material=pem)
        text = f"timestamp={now_ms()}"
        signed = (
            private.sign(text.encode())
            if isinstance(private, ed25519.Ed25519PrivateKey)
            else private.sign(text.encode(), padding.PKCS1v15(), SHA256())
        )
        encoded = base64.b64encode(signed).decode()
        client = SignedClient(gateway.url, key, "")
        assert client.send_raw("GET", f"account?{text}&signature={quote(encoded, safe='')}").status == 200
        assert client.send_raw("GET", f"account?{text}&signature={encoded}").status == 200
        assert client.send_raw("GET", f"account?{text}&signature={encoded[::-1]}").error == BAD_SIGNATURE


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "nothing", (404, -1000, "There is no such endpoint.")),
        ("PATCH", "order", (405, -1000, "This endpoint takes DELETE, GET, POST only.")),
    ],
)
def test_paths_that_are_not_there(
    gateway: RunningGateway, method: str, path: str, expected: tuple[int, int, str]
) -> None:
    answer = SignedClient(gateway.url).send_raw(method, path)
    assert answer.error == expected
    assert answer.headers["Content-Type"].startswith("application/json")


def test_a_body_that_is_too_large(gateway: RunningGateway) -> None:
    answer = SignedClient(gateway.url).send_raw("POST", "order", b"a=" + b"1" * 70_000)
    assert answer.error == (413, -1000, "The request has more than 65536 bytes.")
