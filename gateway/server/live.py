"""A WebSocket connection that is kept alive by pings and cut off when its client does not read.

All that is sent in one turn of the event loop is written at once, because a call of the system costs more than
everything else about a message.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from gateway.server.frames import frame

log = structlog.get_logger(__name__)

PING_EVERY_S = 20.0
PONG_WITHIN_S = 60.0
LONGEST_S = 24 * 3600.0
"""A connection is closed after this time."""
ANNOUNCED_S = 600.0
"""So long before that its end is announced."""
_MILLISECOND_NS = 1_000_000
MAX_WAITING_BYTES = 1 << 20
"""A client that lets more wait is too slow, and is cut off: messages are never left out."""


class LiveListener(WSListener):
    """Subclasses answer `on_message` and undo in `on_end` what they have begun.

    `clock` returns monotonic seconds; `ended` is called once at the end. `unit_ns` is the unit of the client's times.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        ended: Callable[["LiveListener"], None],
        *,
        unit_ns: int = _MILLISECOND_NS,
    ) -> None:
        self._clock = clock
        self._ended = ended
        self._transport: WSTransport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # while the connection is open
        self._timer: asyncio.TimerHandle | None = None
        self._opened_at_s = self._heard_at_s = clock()
        self._unwritten: list[bytes] = []  # frames of this turn of the loop
        self._waiting: dict[str, bytes] = {}  # the newest frame of each name, while the client is slow
        self._is_slow = False
        self._unit_ns = unit_ns
        self._is_announced = False
        self._is_closing = False
        self.was_too_slow = False

    # For subclasses

    def on_open(self) -> None:
        """Called when messages can be sent."""

    def on_message(self, message: bytes) -> None:
        raise NotImplementedError

    def on_end(self) -> None:
        """Called when no message can be sent any more."""

    def send(self, message: bytes) -> None:
        """Never waits, and never fails."""
        self.send_frame(frame(message))

    def send_frame(self, framed: bytes) -> None:
        """Like `send`, for a message that is framed already."""
        loop, unwritten = self._loop, self._unwritten
        if loop is None:
            return
        if not unwritten:
            loop.call_soon(self._write)
        unwritten.append(framed)

    def send_newest_frame(self, name: str, framed: bytes) -> None:
        """Like `send_frame`, but one of the same name that was not sent yet is left out."""
        if self._is_slow:
            self._waiting[name] = framed
        else:
            self.send_frame(framed)

    def forget_newest(self, name: str) -> None:
        self._waiting.pop(name, None)

    def announce_end(self) -> None:
        """Tells the client once that this connection will be closed soon, so that it can open another one before."""
        if not self._is_announced:
            self._is_announced = True
            self.send(self.wrapped(b'{"e":"serverShutdown","E":%d}' % (time.time_ns() // self._unit_ns)))

    def wrapped(self, event: bytes) -> bytes:
        """An event of the connection, in the form that its client expects."""
        return event

    def close(self, code: WSCloseCode, reason: str) -> None:
        """What was sent before arrives before."""
        self._end_with(code, reason.encode("ascii"))

    def _end_with(self, code: WSCloseCode, reason: bytes | None) -> None:
        self._write()
        if self._transport is not None:
            self._is_closing = True
            self._transport.send_close(code, reason)
            self._transport.disconnect()

    def _write(self) -> None:
        """Writes what was sent in this turn; cuts a client off for which too much waits already."""
        frames, self._unwritten = self._unwritten, []
        transport = self._transport
        if not frames or transport is None or self._is_closing:
            return
        underlying = transport.underlying_transport
        if not self._is_slow or underlying.get_write_buffer_size() <= MAX_WAITING_BYTES:
            underlying.write(frames[0] if len(frames) == 1 else b"".join(frames))
        elif not self.was_too_slow:
            self.was_too_slow = True
            log.info("gateway.consumer_too_slow")
            transport.disconnect(False)

    # Called by picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(PING_EVERY_S, self._check)
        self.on_open()

    def on_ws_frame(self, transport: WSTransport, received: WSFrame) -> None:
        self._heard_at_s = self._clock()
        if received.msg_type is WSMsgType.CLOSE:
            self._end_with(received.get_close_code(), received.get_close_message())
        elif received.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY) and received.fin:
            self.on_message(received.get_payload_as_bytes())
        elif received.msg_type not in (WSMsgType.PING, WSMsgType.PONG):  # pings are answered by picows
            self.close(WSCloseCode.UNSUPPORTED_DATA, "A request must be one frame")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = self._loop = None
        self._unwritten.clear()
        if self._timer is not None:
            self._timer.cancel()
        self.on_end()
        self._ended(self)

    def pause_writing(self) -> None:
        self._is_slow = True

    def resume_writing(self) -> None:
        self._is_slow = False
        waiting, self._waiting = self._waiting, {}
        for framed in waiting.values():
            self.send_frame(framed)

    def _check(self) -> None:
        """Sends the next ping, or ends a connection that is silent or too old."""
        now_s = self._clock()
        if self._transport is None:
            return
        if now_s - self._heard_at_s >= PONG_WITHIN_S:
            self._transport.disconnect(False)
        elif now_s - self._opened_at_s >= LONGEST_S:
            self.close(WSCloseCode.GOING_AWAY, "A connection lasts at most 24 hours")
        else:
            if now_s - self._opened_at_s >= LONGEST_S - ANNOUNCED_S:
                self.announce_end()
            self._transport.send_ping()
            self._timer = asyncio.get_running_loop().call_later(PING_EVERY_S, self._check)
