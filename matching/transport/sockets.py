"""Messages between processes: a seam over ZeroMQ, so that the simulator can bring a network that fails.

Every queue and every frame is bounded, a busy or impossible address is one sentence. libzmq closes the connection of
a peer whose frame exceeds `frame_bytes`; nothing of it reaches this process. `transport.wire` judges what fits.
Queues are counted in messages, one pair for each peer.
"""

import errno
import math
import os
import socket as unix
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import zmq

from matching.core.errors import MatchingError

UNBOUNDED = -1
"""`frame_bytes` of a socket that hears only what it chose to connect to."""


Frame = bytes | memoryview


class AddressUnusable(MatchingError):
    """An address that is busy, not ours, or none: name another."""


class Undelivered(MatchingError):
    """A message that was not taken: its reader does not read, or is gone. It may ask again."""


class Kind(Enum):
    ROUTER = zmq.ROUTER
    DEALER = zmq.DEALER
    PUB = zmq.PUB
    SUB = zmq.SUB


@dataclass(frozen=True, slots=True)
class Limits:
    frame_bytes: int
    receive_queue: int
    send_queue: int


class Socket(Protocol):
    """Never waits; belongs to one thread."""

    def receive(self) -> list[bytes] | None:
        """The frames of a message that is there; None when there is none."""

    def send(self, *frames: Frame) -> None:
        """One message, which arrives whole or not at all.

        Raises Undelivered where there is no room for it, or its reader is gone.
        """

    def close(self, linger_ms: int = 0) -> None:
        """What was sent may go on its way for so long. Safe twice."""


class Network(Protocol):
    """Makes sockets, and waits for them."""

    def bind(self, kind: Kind, address: str, limits: Limits) -> Socket:
        """A socket that listens at `address`. Raises AddressUnusable."""

    def connect(self, kind: Kind, address: str, limits: Limits, topic: bytes = b"") -> Socket:
        """A socket that keeps trying to reach `address`; a SUB hears messages whose first frame begins with `topic`.

        Raises AddressUnusable when it is no address.
        """

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        """Until one of the network's `sockets` has something to read, at most so long; whether one has."""

    def close(self) -> None:
        """After its sockets. Waits until what lingers is gone."""


RawSocket = zmq.Socket[bytes]

# Plain integers: operations on zmq's flags, and its own loops over frames, are slow enough to be seen in a latency.
_POLLIN = zmq.POLLIN.value
_LAST = zmq.DONTWAIT.value
_MORE = _LAST | zmq.SNDMORE.value
_WORTH_SHARING_BYTES = 65_536


class ZmqNetwork:
    """A ZeroMQ context of its own, and its I/O thread."""

    def __init__(self) -> None:
        self._context: zmq.Context[RawSocket] = zmq.Context()

    def bind(self, kind: Kind, address: str, limits: Limits) -> "ZmqSocket":
        if address.startswith("ipc://") and _is_answered(address.removeprefix("ipc://")):
            raise AddressUnusable(f"{address} cannot be listened at: another process listens there already.")
        socket = self._socket(kind, address, limits)
        try:
            socket.raw.bind(address)
        except zmq.ZMQError as error:
            socket.close()
            raise AddressUnusable(f"{address} cannot be listened at: {_why(error)}.") from error
        return socket

    def connect(self, kind: Kind, address: str, limits: Limits, topic: bytes = b"") -> "ZmqSocket":
        socket = self._socket(kind, address, limits)
        try:
            socket.raw.connect(address)
        except zmq.ZMQError as error:
            socket.close()
            raise AddressUnusable(f"{address} is no address to connect to: {_why(error)}.") from error
        if kind is Kind.SUB:
            socket.raw.subscribe(topic)
        return socket

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        waits_ms = max(0, math.ceil(timeout_s * 1000))
        return bool(zmq.zmq_poll([(socket.raw, _POLLIN) for socket in sockets], waits_ms))

    def close(self) -> None:
        self._context.term()

    def _socket(self, kind: Kind, address: str, limits: Limits) -> "ZmqSocket":
        socket = self._context.socket(kind.value)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, limits.frame_bytes)
        socket.setsockopt(zmq.RCVHWM, limits.receive_queue)
        socket.setsockopt(zmq.SNDHWM, limits.send_queue)
        socket.setsockopt(zmq.IPV6, int("[" in address))
        if kind is Kind.ROUTER:
            # A peer that is gone, or whose queue is full, is an error to be counted, not a message silently lost.
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        return ZmqSocket(socket)


class ZmqSocket:
    def __init__(self, raw: RawSocket) -> None:
        self.raw = raw

    def receive(self) -> list[bytes] | None:
        # Looking first costs less than an exception.
        if not zmq.zmq_poll([(self.raw, _POLLIN)], 0):
            return None
        return self.raw.recv_multipart(_LAST)

    def send(self, *frames: Frame) -> None:
        raw, last = self.raw, frames[-1]
        try:
            for frame in frames[:-1]:
                raw.send(frame, _MORE, copy=len(frame) < _WORTH_SHARING_BYTES)
            raw.send(last, _LAST, copy=len(last) < _WORTH_SHARING_BYTES)
        except zmq.ZMQError as error:
            if error.errno not in (errno.EAGAIN, errno.EHOSTUNREACH):
                raise
            raise Undelivered(f"A message was not taken: {_why(error)}.") from error

    def close(self, linger_ms: int = 0) -> None:
        self.raw.close(linger=linger_ms)


def _is_answered(path: str) -> bool:
    """Whether somebody listens at a socket file: libzmq would not ask, it takes the file away from them."""
    with unix.socket(unix.AF_UNIX, unix.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _why(error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another process listens there already"
    return os.strerror(error.errno or 0).lower()
