"""Limits of requests that are being answered.

They keep pages from delaying health checks, and slow request bodies from delaying pages.

Django runs a view in a thread, with a database connection of its own, until it has the response. These limits bound the
threads and connections. A request gets a place only after its body has arrived, and the server buffers the response
(`web.connections`), so a slow client never occupies a place.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from exchange_site.web import metrics

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = ("/health/", "/metrics")
HEALTH_PLACES = 4
MAX_WAIT_S = 10.0
"""How long a request waits for a place before it is told to come again."""
MAX_BODY_BYTES = 256 * 1024
"""The largest form of the site, with all permissions of an account chosen, has a tenth of this."""


class RequestLimits:
    """ASGI application around Django."""

    def __init__(self, application: Application, pages: int) -> None:
        """`pages`: maximum number of requests that are answered at a time, without those for health and metrics."""
        self._application = application
        self._pages = asyncio.Semaphore(pages)
        self._health = asyncio.Semaphore(HEALTH_PLACES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is served, not {scope['type']}.")
        body = await _read_body(receive)
        if body is None:
            return  # the client is gone
        if len(body) > MAX_BODY_BYTES:
            metrics.REFUSED_REQUESTS.labels("too_large").inc()
            await _refuse(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        places = self._health if scope["path"].startswith(HEALTH) else self._pages
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await places.acquire()
        except TimeoutError:
            metrics.REFUSED_REQUESTS.labels("busy").inc()
            await _refuse(send, HTTPStatus.SERVICE_UNAVAILABLE)
            return
        try:
            await self._application(scope, _replay(body, receive), send)
        finally:
            places.release()


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or its beginning if it is longer than MAX_BODY_BYTES; None if the client disconnects."""
    parts = []
    size = 0
    while size <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            break
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read before, then waits for the client to disconnect."""
    given = False

    async def next_message() -> Mapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _refuse(send: Send, status: HTTPStatus) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": f"{status.phrase}\n".encode()})
