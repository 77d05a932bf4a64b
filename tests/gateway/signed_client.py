"""A client of the API that signs with an HMAC key, sends what a test says, and shows the answer as it came."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> tuple[int, int, str]:
        """HTTP status, code and text."""
        return self.status, self.body["code"], self.body["msg"]


class SignedClient:
    """`key` and `secret` of a key; without them nothing is signed."""

    def __init__(self, url: str, key: str = "", secret: str = "") -> None:
        self._url = url
        self._key = key
        self._secret = secret
        self._pool = urllib3.PoolManager(retries=False, timeout=30)

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
        response = self._pool.request(
            method, f"{self._url}/api/v3/{path_and_query}", body=body, headers={**own, **(headers or {})}
        )
        return Answer(response.status, json.loads(response.data), response.headers)


def signature(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
