"""uvicorn, run by a function that has a stop flag instead of signals."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.server.certificate import Certificate
from gateway.server.websockets import MakeListener, protocols

_KEPT_ALIVE_S = 75
_REQUEST_S = 10.0
"""Time in which a client must have sent the whole head of a request; the application bounds the body's."""
_STOP_S = 2
CERTIFICATE_CHECK_S = 5.0
"""How often it is looked whether the certificate's files have been renewed."""
_TOO_MANY = (
    b'{"code":-1008,"msg":"Server is currently overloaded with other requests. Please try again in a few minutes."}'
)
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the server listens, and how many HTTP connections it has at most. With a certificate it speaks TLS only."""

    host: str
    port: int
    certificate: Certificate | None = None
    connections: int = 10_000


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves signals to the process."""
        yield


class _JoinedWrites:
    """A transport as responses see it. What they write in one turn of the loop, such as head and body, is one write."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._unwritten: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._unwritten:
            self._loop.call_soon(self.flush)
        self._unwritten.append(data)

    def flush(self) -> None:
        data, self._unwritten = b"".join(self._unwritten), []
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._transport.close()


class _Protocol(HttpToolsProtocol):
    """Closes a connection whose client takes too long for the head of a request; refuses connections too many."""

    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, most_connections: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most_connections = most_connections

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._joined = _JoinedWrites(transport, self.loop)
        self._begin_head()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and self.cycle.response_complete:
            self._begin_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._end_head()
        self.app = _refuse if len(self.connections) > self._most_connections else self.config.loaded_app
        super().on_headers_complete()
        if self.cycle is not None:  # there is none for a request to upgrade
            self.cycle.transport = self._joined  # type: ignore[assignment]

    def handle_websocket_upgrade(self) -> None:
        self._joined.flush()
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        self._joined.flush()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answers a request that is no HTTP in the form of all errors, and closes the connection."""
        body = b'{"code":-1000,"msg":"The request is not valid HTTP."}'
        self._joined.flush()
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json;charset=UTF-8\r\nconnection: close\r\n"
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.transport.close()

    def _begin_head(self) -> None:
        self._deadline = self.loop.call_later(_REQUEST_S, self._close)

    def _end_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._deadline = None
        self.transport.close()


async def _nothing() -> None:
    """What is done before a stop, unless more is wanted."""


async def serve(
    application: Any,
    make_listener: MakeListener,
    listening: Listening,
    *,
    ready: Callable[[Collection[object]], None],
    stop: Callable[[], bool],
    before_stop: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Serves until `stop()`, and then until `before_stop` has ended. `ready` gets the open HTTP connections.

    Raises OSError if the port or the certificate cannot be used."""
    certificate = listening.certificate
    config = uvicorn.Config(
        application,
        host=listening.host,
        port=listening.port,
        http=partial(_Protocol, most_connections=listening.connections),  # type: ignore[arg-type]
        ws=protocols(make_listener),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # gateway.server.forwarding has the rules, for WebSockets too
        timeout_keep_alive=_KEPT_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
        ssl_context_factory=None if certificate is None else lambda config, default: certificate.context,
    )
    server = _Server(config)
    renewing = None if certificate is None else asyncio.ensure_future(_renew(certificate))
    serving = asyncio.ensure_future(server.serve())
    while not (server.started or serving.done()):
        await asyncio.sleep(_POLL_S)
    if not serving.done():
        ready(server.server_state.connections)
    while not (stop() or serving.done()):
        await asyncio.sleep(_POLL_S)
    if not serving.done():
        await before_stop()
    server.should_exit = True
    await serving
    if renewing is not None:
        renewing.cancel()


async def _renew(certificate: Certificate) -> None:
    while True:
        await asyncio.sleep(CERTIFICATE_CHECK_S)
        certificate.refresh()


async def _refuse(scope: Any, receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """The application of a connection too many. It does not wait for a body, so the connection ends."""
    headers = [
        (b"content-type", b"application/json;charset=UTF-8"),
        (b"content-length", str(len(_TOO_MANY)).encode("ascii")),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _TOO_MANY})
