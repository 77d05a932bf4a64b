"""Clients of every kind of WebSocket connection are told before it is closed."""

import json
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from gateway.server import live
from tests.gateway.running_gateway import running_gateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.ws_client import WsClient


def test_a_stop_is_announced() -> None:
    with ExitStack() as opened:
        running = opened.enter_context(running_gateway())
        name = SignedClient(running.url, *running.keys.add(1)).send_raw("POST", "userDataStream").body["listenKey"]
        paths = {"ws-api/v3": True, "ws": False, "stream?streams=btcusd@trade": False, f"ws/{name}": False}
        clients = [(WsClient(f"{running.stream_url}/{path}"), is_wrapped) for path, is_wrapped in paths.items()]
        opened.close()
        for client, is_wrapped in clients:
            told: dict[str, Any] = client.receive()
            assert (told["event"] if is_wrapped else told)["e"] == "serverShutdown"
            with pytest.raises(ConnectionClosed):
                client.receive()


def test_the_longest_life_of_a_connection_ends_with_an_announcement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PING_EVERY_S", 0.02)
    monkeypatch.setattr(live, "LONGEST_S", 0.3)
    monkeypatch.setattr(live, "ANNOUNCED_S", 0.2)
    with running_gateway() as running:
        client = WsClient(f"{running.stream_url}/ws?timeUnit=MICROSECOND")
        told = client.receive()
        assert (told["e"], len(json.dumps(told["E"]))) == ("serverShutdown", 16)
        with pytest.raises(ConnectionClosed):
            client.receive()
