"""A bug of the gateway: clients get the API's JSON and no traceback, and go on."""

import socket

import pytest

from gateway.orders.account_endpoints import AccountEndpoints
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.ws_client import WsClient, hmac_signer

TEXT = "An unknown error occurred while processing the request."


@pytest.fixture
def buggy(monkeypatch: pytest.MonkeyPatch, gateway: RunningGateway) -> RunningGateway:
    """`account` raises what no code expects: no real request is known that does."""

    monkeypatch.setattr(AccountEndpoints, "_highest_fees", fails_at_once)
    return gateway


def fails_at_once(self: AccountEndpoints, account: int) -> tuple[int, int]:
    raise KeyError("a bug")


def test_rest_answers_in_json(buggy: RunningGateway) -> None:
    answer = SignedClient(buggy.url, *buggy.keys.add(1)).get("account")
    assert answer.error == (500, -1000, TEXT)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert "X-MBX-USED-WEIGHT-1M" in answer.headers


def test_a_session_goes_on(buggy: RunningGateway) -> None:
    key, secret = buggy.keys.add(1)
    with WsClient(f"{buggy.stream_url}/ws-api/v3", key, hmac_signer(secret)) as client:
        answer = client.signed("account.status")
        assert (answer["status"], answer["error"]) == (500, {"code": -1000, "msg": TEXT})
        assert client.ask("ping")["status"] == 200


def test_what_is_no_http_is_answered_in_json(gateway: RunningGateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.settimeout(20)
        client.sendall(b"HELLO\r\n\r\n")
        answer = b""
        while piece := client.recv(4096):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"application/json" in head
    assert body == b'{"code":-1000,"msg":"The request is not valid HTTP."}'
