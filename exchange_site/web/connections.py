"""Limits of connections to the web: slow clients are disconnected, and never keep others from being served.

A connection waits for its client in two phases: until a request has arrived, and until the response has been read. Each
has a time limit. When there are too many connections, or too many bytes of responses wait in memory, those that have
waited longest are closed. A new connection, such as that of a health check, is closed only if no other one waits for
its client.
"""

import asyncio
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn_worker import UvicornWorker

from exchange_site.web import metrics

log = structlog.get_logger(__name__)

SWEEP_S = 0.5
BUFFER_BYTES = 1024 * 1024
"""A response up to this size is given to the connection at once, so that its view does not wait for the client."""
MAX_BUFFERED_BYTES = 64 * 1024 * 1024
"""Of all connections together, checked every SWEEP_S."""


class Phase(Enum):
    REQUEST = "request"  # nothing of it, or a part of it, has arrived
    VIEW = "view"
    RESPONSE = "response"  # a part of it has not been read by the client


class ConnectionLimits(NamedTuple):
    connections: int
    request_s: float
    response_s: float


class LimitedConnection(H11Protocol):
    """One connection. `limits` is set once for the process, which has one event loop."""

    is_swept = False
    limits = ConnectionLimits(connections=512, request_s=15, response_s=60)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        metrics.CONNECTIONS.set(len(self.connections))
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._place = (Phase.REQUEST, 0)
        self.since_s = self.loop.time()
        if not LimitedConnection.is_swept:
            LimitedConnection.is_swept = True
            self.loop.call_later(SWEEP_S, sweep, self.loop, self.connections)
        if len(self.connections) > self.limits.connections:
            self._close_the_slowest(_still_open(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        metrics.CONNECTIONS.set(len(self.connections))

    @property
    def buffered_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    @property
    def phase(self) -> Phase:
        cycle: Any = self.cycle  # None before the first request, which uvicorn's types do not say
        if self.buffered_bytes or (cycle and cycle.response_started and not cycle.response_complete):
            return Phase.RESPONSE
        if cycle is None or cycle.response_complete or cycle.more_body:
            return Phase.REQUEST
        return Phase.VIEW

    def watch(self, now_s: float) -> bool:
        """Closes the connection if its client is too slow, and returns whether it did."""
        place = (self.phase, id(self.cycle))
        if place != self._place:
            self._place, self.since_s = place, now_s
        limit_s = {Phase.REQUEST: self.limits.request_s, Phase.RESPONSE: self.limits.response_s}.get(place[0])
        if limit_s is None or now_s - self.since_s < limit_s:
            return False
        self.transport.abort()
        return True

    def _close_the_slowest(self, still_open: list["LimitedConnection"]) -> None:
        """Closes one of them, if they are too many."""
        if len(still_open) <= self.limits.connections:
            return
        waiting = [one for one in still_open if one is not self and one.phase is not Phase.VIEW]
        slowest = min(waiting, key=lambda one: one.since_s, default=self)
        slowest.transport.abort()
        metrics.CLOSED_CONNECTIONS.labels("connections").inc()
        log.warning("site.connections_exceeded", limit=self.limits.connections)


def _still_open(connections: Iterable[object]) -> list[LimitedConnection]:
    """Without those that are being closed: they leave uvicorn's set in the next turn of the event loop."""
    limited = (one for one in connections if isinstance(one, LimitedConnection))  # uvicorn's set could have other kinds
    return [one for one in limited if not one.transport.is_closing()]


def sweep(loop: asyncio.AbstractEventLoop, connections: Iterable[object]) -> None:
    """Watches all connections again and again, as long as there are some."""
    now_s = loop.time()
    watched = _still_open(connections)
    slow = sum(one.watch(now_s) for one in watched)
    metrics.CLOSED_CONNECTIONS.labels("slow").inc(slow)
    holders = sorted((one for one in watched if one.buffered_bytes), key=lambda one: one.since_s, reverse=True)
    buffered = sum(one.buffered_bytes for one in holders)
    full = 0
    while buffered > MAX_BUFFERED_BYTES:
        slowest = holders.pop()
        buffered -= slowest.buffered_bytes
        slowest.transport.abort()
        full += 1
    metrics.CLOSED_CONNECTIONS.labels("bytes").inc(full)
    if slow or full:
        log.warning("site.slow_clients_closed", connections=slow + full)
    LimitedConnection.is_swept = bool(watched)
    if watched:
        loop.call_later(SWEEP_S, sweep, loop, connections)


class Worker(UvicornWorker):
    """Gunicorn's worker with these connections."""

    CONFIG_KWARGS = {
        "loop": "asyncio",
        "http": LimitedConnection,
        "ws": "none",
        "lifespan": "off",
        "interface": "asgi3",
        "proxy_headers": False,  # WEB_CLIENT_ADDRESS_HEADER and WEB_HTTPS say what is trusted
        "server_header": False,
        "access_log": False,
        "timeout_graceful_shutdown": 5,
    }
