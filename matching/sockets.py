"""Making ZeroMQ sockets: every queue and every frame bounded, a busy or impossible address one sentence.

libzmq closes the connection of a peer whose frame exceeds `frame_bytes`; nothing of it reaches this process. What fits
is judged by `matching.wire`. Queues are counted in messages, one pair for each peer.
"""

import errno
import os
from dataclasses import dataclass

import zmq

from matching.errors import MatchingError

Socket = zmq.Socket[bytes]

UNBOUNDED = -1
"""`frame_bytes` of a socket that hears only what it chose to connect to."""


class AddressUnusable(MatchingError):
    """An address that is busy, not ours, or none: name another."""


_EVENTS, _POLLIN = zmq.EVENTS.value, zmq.POLLIN.value
DONTWAIT = zmq.DONTWAIT.value
"""A plain integer: operations on zmq's flags are slow enough to be seen in an answer's latency."""


@dataclass(frozen=True, slots=True)
class Limits:
    frame_bytes: int
    receive_queue: int
    send_queue: int


def bind(context: zmq.Context[Socket], kind: int, address: str, limits: Limits) -> Socket:
    """A socket that listens at `address`. Raises AddressUnusable."""
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


def readable(socket: Socket) -> bool:
    """Whether a whole message waits; asking costs less than the exception of a read in vain."""
    return bool(int(socket.get(_EVENTS)) & _POLLIN)


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


def _why(error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another process listens there already"
    return os.strerror(error.errno or 0).lower()
