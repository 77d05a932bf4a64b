"""A client of the WebSocket API that waits for what a test expects."""

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

PATIENCE_S = 10.0
Sign = Callable[[str], str]


def hmac_signer(secret: str) -> Sign:
    return lambda text: hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class WsClient:
    """`key` and `sign` are used by `signed`. Events that arrive meanwhile are kept in `events`."""

    def __init__(
        self, url: str, key: str = "", sign: Sign = lambda text: "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        self._opened = ExitStack()
        self._connection: ClientConnection = self._opened.enter_context(
            connect(url, max_size=None, additional_headers=headers)
        )
        self._key = key
        self._sign = sign
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a request that is not signed."""
        identity = next(self._numbers)
        self.send_text(json.dumps({"id": identity, "method": method, "params": parameters}))
        while True:
            message = self.receive()
            if "event" not in message:
                assert message["id"] == identity, message
                return message
            self.events.append(message)

    def signed(self, method: str, **parameters: Any) -> dict[str, Any]:
        given = {"apiKey": self._key, "timestamp": int(time.time() * 1000), **parameters}
        text = "&".join(f"{name}={given[name]}" for name in sorted(given))
        return self.ask(method, **given, signature=self._sign(text))

    def send_text(self, text: str) -> None:
        self._connection.send(text)

    def receive(self) -> dict[str, Any]:
        """The next message. Raises ConnectionClosed, TimeoutError."""
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=PATIENCE_S))
        return message

    def next_events(self, count: int) -> list[dict[str, Any]]:
        """The next events, those that have arrived already first."""
        while len(self.events) < count:
            self.events.append(self.receive())
        found, self.events = self.events[:count], self.events[count:]
        return found
