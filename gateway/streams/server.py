"""Opens and ends the connections of the streams' consumers."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import parse_qs, unquote

from picows import WSCloseCode, WSListener, WSUpgradeRequest

from gateway.model.model import Model
from gateway.server.live import LiveListener
from gateway.streams.channels import Channels, Form
from gateway.streams.connection import MAX_STREAMS, Connection
from gateway.streams.names import Stream, stream
from gateway.streams.publishing import Publisher

_MILLISECOND_NS, _MICROSECOND_NS = 1_000_000, 1_000
_UNITS = {"MILLISECOND": _MILLISECOND_NS, "MICROSECOND": _MICROSECOND_NS}
_TICK_S = 1.0


class StreamServer:
    """`time_ns` returns the time of day."""

    def __init__(self, model: Model, time_ns: Callable[[], int]) -> None:
        self._time_ns = time_ns
        self._channels = Channels()
        self._publisher = Publisher(model, self._channels, time_ns)
        self._connections: dict[LiveListener, None] = {}
        self._ticking: asyncio.TimerHandle | None = None
        self.slow_consumers = 0
        """Connections that were cut off because their consumer was too slow."""
        model.on_begin.append(self._end_all)

    def start(self) -> None:
        """Publishes from now on what is published once in a second."""
        self._tick()

    def close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        for connection in list(self._connections):
            connection.close(WSCloseCode.GOING_AWAY, "The gateway is stopping")

    def announce_end(self) -> None:
        """Tells all consumers that their connections will be closed soon."""
        for connection in list(self._connections):
            connection.announce_end()

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    @property
    def subscription_count(self) -> int:
        return self._channels.subscription_count

    def listener(self, request: WSUpgradeRequest) -> WSListener | None:
        """The listener of a new connection; None if there are no streams at this path."""
        path, _, query = request.path.decode("ascii", "replace").partition("?")
        options = parse_qs(query, keep_blank_values=True)
        unit_ns = _UNITS.get(options.get("timeUnit", ["MILLISECOND"])[-1].upper())
        root, *rest = path.removeprefix("/").split("/")
        names = _names(root, rest, options)
        if names is None or unit_ns is None:
            return None
        streams = [stream(name) for name in names]
        wanted: list[Stream] = [one for one in streams if one is not None]
        if len(wanted) < len(streams) or len(wanted) > MAX_STREAMS:
            return None
        # ccxt knows by /stream in its URL that it is at a spot exchange, and numbers it; it reads plain events there.
        form = Form(unit_ns, is_combined=root == "stream" and not any(name.isdecimal() for name in rest))
        connection = Connection(self._channels, wanted, form, clock=time.monotonic, ended=self._forget)
        self._connections[connection] = None
        return connection

    def _forget(self, connection: LiveListener) -> None:
        self.slow_consumers += connection.was_too_slow
        self._connections.pop(connection, None)

    def _end_all(self) -> None:
        """The model has begun anew: what consumers have does not continue, so that they have to begin anew too."""
        for connection in list(self._connections):
            connection.close(WSCloseCode.SERVICE_RESTART, "The market data begin anew")

    def _tick(self) -> None:
        self._publisher.tick()
        rest_s = _TICK_S - self._time_ns() / 1e9 % _TICK_S
        self._ticking = asyncio.get_running_loop().call_later(rest_s, self._tick)


def _names(root: str, rest: list[str], options: dict[str, list[str]]) -> list[str] | None:
    """The streams that a URL names; None if its path has no streams. A number names none: ccxt numbers its URLs."""
    named = [unquote(name) for name in rest if name and not name.isdecimal()]
    if root == "ws":
        return named
    if root != "stream" or named:
        return None
    return [name for name in options.get("streams", [""])[-1].split("/") if name]
