"""Making ZeroMQ sockets: every queue and every frame bounded, a busy or impossible address one sentence.

libzmq closes the connection of a peer whose frame exceeds `frame_bytes`; nothing of it reaches this process. What fits
is judged by `matching.wire`. Queues are counted in messages, one pair for each peer.
"""

import errno
import os
import socket as unix
from dataclasses import dataclass

import zmq

from matching.errors import MatchingError

Socket = zmq.Socket[bytes]

UNBOUNDED = -1
"""`frame_bytes` of a socket that hears only what it chose to connect to."""


class AddressUnusable(MatchingError):
    """An address that is busy, not ours, or none: name another."""


# Plain integers: operations on zmq's flags, and its own loops over frames, are slow enough to be seen in a latency.
_POLLIN = zmq.POLLIN.value
_LAST = zmq.DONTWAIT.value
_MORE = _LAST | zmq.SNDMORE.value
_WORTH_SHARING_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    frame_bytes: int
    receive_queue: int
    send_queue: int


def bind(context: zmq.Context[Socket], kind: int, address: str, limits: Limits) -> Socket:
    """A socket that listens at `address`. Raises AddressUnusable."""
    if address.startswith("ipc://") and _is_answered(address.removeprefix("ipc://")):
        raise AddressUnusable(f"{address} cannot be listened at: another process listens there already.")
    socket = _socket(context, kind, address, limits)
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        socket.close()
        raise AddressUnusable(f"{address} cannot be listened at: {_why(error)}.") from error
    return socket


def connect(context: zmq.Context[Socket], kind: int, address: str, limits: Limits) -> Socket:
    """A socket that keeps trying to reach `address`. Raises AddressUnusable when it is no address."""
    socket = _socket(context, kind, address, limits)
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        socket.close()
        raise AddressUnusable(f"{address} is no address to connect to: {_why(error)}.") from error
    return socket


def receive(socket: Socket) -> list[bytes] | None:
    """The frames of a message that waits; None when there is none. Looking first costs less than an exception."""
    if not zmq.zmq_poll([(socket, _POLLIN)], 0):
        return None
    return socket.recv_multipart(_LAST)


def send(socket: Socket, *frames: bytes) -> None:
    """Sends one message or raises at once: zmq.Again when there is no room for it, ZMQError when its reader is gone."""
    last = frames[-1]
    for frame in frames[:-1]:
        socket.send(frame, _MORE)
    socket.send(last, _LAST, copy=len(last) < _WORTH_SHARING_BYTES)


def _socket(context: zmq.Context[Socket], kind: int, address: str, limits: Limits) -> Socket:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, limits.frame_bytes)
    socket.setsockopt(zmq.RCVHWM, limits.receive_queue)
    socket.setsockopt(zmq.SNDHWM, limits.send_queue)
    socket.setsockopt(zmq.IPV6, int("[" in address))
    if kind == zmq.ROUTER:
        # A peer that is gone, or whose queue is full, is an error to be counted, not a message silently lost.
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    return socket


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
