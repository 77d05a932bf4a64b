"""User data streams by listen key: `/ws/LISTENKEY` and `/stream?streams=LISTENKEY`."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from picows import WSCloseCode, WSListener, WSUpgradeRequest

from gateway.rest.access import Keys
from gateway.rest.route import TimeUnit
from gateway.server.live import LiveListener
from gateway.user_events.feeds import AccountFeeds
from gateway.user_events.listen_keys import ListenKey, ListenKeys

_CHECK_S = 0.5
"""How often it is checked that keys are still valid: a revocation ends a stream within a second."""


class UserStreams:
    def __init__(self, listen_keys: ListenKeys, feeds: AccountFeeds, keys: Keys) -> None:
        self._listen_keys = listen_keys
        self._feeds = feeds
        self._keys = keys
        self._open: dict[LiveListener, ListenKey] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.slow_consumers = 0
        """Streams that were cut off because their consumer was too slow."""

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_CHECK_S, self._check)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.end_all()

    def announce_end(self) -> None:
        for stream in list(self._open):
            stream.announce_end()

    @property
    def connection_count(self) -> int:
        return len(self._open)

    def end_all(self) -> None:
        """Closes all streams, because what they have published does not continue."""
        for stream in list(self._open):
            stream.close(WSCloseCode.SERVICE_RESTART, "User data begin anew")

    def listener(self, request: WSUpgradeRequest) -> WSListener | None:
        """The listener of a new connection; None if the path names no listen key."""
        path, _, query = request.path.decode("ascii", "replace").partition("?")
        options = parse_qs(query)
        is_combined = path in ("/stream", "/stream/")
        name = options.get("streams", [""])[-1] if is_combined else path.removeprefix("/ws/")
        found = self._listen_keys.find(name)
        if found is None or not (is_combined or path.startswith("/ws/")):
            return None
        unit = (
            TimeUnit.MICROSECOND if options.get("timeUnit", [""])[-1].upper() == "MICROSECOND" else TimeUnit.MILLISECOND
        )
        stream = _UserStream(self, found, unit, is_combined)
        self._open[stream] = found
        return stream

    def forget(self, stream: LiveListener) -> None:
        self.slow_consumers += stream.was_too_slow
        self._open.pop(stream, None)

    @property
    def feeds(self) -> AccountFeeds:
        return self._feeds

    def _check(self) -> None:
        for stream, listen_key in list(self._open.items()):
            if self._listen_keys.find(listen_key.name) is None or self._keys.find(listen_key.key.name) is None:
                stream.close(WSCloseCode.GOING_AWAY, "The listen key does not exist any more")
        self.start()


class _UserStream(LiveListener):
    def __init__(self, streams: UserStreams, listen_key: ListenKey, unit: TimeUnit, is_combined: bool) -> None:
        super().__init__(time.monotonic, streams.forget, unit_ns=unit.value)
        self._streams = streams
        self._listen_key = listen_key
        self._unit = unit
        self._is_combined = is_combined
        self._end: Callable[[], None] = lambda: None

    def on_open(self) -> None:
        self._end = self._streams.feeds.subscribe(self._listen_key.key.account, self._unit, self._on_event)

    def on_message(self, message: bytes) -> None:
        self.close(WSCloseCode.POLICY_VIOLATION, "A user data stream takes no requests")

    def on_end(self) -> None:
        self._end()

    def _on_event(self, event: bytes) -> None:
        if self._is_combined:
            event = b'{"stream":"%b","data":%b}' % (self._listen_key.name.encode("ascii"), event)
        self.send(event)
