"""Message sockets: an interface over ZeroMQ, so that the simulator can replace the network by one that fails.

The sizes of queues and frames are limited. Queues are counted in messages, one pair of queues for each peer. libzmq
closes the connection of a peer that sends a frame larger than `frame_bytes`, without delivering it. `transport.wire`
validates the frames that are delivered. `transport.network` creates the sockets, `transport.curve` those with keys.
"""

import errno
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import zmq

from matching.core.errors import MatchingError
from matching.transport.key_register import KeyRole, RegisteredKey

UNBOUNDED = -1
"""`frame_bytes` of a socket that only receives from peers it connected to."""


ALL_ROLES = frozenset(KeyRole)
LOCAL_PEER = RegisteredKey("", KeyRole.LOCAL, "local")
"""The peer on sockets without keys: `ipc://`, whose files only this user can open, and `PLAIN_SOCKETS`."""

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
    """Queues are counted in messages, for each peer. `frame_bytes` is the maximum size of a frame.

    `is_bulk`: what is sent is so much that encrypting it would delay the messages of other sockets.
    """

    frame_bytes: int
    receive_queue: int
    send_queue: int
    is_bulk: bool = False

    @property
    def message_bytes(self) -> int:
        """An upper bound on the size of a valid message."""
        return 2 * self.frame_bytes

    @property
    def unread_bytes(self) -> int:
        """The size of a full receive queue of the largest messages."""
        return self.receive_queue * self.frame_bytes


class Socket(Protocol):
    """A non-blocking socket, used by one thread."""

    @property
    def peer(self) -> RegisteredKey | None:
        """The sender of the message that was received last.

        It is looked up in the newest key register, so a revocation takes effect at once.

        None: the register does not have the key. On sockets without keys it is always `LOCAL_PEER`.
        """

    @property
    def problem(self) -> str:
        """Why this socket has no connection, as one sentence; "" if it has one, or if the reason is not known."""

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

    def bind(self, kind: Kind, address: str, limits: Limits, admits: Collection[KeyRole] = ALL_ROLES) -> Socket:
        """A socket that listens on `address`; only keys of the roles `admits` may connect. Raises AddressUnusable."""

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
POLLIN = zmq.POLLIN.value
LAST = zmq.DONTWAIT.value
MORE = LAST | zmq.SNDMORE.value
_ZERO_COPY_BYTES = 65_536  # smaller frames are cheaper to copy


class ZmqSocket:
    """A socket without keys, and what all kinds have in common."""

    def __init__(self, raw: RawSocket) -> None:
        self.raw = raw

    @property
    def peer(self) -> RegisteredKey | None:
        return LOCAL_PEER

    @property
    def problem(self) -> str:
        return ""

    def receive(self) -> list[bytes] | None:
        # Polling first costs less than catching an exception.
        if not zmq.zmq_poll([(self.raw, POLLIN)], 0):
            return None
        return self.raw.recv_multipart(LAST)

    def send(self, *frames: Frame) -> None:
        raw, last = self.raw, frames[-1]
        try:
            for frame in frames[:-1]:
                raw.send(frame, MORE, copy=len(frame) < _ZERO_COPY_BYTES)
            raw.send(last, LAST, copy=len(last) < _ZERO_COPY_BYTES)
        except zmq.ZMQError as error:
            if error.errno not in (errno.EAGAIN, errno.EHOSTUNREACH):
                raise
            raise Undelivered(f"A message was not delivered: {error_text(error)}.") from error

    def close(self, linger_ms: int = 0) -> None:
        self.raw.close(linger=linger_ms)


def error_text(error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another process listens there already"
    return os.strerror(error.errno or 0).lower()
