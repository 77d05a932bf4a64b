"""Answers requests below /market, and passes all others on to the REST API.

| path | what it is |
|---|---|
| `/market/` | leads to the first instrument |
| `/market/BTC-USD` | the page |
| `/market/BTC-USD/state` | JSON: whether the gateway is level with the engine, and the instrument's status |
| `/market/assets/DIGEST/NAME` | static files |

The page reads everything else from the public REST API and its streams.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

from gateway.market.exchange_info import STATUSES
from gateway.market_page.assets import Assets
from gateway.market_page.pages import Pages
from gateway.model.instruments import Instrument
from gateway.model.queries import MarketQueries
from gateway.rest.application import Receive, Scope, Send

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

ROOT = "/market"
_ASSETS = "assets"
_STATE = "state"
_SHOWN_CHARACTERS = 64

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


class Markets(MarketQueries, Protocol):
    @property
    def is_ready(self) -> bool:
        """Whether the model is level with the engine."""


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes = b""
    status: HTTPStatus = HTTPStatus.OK
    media_type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class MarketPage:
    """ASGI application around another one."""

    def __init__(self, markets: Markets, otherwise: Application) -> None:
        self._markets = markets
        self._otherwise = otherwise
        self._assets = Assets()
        self._pages = Pages(f"{_ASSETS}/{self._assets.digest}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if scope["type"] != "http" or not (path == ROOT or path.startswith(f"{ROOT}/")):
            await self._otherwise(scope, receive, send)
            return
        await _send(send, self._checked_answer(scope, path))

    def _checked_answer(self, scope: Scope, path: str) -> _Answer:
        headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
        if scope["method"] not in ("GET", "HEAD"):
            return _text("Only GET and HEAD.", HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD", connection="close")
        if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
            # Nobody reads it, so the connection cannot be used again.
            return _text("A request for a page has no body.", HTTPStatus.BAD_REQUEST, connection="close")
        return self._answer(path.removeprefix(ROOT), takes_gzip=b"gzip" in headers.get(b"accept-encoding", b""))

    def _answer(self, path: str, *, takes_gzip: bool) -> _Answer:
        match path.split("/"):
            case [""]:
                return _redirect("market/")
            case ["", ""]:
                return self._first()
            case ["", name]:
                return self._market(name)
            case ["", name, last] if last == _STATE:
                return self._state(name)
            case ["", first, digest, *rest] if (first, digest) == (_ASSETS, self._assets.digest):
                return self._asset("/".join(rest), takes_gzip=takes_gzip)
            case _:
                return _text("There is no such page.", HTTPStatus.NOT_FOUND)

    def _first(self) -> _Answer:
        instruments = self._markets.instruments()
        return _redirect(instruments[0].engine_symbol) if instruments else _Answer(self._pages.none_yet())

    def _market(self, name: str) -> _Answer:
        instruments = self._markets.instruments()
        instrument = self._named(name)
        if instrument is None:
            return _Answer(self._pages.unknown(name[:_SHOWN_CHARACTERS], instruments), HTTPStatus.NOT_FOUND)
        if name != instrument.engine_symbol:
            return _redirect(instrument.engine_symbol)
        return _Answer(self._pages.market(instrument, instruments))

    def _state(self, name: str) -> _Answer:
        instrument = self._named(name)
        state = {
            "isReady": self._markets.is_ready and instrument is not None,
            "status": STATUSES[instrument.status] if instrument else None,
        }
        return _Answer(json.dumps(state).encode("ascii"), media_type="application/json")

    def _asset(self, name: str, *, takes_gzip: bool) -> _Answer:
        asset = self._assets.find(name)
        if asset is None:
            return _text("There is no such file.", HTTPStatus.NOT_FOUND)
        headers = {"cache-control": _FOR_EVER, "vary": "accept-encoding"}
        if not takes_gzip:
            return _Answer(asset.body, media_type=asset.media_type, headers=headers)
        return _Answer(asset.compressed, media_type=asset.media_type, headers={**headers, "content-encoding": "gzip"})

    def _named(self, name: str) -> Instrument | None:
        """By either symbol, BTC-USD or BTCUSD, in any case."""
        wanted = name.upper()
        found = (one for one in self._markets.instruments() if wanted in (one.engine_symbol, one.symbol))
        return next(found, None)


def _text(text: str, status: HTTPStatus, **headers: str) -> _Answer:
    return _Answer(f"{text}\n".encode(), status, "text/plain; charset=utf-8", headers)


def _redirect(address: str) -> _Answer:
    """`address` is relative to that of the request."""
    return _text(address, HTTPStatus.FOUND, location=address)


async def _send(send: Send, answer: _Answer) -> None:
    headers = {
        "content-type": answer.media_type,
        "content-length": str(len(answer.body)),
        "cache-control": _ASK_AGAIN,
        **_HEADERS,
        **answer.headers,
    }
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status.value, "headers": encoded})
    await send({"type": "http.response.body", "body": answer.body})
