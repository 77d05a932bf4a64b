"""WebSocket connections in uvicorn's port: a request to upgrade is handed over to picows.

uvicorn makes an object of its setting `ws` for each request to upgrade, gives it the transport and the bytes it read,
and from then on has nothing to do with the connection. docs/decisions/0024-gateway-server.md has the reasons.
"""

import logging
from collections.abc import Callable
from typing import Any

from picows import WSAutoPingStrategy, WSListener, WSUpgradeRequest
from picows.picows import WSProtocol  # type: ignore[attr-defined]

_HANDSHAKE_S = 5.0
_MAX_FRAME_BYTES = 64 * 1024
_READ_BUFFER_BYTES = 4 * 1024

_LOGGER = logging.getLogger("picows.server")
_LOGGER.setLevel(logging.WARNING)  # it logs each connection otherwise

MakeListener = Callable[[WSUpgradeRequest], WSListener | None]
"""The listener of a new connection; None: there is nothing at this path, and the client gets 404."""


class _HandedOver(WSProtocol):  # type: ignore[misc]
    """picows' protocol, whose first bytes were read by uvicorn's."""

    def __init__(self, make_listener: MakeListener) -> None:
        super().__init__(
            None,  # host and port: of clients
            None,  # path: of clients
            False,  # is a client
            make_listener,
            _LOGGER,
            True,  # disconnects when a listener raises
            _HANDSHAKE_S,
            False,  # sends no pings: `LiveListener` does
            0.0,
            0.0,
            WSAutoPingStrategy.PING_PERIODICALLY,
            True,  # answers pings
            _MAX_FRAME_BYTES,
            None,  # further headers
            _READ_BUFFER_BYTES,
        )

    def data_received(self, data: bytes) -> None:
        while data:
            room = self.get_buffer(len(data))
            count = min(len(room), len(data))
            room[:count] = data[:count]
            self.buffer_updated(count)
            data = data[count:]


def protocols(make_listener: MakeListener) -> Callable[..., Any]:
    """What uvicorn's setting `ws` takes."""

    def protocol(config: object, server_state: object, app_state: object) -> _HandedOver:
        return _HandedOver(make_listener)

    return protocol
