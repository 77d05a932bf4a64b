"""uvicorn, run by a function that has a stop flag instead of signals."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Generator
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.server.websockets import MakeListener, protocols

_KEPT_ALIVE_S = 75
_REQUEST_S = 10.0
"""Time in which a client must have sent the whole head of a request; the application bounds the body's."""
_STOP_S = 2
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the server listens. With a certificate and its key (PEM files) it speaks TLS only."""

    host: str
    port: int
    certificate: str = ""
    key: str = ""
    connections: int = 10_000


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves signals to the process."""
        yield


class _Protocol(HttpToolsProtocol):
    """Closes a connection whose client takes too long for the head of a request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin_head()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and self.cycle.response_complete:
            self._begin_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answers a request that is no HTTP in the form of all errors, and closes the connection."""
        body = b'{"code":-1000,"msg":"The request is not valid HTTP."}'
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
    config = uvicorn.Config(
        application,
        host=listening.host,
        port=listening.port,
        http=_Protocol,
        ws=protocols(make_listener),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # gateway.server.forwarding has the rules, for WebSockets too
        limit_concurrency=listening.connections,
        timeout_keep_alive=_KEPT_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
        ssl_certfile=listening.certificate or None,
        ssl_keyfile=listening.key or None,
    )
    server = _Server(config)
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
