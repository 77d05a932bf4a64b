"""A consumer of streams for tests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

_PATIENCE_S = 20.0


class Consumer:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def receive(self) -> Any:
        return json.loads(self.connection.recv(_PATIENCE_S))

    def ask(self, method: str, *params: object, identity: object = 1) -> Any:
        """The answer to a request; events that come before it are ignored."""
        return self.send({"method": method, "params": list(params), "id": identity})

    def send(self, request: object) -> Any:
        self.connection.send(request if isinstance(request, str) else json.dumps(request))
        while True:
            answer = self.receive()
            if isinstance(answer, dict) and ("result" in answer or "error" in answer):
                return answer

    def event(self, kind: str) -> Any:
        """The next event of a kind, which other streams of the connection may precede."""
        while True:
            event = self.receive()
            data = event.get("data", event)
            if kind in (data.get("e"), "bookTicker" if "e" not in data and "b" in data else None):
                return event

    def closed(self) -> tuple[int, str]:
        """Waits until the server closes the connection."""
        try:
            while True:
                self.connection.recv(_PATIENCE_S)
        except ConnectionClosed as error:
            received = error.rcvd
            return (received.code, received.reason) if received else (1006, "")


@contextmanager
def consuming(url: str) -> Iterator[Consumer]:
    with connect(url, compression=None) as connection:
        yield Consumer(connection)
