"""The real network: sockets of a ZeroMQ context. With keys every `tcp://` socket is CURVE (see `transport.curve`).

`ipc://` sockets have no keys. Only this user can open their files (0600, in a folder that nobody else can write to), so
every peer is a process of this user, and may do everything.
"""

import math
import os
import socket as unix
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import zmq

from matching.transport.curve import Admission, ConnectedSocket, CurvePublisherSocket, CurveRouterSocket, Security
from matching.transport.key_register import KeyRole
from matching.transport.listening.connections import DEFAULT_LIMITS, ConnectionCounts, ConnectionLimits, ConnectionWatch
from matching.transport.listening.sockets import PublisherSocket, RouterSocket
from matching.transport.sockets import (
    ALL_ROLES,
    POLLIN,
    AddressUnusable,
    Kind,
    Limits,
    RawSocket,
    ZmqSocket,
    error_text,
)

_IPC = "ipc://"
_IO_THREAD, _BULK_IO_THREAD = 1, 2
"""Bits of ZMQ_AFFINITY: the thread that encrypts and sends a socket's messages."""
HANDSHAKE_MS = 5000
"""A connection that has not finished its handshake by then is closed."""


class ZmqNetwork:
    """A ZeroMQ context with its I/O threads. Without `security` sockets have no keys and everyone is `LOCAL_PEER`."""

    def __init__(
        self,
        security: Security | None = None,
        limits: ConnectionLimits = DEFAULT_LIMITS,
        counts: ConnectionCounts | None = None,
    ) -> None:
        """`limits` are those of the connections to all sockets that listen on TCP; `counts` is kept up to date."""
        self._context: zmq.Context[RawSocket] = zmq.Context(io_threads=2)
        self._connections = ConnectionWatch(limits, counts or ConnectionCounts())
        self._security = security
        self._admission: Admission | None = None
        self._server_keys: dict[str, str] = {}  # address → key that it proved last

    def bind(self, kind: Kind, address: str, limits: Limits, admits: Collection[KeyRole] = ALL_ROLES) -> ZmqSocket:
        """See `Network`. Roles are checked on `tcp://` sockets with keys only."""
        if address.startswith(_IPC):
            return self._bind_file(kind, address, limits)
        raw = self._raw(kind, address, limits)
        try:
            traffic = self._connections.watch(raw, address, limits)
            if self._security is None:
                raw.bind(address)
                return PublisherSocket(raw, traffic) if kind is Kind.PUB else RouterSocket(raw, traffic)
            self._admit(self._security, address, admits)
            listening = CurvePublisherSocket if kind is Kind.PUB else CurveRouterSocket
            return listening(raw, traffic, self._security)
        except zmq.ZMQError as error:
            raw.close()
            raise AddressUnusable(f"Cannot listen on {address}: {error_text(error)}.") from error

    def connect(self, kind: Kind, address: str, limits: Limits, topic: bytes = b"") -> ZmqSocket:
        if self._security is not None and not address.startswith(_IPC):
            return self._connect_with_keys(self._security, kind, address, limits, topic)
        if address.startswith(_IPC):
            _refuse_open_folder(_socket_file(address).parent)
        return ZmqSocket(self._connected(self._raw(kind, address, limits), kind, address, topic))

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        connected = [socket for socket in sockets if isinstance(socket, ConnectedSocket)]
        while True:
            timeout_ms = max(0, math.ceil((deadline_s - time.monotonic()) * 1000))
            for socket in connected:
                timeout_ms = min(timeout_ms, socket.check_connection())
            sources: list[Any] = [(socket.raw, POLLIN) for socket in sockets]
            sources += [(socket.monitor, POLLIN) for socket in connected]
            ready = zmq.zmq_poll(sources, timeout_ms)
            monitors = [socket.monitor for socket in connected]
            if any(source not in monitors for source, _ in ready):
                return True
            if time.monotonic() >= deadline_s:
                return False

    def close(self) -> None:
        if self._admission is not None:
            self._admission.stop()
        self._connections.stop()
        self._context.term()

    def _connect_with_keys(
        self, security: Security, kind: Kind, address: str, limits: Limits, topic: bytes
    ) -> ConnectedSocket:
        def open_raw(raw: RawSocket) -> None:
            self._connected(raw, kind, address, topic)

        return ConnectedSocket(
            lambda: self._raw(kind, address, limits),
            open_raw,
            address=address,
            queue=limits.send_queue,
            security=security,
            proved=self._server_keys,
        )

    def _connected(self, raw: RawSocket, kind: Kind, address: str, topic: bytes) -> RawSocket:
        """Connects, and subscribes a SUB socket. Raises AddressUnusable."""
        try:
            raw.connect(address)
        except zmq.ZMQError as error:
            raw.close()
            raise AddressUnusable(f"{address} is not an address to connect to: {error_text(error)}.") from error
        if kind is Kind.SUB:
            raw.subscribe(topic)
        return raw

    def _bind_file(self, kind: Kind, address: str, limits: Limits) -> ZmqSocket:
        path = _socket_file(address)
        _make_private_folder(path.parent, address)
        if _has_listener(path):
            raise AddressUnusable(f"Cannot listen on {address}: another process listens there already.")
        raw = self._raw(kind, address, limits)
        before = os.umask(0o177)  # the socket's file is made with mode 0600
        try:
            raw.bind(address)
        except zmq.ZMQError as error:
            raw.close()
            raise AddressUnusable(f"Cannot listen on {address}: {error_text(error)}.") from error
        finally:
            os.umask(before)
        return ZmqSocket(raw)

    def _admit(self, security: Security, address: str, roles: Collection[KeyRole]) -> None:
        if self._admission is None:
            self._admission = Admission(self._context, security)
        self._admission.admit(address, roles)

    def _raw(self, kind: Kind, address: str, limits: Limits) -> RawSocket:
        socket = self._context.socket(kind.value)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, limits.frame_bytes)
        socket.setsockopt(zmq.RCVHWM, limits.receive_queue)
        socket.setsockopt(zmq.SNDHWM, limits.send_queue)
        socket.setsockopt(zmq.IPV6, int("[" in address))
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        socket.setsockopt(zmq.AFFINITY, _BULK_IO_THREAD if limits.is_bulk else _IO_THREAD)
        if kind is Kind.ROUTER:
            # Report a peer that is gone or whose queue is full as an error. The default drops the message silently.
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        return socket


def _socket_file(address: str) -> Path:
    """Raises AddressUnusable for a socket of Linux's abstract names, which every user can open."""
    path = address.removeprefix(_IPC)
    if path.startswith("@"):
        raise AddressUnusable(f"{address} has no file, so every user could open it: use ipc:// and the path of a file.")
    return Path(path)


def _make_private_folder(folder: Path, address: str) -> None:
    """Creates the folder of a socket's file, if it is missing. Raises AddressUnusable."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise AddressUnusable(f"Cannot listen on {address}: {str(error.strerror).lower()}.") from error
    _refuse_open_folder(folder)


def _refuse_open_folder(folder: Path) -> None:
    """Raises AddressUnusable if another user could put a socket of his own into this folder."""
    try:
        found = folder.stat()
    except OSError:
        return  # nobody listens there
    if found.st_mode & 0o022 or found.st_uid not in (0, os.geteuid()):
        raise AddressUnusable(
            f"The folder {folder} of an ipc:// socket can be written to by other users: use a folder of your own with "
            "mode 0700."
        )


def _has_listener(path: Path) -> bool:
    """Whether a process listens on this socket file. libzmq does not check this and replaces the file."""
    with unix.socket(unix.AF_UNIX, unix.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
