"""Clients that cost little: they send bytes that were made before, and count the answers.

All times are in seconds of `time.perf_counter`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.gateway.ticks import ticks

logging.getLogger("picows.client").setLevel(logging.WARNING)  # it logs each connection otherwise

_PATIENCE_S = 60.0
_ACCEPTED = b'"status":200'
_END_OF_HEAD = b"\r\n\r\n"


class LoadFailed(Exception):
    """An answer was a refusal, or answers did not come in time. The text is one sentence."""


@dataclass
class Answers:
    """How long each request took, from when it was to be sent; in order of the answers."""

    taken_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)  # between planned and sent, of each request at a fixed rate
    refused: bytes = b""
    began_s: float = 0.0
    ended_s: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.taken_s) / (self.ended_s - self.began_s)

    def check(self) -> None:
        if self.refused:
            raise LoadFailed(f"A request was refused: {self.refused[:200].decode('ascii', 'replace')}.")


class Session(WSListener):
    """A session of the WebSocket API. The ids of its requests are 0, 1, 2, … within one run."""

    def __init__(self) -> None:
        self._transport: WSTransport | None = None
        self._on_answer: Callable[[bytes], None] = lambda message: None

    @classmethod
    async def opened(cls, url: str) -> "Session":
        _, listener = await ws_connect(cls, url)
        assert isinstance(listener, cls)
        return listener

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._on_answer(frame.get_payload_as_bytes())

    def send(self, message: bytes) -> None:
        assert self._transport is not None
        self._transport.send(WSMsgType.TEXT, message)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.disconnect()

    async def ask(self, message: bytes) -> bytes:
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._on_answer = answered.set_result
        self.send(message)
        return await asyncio.wait_for(answered, _PATIENCE_S)

    async def pipelined(self, messages: Sequence[bytes], window: int) -> Answers:
        """Keeps `window` requests on their way."""
        found, done = Answers(began_s=time.perf_counter()), asyncio.Event()
        unsent, sent_s = iter(messages), {}
        numbers = iter(range(len(messages)))

        def send_next() -> None:
            message = next(unsent, None)
            if message is not None:
                sent_s[next(numbers)] = time.perf_counter()
                self.send(message)

        def on_answer(message: bytes) -> None:
            _note(found, message, sent_s[_number(message)])
            if len(found.taken_s) == len(messages):
                done.set()
            else:
                send_next()

        self._on_answer = on_answer
        for _ in range(min(window, len(messages))):
            send_next()
        return await _ended(found, done)

    async def at_rate(self, messages: Sequence[bytes], per_second: float) -> Answers:
        """Sends at planned times, whether answers come or not; a request takes from its planned time on."""
        found, done = Answers(began_s=time.perf_counter()), asyncio.Event()
        planned_s: list[float] = []

        def on_answer(message: bytes) -> None:
            _note(found, message, planned_s[_number(message)])
            if len(found.taken_s) == len(messages):
                done.set()

        def send(number: int, at_s: float) -> None:
            planned_s.append(at_s)
            found.late_s.append(time.perf_counter() - at_s)
            self.send(messages[number])

        self._on_answer = on_answer
        await ticks(len(messages), per_second, send)
        return await _ended(found, done)


class Consumer(WSListener):
    """Counts the messages of streams."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.messages += 1
            self.bytes += len(frame.get_payload_as_memoryview())


class _RestConnection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, requests: Iterator[bytes], found: Answers, done: Callable[[], None]) -> None:
        self._requests = requests
        self._found = found
        self._done = done
        self._buffer = b""
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at = self._buffer.find(_END_OF_HEAD)
        if at < 0:
            return
        head = self._buffer[:at]
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(self._buffer) < at + len(_END_OF_HEAD) + length:
            return
        self._found.taken_s.append(time.perf_counter() - self._sent_s)
        if not head.startswith(b"HTTP/1.1 200"):
            self._found.refused = self._buffer[at:].strip()
        self._buffer = b""
        self._send_next()

    def _send_next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self._done()
            return
        self._sent_s = time.perf_counter()
        self._transport.write(request)


async def rest(host: str, port: int, requests: Sequence[bytes], connections: int) -> Answers:
    """Sends requests over connections that are kept alive."""
    found, done, left = Answers(began_s=time.perf_counter()), asyncio.Event(), connections

    def connection_done() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    unsent = iter(requests)
    for _ in range(connections):
        await asyncio.get_running_loop().create_connection(
            lambda: _RestConnection(unsent, found, connection_done), host, port
        )
    return await _ended(found, done)


async def _ended(found: Answers, done: asyncio.Event) -> Answers:
    try:
        await asyncio.wait_for(done.wait(), _PATIENCE_S)
    except TimeoutError as error:
        raise LoadFailed(f"Not all requests were answered within {_PATIENCE_S:g} s.") from error
    found.ended_s = time.perf_counter()
    found.check()
    return found


def _note(found: Answers, message: bytes, since_s: float) -> None:
    found.taken_s.append(time.perf_counter() - since_s)
    if _ACCEPTED not in message:
        found.refused = message


def _number(message: bytes) -> int:
    """The id of an answer, which stands first in it."""
    return int(message[6 : message.index(b",")])
