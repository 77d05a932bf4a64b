"""What the kernel knows about a TCP connection (Linux, tcp(7), `TCP_INFO`)."""

import socket
import struct
from typing import NamedTuple


class TcpInfo(NamedTuple):
    acknowledged: int  # bytes
    arrived: int  # bytes
    is_sent: bool  # the peer has acknowledged everything that the kernel was given


_ACKED, _RECEIVED, _UNACKED, _NOT_SENT = 120, 128, 24, 144
"""Offsets in the kernel's struct tcp_info (include/uapi/linux/tcp.h)."""


def tcp_info(connection: socket.socket) -> TcpInfo:
    """Raises OSError for a socket that is not a TCP connection."""
    data = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    (acked,), (received,) = struct.unpack_from("=Q", data, _ACKED), struct.unpack_from("=Q", data, _RECEIVED)
    (unacked,), (not_sent,) = struct.unpack_from("=I", data, _UNACKED), struct.unpack_from("=I", data, _NOT_SENT)
    return TcpInfo(acked, received, unacked == 0 and not_sent == 0)
