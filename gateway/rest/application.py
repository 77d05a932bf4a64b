"""The ASGI application of the REST API: reads a request, decides whether it is allowed, calls its handler.

It does not depend on a server. It bounds the size of a body, and the time in which a client has to send it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from typing import Any

import orjson
import structlog

from gateway.limits.weight import WeightLimit
from gateway.model.queries import OlderUnavailable, Unready
from gateway.rest import access, errors, sent
from gateway.rest.errors import ApiError
from gateway.rest.parameters import Parameters
from gateway.rest.route import Request, Response, Route, Security, TimeUnit
from gateway.server import forwarding, traffic
from gateway.server.forwarding import TrustedProxies
from gateway.server.traffic import Traffic

log = structlog.get_logger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_MAX_BODY_BYTES = 65_536
_BODY_S = 10.0
_FORWARDED = forwarding.HEADER.encode("ascii")
_CONTENT_TYPE = (b"content-type", b"application/json;charset=UTF-8")
_UNITS = {"MILLISECOND": TimeUnit.MILLISECOND, "MICROSECOND": TimeUnit.MICROSECOND}


class ClientGone(Exception):
    """The client has closed the connection before its request was complete: nobody waits for an answer."""


def now_us() -> int:
    return time.time_ns() // 1000


class RestApplication:
    def __init__(
        self,
        routes: Iterable[Route],
        keys: access.Keys,
        weights: WeightLimit,
        proxies: TrustedProxies,
        counted: Traffic,
        *,
        clock_us: Callable[[], int] = now_us,
    ) -> None:
        self._routes: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._routes.setdefault(route.path, {})[route.method] = route
        self._keys = keys
        self._weights = weights
        self._proxies = proxies
        self._traffic = counted
        self._clock_us = clock_us

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        address = self._address_of(scope)
        methods = self._routes.get(scope["path"])
        route = methods.get(scope["method"]) if methods else None
        code = 0
        try:
            if route is None:
                self._weights.charge(address, 1)
                raise errors.no_endpoint() if methods is None else errors.wrong_method(methods)
            response = await self._response(route, scope, receive, address)
        except ClientGone:
            return
        except ApiError as error:
            response, code = refusal(error), error.code
        self._traffic.count_request(traffic.REST, route.name if route else traffic.OTHER, response.status, code)
        await _send_response(send, response, self._weights.used(address))

    async def _response(self, route: Route, scope: Scope, receive: Receive, address: str) -> Response:
        """Raises ApiError, ClientGone."""
        try:
            return await self._answer(route, scope, receive, address)
        except (ApiError, ClientGone):
            raise
        except Unready as error:
            raise errors.unavailable() from error
        except OlderUnavailable as error:
            raise errors.disconnected() from error
        except Exception as error:  # a bug: clients must be answered in JSON, and the log has its traceback
            log.error("gateway.request_failed", method=scope["method"], path=scope["path"], exc_info=True)
            raise errors.unexpected() from error

    async def _answer(self, route: Route, scope: Scope, receive: Receive, address: str) -> Response:
        headers = dict(scope["headers"])  # names are in lower case, as ASGI wants them
        body = await _body(receive) if _has_body(headers) else b""
        found = sent.read(scope["query_string"], body)
        parameters = Parameters(found.values)
        self._weights.charge(address, route.weight_of(parameters))
        key, expires_at_us = None, None
        if route.security is not Security.NONE:
            name = headers.get(b"x-mbx-apikey", b"").decode("latin-1")
            key = access.key_for(self._keys, name, route.security, address)
        if key is not None and route.security in access.SIGNED:
            expires_at_us = access.verify(key, found, self._clock_us)
        check_names(route, found.values, is_signed=found.signature is not None)
        request = Request(parameters, address, _time_unit(headers), key, expires_at_us)
        return await route.handler(request)

    def _address_of(self, scope: Scope) -> str:
        peer = scope["client"][0] if scope.get("client") else ""
        if peer not in self._proxies:
            return peer
        return self._proxies.client_of(
            peer, (value.decode("latin-1") for name, value in scope["headers"] if name.lower() == _FORWARDED)
        )


def refusal(error: ApiError) -> Response:
    return Response(error.body, error.status, error.headers)


def check_names(route: Route, values: Mapping[str, str], *, is_signed: bool) -> None:
    """Refuses parameters that the endpoint does not read. Raises ApiError.

    Some clients sign requests that need no signature: then those of a signature are accepted, too.
    """
    needs_time = is_signed or route.security in access.SIGNED
    unread = values.keys() - route.parameters
    if needs_time:
        unread -= access.SIGNING_PARAMETERS
    if not unread:
        return
    first = next(name for name in values if name in unread)
    if not (route.parameters or needs_time):
        raise errors.too_many(len(values), first)
    raise errors.unread(len(values) - len(unread), len(values), first)


def _time_unit(headers: Mapping[bytes, bytes]) -> TimeUnit:
    named = headers.get(b"x-mbx-time-unit")
    if named is None:
        return TimeUnit.MILLISECOND
    unit = _UNITS.get(named.decode("latin-1").upper())
    if unit is None:
        raise errors.invalid("X-MBX-TIME-UNIT")
    return unit


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    """Most requests have none, and then there is nothing to wait for."""
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


async def _body(receive: Receive) -> bytes:
    """Raises ApiError if it is too large or too slow, ClientGone."""
    try:
        async with asyncio.timeout(_BODY_S):
            return await _whole_body(receive)
    except TimeoutError as error:
        raise ApiError(-1000, f"The request was not complete within {_BODY_S:g} s.", status=408) from error


async def _whole_body(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > _MAX_BODY_BYTES:
            raise ApiError(-1000, f"The request has more than {_MAX_BODY_BYTES} bytes.", status=413)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


@cache
def _header_name(name: str) -> bytes:
    """Names are few, and those of the API."""
    return name.lower().encode("latin-1")


async def _send_response(send: Send, response: Response, used_weight: int) -> None:
    body = response.body if isinstance(response.body, bytes) else orjson.dumps(response.body)
    used = str(used_weight).encode("ascii")
    own = response.headers() if callable(response.headers) else response.headers
    headers = [
        _CONTENT_TYPE,
        (b"content-length", str(len(body)).encode("ascii")),
        (b"x-mbx-used-weight", used),
        (b"x-mbx-used-weight-1m", used),
        *((_header_name(name), value.encode("latin-1")) for name, value in own.items()),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
