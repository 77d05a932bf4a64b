"""Bounds how much memory the peers of a listening TCP socket can make this process hold.

libzmq counts its queues in whole messages. The parts of a message that has not ended are in no queue, and a few large
messages fill memory before a queue is full. The kernel counts bytes: `TCP_INFO` (Linux, tcp(7)) says for every
connection how many bytes arrived and how many its peer has acknowledged. So

    unread bytes          = bytes that arrived      - bytes of the messages that the owner of the socket has received
    unacknowledged bytes  = bytes given to libzmq   - bytes that the peer has acknowledged

A thread compares them with limits every CHECK_S, and closes a connection that exceeds them. While all connections
together exceed their limits it closes the one that holds most. The peer may connect again.

Unread bytes can take much more memory than their number: an empty frame is 2 bytes on the wire and 64 in libzmq's
queue. So once the owner has received all complete messages, a connection may hold no more unread bytes than one valid
message has.

The number of connections is limited too, also by the files that this process may open. For one more, the oldest
connection is closed whose peer has not proved its key yet, so that connections without keys keep nobody else away. If
all peers have proved their keys, the newest connection is closed.
"""

import errno
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
import zmq
from zmq.utils.monitor import recv_monitor_message

from matching.transport.listening.tcp_info import tcp_info
from matching.transport.sockets import POLLIN, Limits

log = structlog.get_logger(__name__)

CHECK_S = 0.05
_EVENT_PAUSE_S = 0.005
"""Between two looks at new connections: a flood of them must not use more of this process's time."""
FRAME_OVERHEAD_BYTES = 64
"""At least what ZMTP and CURVE add to a frame: a received message must not be counted with fewer bytes than arrived."""
SUBSCRIBER_BYTES = 64 << 10
"""A subscriber sends its handshake, its subscriptions and nothing else."""
_CHECKS_OF_LONG_MESSAGE = 3  # consecutive; bytes take a while from the kernel through libzmq
_EVENTS_A_TURN = 128
"""Events of one socket that are read before connections over the limit are closed."""
_UNPROVED_BYTES = 250
"""CURVE sends less than this before the peer has proved its key: a greeting of 64 and a WELCOME of 170 bytes."""
_RESERVED_FILES = 256
"""Files of this process that are not connections: those of libzmq, of the store, of log, snapshots and HTTP."""
_LOG_INTERVAL_S = 1.0

_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_MONITOR_STOPPED
_ENDED = (zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED)
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors that say nothing about the connection."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, without waiting


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of all sockets together, and of the unacknowledged bytes of one peer. Kernel buffers are not counted."""

    unacknowledged_bytes: int = 256 << 20
    total_unacknowledged_bytes: int = 512 << 20
    total_unread_bytes: int = 64 << 20
    connections: int = 1000


DEFAULT_LIMITS = ConnectionLimits()


@dataclass(slots=True)
class ConnectionCounts:
    """Of all listening TCP sockets of a network, for metrics. `closed`: because they exceeded a limit."""

    open: int = 0
    closed: int = 0


def duplicate(descriptor: int) -> socket.socket:
    """A connection of libzmq, which may close its own descriptor at any time. Raises OSError if it has."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:  # libzmq has closed it, and the number is that of another file by now
        os.close(copy)
        raise


def most_connections(limits: ConnectionLimits) -> int:
    """How many connections this process may have: a third of its files, as hundreds more may arrive at once."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(limits.connections, max(1, (files - _RESERVED_FILES) // 3))


class Traffic:
    """Bytes that the owner of a listening socket has received from and sent to each connection.

    Written by the owner's thread, read by the watch. `is_publisher`: every connection is sent everything.
    """

    def __init__(self, address: str, limits: Limits, *, is_publisher: bool) -> None:
        self.address = address
        self.is_publisher = is_publisher
        self.message_bytes = limits.message_bytes
        self.unread_bytes = SUBSCRIBER_BYTES if is_publisher else limits.unread_bytes
        self.times_empty = 0
        """How often the owner has found that no complete message was left."""
        self._published = 0
        self._received: dict[int, int] = {}  # file descriptor → bytes
        self._sent: dict[int, int] = {}
        self._connections: dict[bytes, int] = {}  # routing id → file descriptor

    def count_received(self, routing_id: bytes, descriptor: int, frames: Iterable[bytes]) -> None:
        size = sum(len(frame) + FRAME_OVERHEAD_BYTES for frame in frames)
        self._received[descriptor] = self._received.get(descriptor, 0) + size
        self._connections[routing_id] = descriptor

    def count_sent(self, routing_id: bytes, size: int) -> None:
        descriptor = self._connections.get(routing_id)
        if descriptor is not None:
            self._sent[descriptor] = self._sent.get(descriptor, 0) + size

    def count_published(self, size: int) -> None:
        self._published += size

    def received(self, descriptor: int) -> int:
        return self._received.get(descriptor, 0)

    def sent(self, descriptor: int) -> int:
        return self._published if self.is_publisher else self._sent.get(descriptor, 0)

    def forget(self, descriptor: int) -> None:
        """Called by the watch when a connection has ended."""
        self._received.pop(descriptor, None)
        self._sent.pop(descriptor, None)
        for routing_id, other in list(self._connections.items()):
            if other == descriptor:
                self._connections.pop(routing_id, None)


@dataclass(slots=True)
class _Connection:
    """One connection, as the watch measured it last. `peer` is the address of the other end."""

    descriptor: int
    peer: Any
    traffic: Traffic
    arrived: int = 0
    received: int = field(init=False)
    unread: int = 0
    unacknowledged: int = 0
    times_empty: int = 0
    checks_of_long_message: int = 0
    sent_base: int = field(init=False)
    acknowledged: int = 0
    acknowledged_base: int = 0
    is_cut: bool = False

    def __post_init__(self) -> None:
        self.received = self.traffic.received(self.descriptor)
        self.sent_base = self.traffic.sent(self.descriptor)

    def measure(self) -> None:
        """Raises OSError if the descriptor is no longer this connection."""
        received, sent = self.traffic.received(self.descriptor), self.traffic.sent(self.descriptor)
        with self._opened() as connection:
            info = tcp_info(connection)
        self._check_for_long_message(self.unread - (received - self.received))
        # Never below zero: FRAME_OVERHEAD_BYTES may be too many, which must not allow the peer more bytes later.
        self.unread = max(0, self.unread + (info.arrived - self.arrived) - (received - self.received))
        self.arrived, self.received, self.acknowledged = info.arrived, received, info.acknowledged
        if info.is_sent:
            # libzmq gives the kernel all it can, so it holds nothing for this peer. Messages that it dropped because
            # the peer's queue was full are not counted from here on.
            self.sent_base, self.acknowledged_base, self.unacknowledged = sent, info.acknowledged, 0
        else:
            self.unacknowledged = max(0, sent - self.sent_base - (info.acknowledged - self.acknowledged_base))

    @property
    def has_proved_key(self) -> bool:
        """Whether this peer was served: without a valid key it only gets a part of a handshake."""
        return self.received > 0 or self.acknowledged > _UNPROVED_BYTES

    def _check_for_long_message(self, still_unread: int) -> None:
        """Counts the checks in a row at which the peer's unfinished message was longer than a valid one.

        `still_unread`: bytes that were unread at the last check and still are.
        """
        times_empty = self.traffic.times_empty
        if times_empty == self.times_empty:
            return  # the owner is busy with messages that are complete
        self.times_empty = times_empty
        is_long = still_unread > self.traffic.message_bytes
        self.checks_of_long_message = self.checks_of_long_message + 1 if is_long else 0

    def excess(self, limits: ConnectionLimits) -> str:
        """Which limit this connection exceeds, "" if none."""
        if self.checks_of_long_message >= _CHECKS_OF_LONG_MESSAGE:
            return f"the peer sends a message of more than {self.traffic.message_bytes} bytes"
        if self.unread > self.traffic.unread_bytes:
            return f"the peer has sent more than {self.traffic.unread_bytes} bytes that are not read yet"
        if self.unacknowledged > limits.unacknowledged_bytes:
            return (
                f"the peer has not acknowledged what it was sent: over {limits.unacknowledged_bytes} bytes wait for it"
            )
        return ""

    def cut(self) -> None:
        """Ends the connection; libzmq then frees the memory that it used for it. Raises OSError if it has ended."""
        self.is_cut = True
        with self._opened() as connection:
            # libzmq then closes it with a reset, which the peer notices even if it waits for room to send.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            connection.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _opened(self) -> Iterator[socket.socket]:
        """Raises OSError if libzmq has closed the connection, also if its descriptor is in use again."""
        with duplicate(self.descriptor) as connection:
            if connection.getpeername() != self.peer:
                raise OSError(errno.ENOTCONN, "the descriptor is of another connection")
            yield connection


class ConnectionWatch:
    """Watches the connections of listening TCP sockets in a thread of its own."""

    def __init__(self, limits: ConnectionLimits, counts: ConnectionCounts) -> None:
        self._limits = limits
        self._counts = counts
        self._max_connections = most_connections(limits)
        self._refused = 0  # connections over the limit since the last line in the log
        self._logged_at_s = -_LOG_INTERVAL_S
        self._lock = threading.Lock()
        self._monitors: list[tuple[Any, Traffic]] = []
        self._connections: dict[tuple[Traffic, int], _Connection] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connection-watch", daemon=True)

    def watch(self, listener: "zmq.Socket[bytes]", address: str, limits: Limits) -> Traffic:
        """Watches a socket, which is to be bound after this. Its owner counts its messages in the result."""
        traffic = Traffic(address, limits, is_publisher=listener.type == zmq.PUB)
        with self._lock:
            self._monitors.append((listener.get_monitor_socket(_EVENTS), traffic))
        if not self._thread.is_alive():
            self._thread.start()
        return traffic

    def stop(self) -> None:
        """Call it before the context of the sockets is closed."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for monitor, _ in self._monitors:
            monitor.close(0)

    def _run(self) -> None:
        next_check_s = 0.0
        while not self._stopping.wait(_EVENT_PAUSE_S):
            with self._lock:
                self._monitors = [one for one in self._monitors if self._read_events(*one)]
                sources = [(monitor, POLLIN) for monitor, _ in self._monitors]
            self._counts.open = len(self._connections)
            self._make_room()
            if time.monotonic() >= next_check_s:
                self._check()
                next_check_s = time.monotonic() + CHECK_S
            zmq.zmq_poll(sources, int(CHECK_S * 1000))

    def _read_events(self, monitor: Any, traffic: Traffic) -> bool:
        """Returns whether the socket is still open."""
        for _ in range(_EVENTS_A_TURN):
            if not monitor.poll(0):
                break
            event = recv_monitor_message(monitor)
            kind, descriptor = event["event"], event["value"]
            if kind == zmq.EVENT_MONITOR_STOPPED:
                monitor.close(0)
                return False
            if kind == zmq.EVENT_ACCEPTED:
                self._add(descriptor, traffic)
            elif kind in _ENDED:
                self._connections.pop((traffic, descriptor), None)
                traffic.forget(descriptor)
        return True

    def _add(self, descriptor: int, traffic: Traffic) -> None:
        try:
            with duplicate(descriptor) as accepted:
                if accepted.family not in (socket.AF_INET, socket.AF_INET6):
                    return
                connection = _Connection(descriptor, accepted.getpeername(), traffic)
        except OSError:
            return  # it has ended already
        self._connections.pop((traffic, descriptor), None)  # so that the order stays that of their age
        self._connections[traffic, descriptor] = connection

    def _make_room(self) -> None:
        """Closes connections over the limit: the oldest whose peers proved no key, then the newest of the others."""
        if len(self._connections) <= self._max_connections:
            return
        self._measure_all()
        living = [one for one in self._connections.values() if not one.is_cut]
        unproved = [one for one in living if not one.has_proved_key]
        proved = [one for one in reversed(living) if one.has_proved_key]
        excess = max(0, len(living) - self._max_connections)
        for connection in (unproved + proved)[:excess]:
            self._refused += 1
            self._cut(connection, self._reason_of_refusal())

    def _reason_of_refusal(self) -> str:
        """ "" if another one was given a moment ago: a flood of connections must not fill the log."""
        now_s = time.monotonic()
        if now_s - self._logged_at_s < _LOG_INTERVAL_S:
            return ""
        refused, self._refused, self._logged_at_s = self._refused, 0, now_s
        return f"there are more than {self._max_connections} connections; {refused} were closed for that lately"

    def _measure_all(self) -> None:
        for connection in list(self._connections.values()):
            self._measure(connection)

    def _measure(self, connection: _Connection) -> None:
        """Measures the connection, and forgets it if it has ended."""
        try:
            connection.measure()
        except OSError as error:
            # libzmq reports the end of most connections, but not of those that end with their listener.
            if error.errno not in _NO_ROOM:
                self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        connection.is_cut = True
        key = connection.traffic, connection.descriptor
        if self._connections.get(key) is connection:
            del self._connections[key]
            connection.traffic.forget(connection.descriptor)

    def _check(self) -> None:
        self._measure_all()
        for connection in list(self._connections.values()):
            reason = connection.excess(self._limits)
            if reason and not connection.is_cut:
                self._cut(connection, reason)
        self._check_total("unread", lambda one: one.unread, self._limits.total_unread_bytes)
        self._check_total("unacknowledged", lambda one: one.unacknowledged, self._limits.total_unacknowledged_bytes)

    def _check_total(self, name: str, size: Callable[[_Connection], int], limit: int) -> None:
        while (total := self._total(size)) > limit:
            largest = max((one for one in self._connections.values() if not one.is_cut), key=size)
            self._cut(largest, f"all connections together have {total} {name} bytes, the limit is {limit}")

    def _total(self, size: Callable[[_Connection], int]) -> int:
        """Sum over the connections. Of a publisher's connections only the largest counts: they share the messages."""
        total, shared = 0, dict[Traffic, int]()
        for connection in self._connections.values():
            if connection.is_cut:
                continue
            if connection.traffic.is_publisher:
                shared[connection.traffic] = max(shared.get(connection.traffic, 0), size(connection))
            else:
                total += size(connection)
        return total + sum(shared.values())

    def _cut(self, connection: _Connection, reason: str) -> None:
        """`reason` is logged, unless it is empty."""
        self._counts.closed += 1
        if reason:
            log.warning(
                "transport.connection_cut",
                address=connection.traffic.address,
                peer=connection.peer,
                unread_bytes=connection.unread,
                unacknowledged_bytes=connection.unacknowledged,
                reason=reason,
            )
        try:
            connection.cut()
        except OSError:
            return  # it has ended by itself
