"""Message sockets: an interface over ZeroMQ, so that the simulator can replace the network by one that fails.

The sizes of queues and frames are limited. Queues are counted in messages, one pair of queues for each peer. libzmq
closes the connection of a peer that sends a frame larger than `frame_bytes`, without delivering it. `transport.wire`
validates the frames that are delivered.
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
"""`frame_bytes` of a socket that only receives from peers it connected to."""


Frame = bytes | memoryview


class AddressUnusable(MatchingError):
    """An address that is in use, not local, or invalid: use another one."""


class Undelivered(MatchingError):
    """A message was not accepted: the peer is gone, or its queue is full because it does not read."""


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
    """A non-blocking socket, used by one thread."""

    def receive(self) -> list[bytes] | None:
        """The frames of the next message that has arrived, or None."""

    def send(self, *frames: Frame) -> None:
        """Sends one message, which arrives whole or not at all.

        Raises Undelivered if the peer's queue is full or the peer is gone.
        """

    def close(self, linger_ms: int = 0) -> None:
        """Closes the socket; messages that are queued may still be sent for `linger_ms`. May be called twice."""


class Network(Protocol):
    """Creates sockets and waits for messages on them."""

    def bind(self, kind: Kind, address: str, limits: Limits) -> Socket:
        """A socket that listens on `address`. Raises AddressUnusable."""

    def connect(self, kind: Kind, address: str, limits: Limits, topic: bytes = b"") -> Socket:
        """A socket that connects to `address` and reconnects whenever the connection is lost.

        A SUB socket receives the messages whose first frame begins with `topic`. Raises AddressUnusable if the address
        is invalid.
        """

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        """Waits until one of `sockets` has a message, for `timeout_s` at most. Returns whether one has."""

    def close(self) -> None:
        """Call it after closing the sockets. Waits until their lingering messages are sent or dropped."""


RawSocket = zmq.Socket[bytes]

# Plain integers, because operations on zmq's flag objects and zmq's loops over frames add measurable latency.
_POLLIN = zmq.POLLIN.value
_LAST = zmq.DONTWAIT.value
_MORE = _LAST | zmq.SNDMORE.value
_ZERO_COPY_BYTES = 65_536  # smaller frames are cheaper to copy


class ZmqNetwork:
    """The real network: a ZeroMQ context with its I/O thread."""

    def __init__(self) -> None:
        self._context: zmq.Context[RawSocket] = zmq.Context()

    def bind(self, kind: Kind, address: str, limits: Limits) -> "ZmqSocket":
        if address.startswith("ipc://") and _has_listener(address.removeprefix("ipc://")):
            raise AddressUnusable(f"Cannot listen on {address}: another process listens there already.")
        socket = self._socket(kind, address, limits)
        try:
            socket.raw.bind(address)
        except zmq.ZMQError as error:
            socket.close()
            raise AddressUnusable(f"Cannot listen on {address}: {_error_text(error)}.") from error
        return socket

    def connect(self, kind: Kind, address: str, limits: Limits, topic: bytes = b"") -> "ZmqSocket":
        socket = self._socket(kind, address, limits)
        try:
            socket.raw.connect(address)
        except zmq.ZMQError as error:
            socket.close()
            raise AddressUnusable(f"{address} is not an address to connect to: {_error_text(error)}.") from error
        if kind is Kind.SUB:
            socket.raw.subscribe(topic)
        return socket

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        timeout_ms = max(0, math.ceil(timeout_s * 1000))
        return bool(zmq.zmq_poll([(socket.raw, _POLLIN) for socket in sockets], timeout_ms))

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
            # Report a peer that is gone or whose queue is full as an error. The default drops the message silently.
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        return ZmqSocket(socket)


class ZmqSocket:
    def __init__(self, raw: RawSocket) -> None:
        self.raw = raw

    def receive(self) -> list[bytes] | None:
        # Polling first costs less than catching an exception.
        if not zmq.zmq_poll([(self.raw, _POLLIN)], 0):
            return None
        return self.raw.recv_multipart(_LAST)

    def send(self, *frames: Frame) -> None:
        raw, last = self.raw, frames[-1]
        try:
            for frame in frames[:-1]:
                raw.send(frame, _MORE, copy=len(frame) < _ZERO_COPY_BYTES)
            raw.send(last, _LAST, copy=len(last) < _ZERO_COPY_BYTES)
        except zmq.ZMQError as error:
            if error.errno not in (errno.EAGAIN, errno.EHOSTUNREACH):
                raise
            raise Undelivered(f"A message was not delivered: {_error_text(error)}.") from error

    def close(self, linger_ms: int = 0) -> None:
        self.raw.close(linger=linger_ms)


def _has_listener(path: str) -> bool:
    """Whether a process listens on this socket file. libzmq does not check this and replaces the file."""
    with unix.socket(unix.AF_UNIX, unix.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _error_text(error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another process listens there already"
    return os.strerror(error.errno or 0).lower()
