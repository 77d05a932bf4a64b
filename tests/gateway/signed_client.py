"""A client of the API that signs with an HMAC key, sends what a test says, and shows the answer as it came."""

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: http.client.HTTPMessage

    @property
    def error(self) -> tuple[int, int, str]:
        """HTTP status, code and text."""
        return self.status, self.body["code"], self.body["msg"]


class SignedClient:
    """`key` and `secret` of a key; without them nothing is signed."""

    def __init__(self, url: str, key: str = "", secret: str = "") -> None:
        self._key = key
        self._secret = secret
        self._host = url.removeprefix("http://")

    def get(self, path: str, headers: Mapping[str, str] | None = None, **parameters: Any) -> Answer:
        return self.send("GET", path, parameters, headers)

    def post(self, path: str, headers: Mapping[str, str] | None = None, **parameters: Any) -> Answer:
        return self.send("POST", path, parameters, headers)

    def put(self, path: str, headers: Mapping[str, str] | None = None, **parameters: Any) -> Answer:
        return self.send("PUT", path, parameters, headers)

    def delete(self, path: str, headers: Mapping[str, str] | None = None, **parameters: Any) -> Answer:
        return self.send("DELETE", path, parameters, headers)

    def send(
        self, method: str, path: str, parameters: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Signs the parameters, with the time unless they have one, and sends them in the query string."""
        text = urlencode(parameters)
        if self._key:
            text = urlencode({"timestamp": int(time.time() * 1000), **parameters})
            text += f"&signature={signature(self._secret, text)}"
        return self.send_raw(method, f"{path}?{text}" if text else path, headers=headers)

    def send_raw(
        self, method: str, path_and_query: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends these bytes as they are, with the key."""
        own = {"X-MBX-APIKEY": self._key} if self._key else {}
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            connection.request(method, f"/api/v3/{path_and_query}", body, {**own, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read()), response.headers)
        finally:
            connection.close()


def signature(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
