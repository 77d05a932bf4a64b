"""A peer that speaks ZMTP by hand (RFC 23, mechanism NULL), to send what libzmq never sends."""

import socket
import struct
from types import TracebackType
from typing import Self

_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_MORE, _LONG, _COMMAND = 1, 2, 4
_LONGEST_SHORT = 255


class RawPeer:
    """A connection to `tcp://` address, after the handshake. `kind`: the socket type that the peer claims to be."""

    def __init__(self, address: str, kind: bytes = b"DEALER", timeout_s: float = 10.0) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self.connection = socket.create_connection((host, int(port)), timeout_s)
        self.connection.sendall(_GREETING)
        self._read(len(_GREETING))
        body = b"\x05READY" + _property(b"Socket-Type", kind) + _property(b"Identity", b"")
        self.connection.sendall(bytes([_COMMAND, len(body)]) + body)
        self._read(self._read(2)[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.connection.close()

    def send_frame(self, data: bytes, *, more: bool) -> None:
        """Raises OSError when the connection has ended."""
        if len(data) > _LONGEST_SHORT:
            head = bytes([_LONG | (_MORE if more else 0)]) + struct.pack(">Q", len(data))
        else:
            head = bytes([_MORE if more else 0, len(data)])
        self.connection.sendall(head + data)

    def send_message(self, *frames: bytes) -> None:
        """Raises OSError when the connection has ended."""
        for frame in frames[:-1]:
            self.send_frame(frame, more=True)
        self.send_frame(frames[-1], more=False)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.connection.recv(size - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return data


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
