"""Free loopback addresses for processes of benchmarks, scripts and tests.

Imports only the standard library: scripts use it before anything is installed.
"""

import secrets
import socket
from collections.abc import Iterable
from itertools import chain

HOST = "127.0.0.1"
FIRST_PORT, LAST_PORT = 20_000, 32_767
"""Below Linux's ephemeral port range: an outgoing connection could take a port from there before its server does."""

ZMQ_SETTINGS = ("ENGINE_COMMAND_ADDRESS", "ENGINE_BLOCK_ADDRESS", "ENGINE_RETRANSMIT_ADDRESS")
HTTP_SETTINGS = (
    "ENGINE_HTTP_ADDRESS",
    "SETTLEMENT_HTTP_ADDRESS",
    "GATEWAY_HTTP_ADDRESS",
    "ANALYTICS_HTTP_ADDRESS",
    "ACTIONS_HTTP_ADDRESS",
    "GATEWAY_ADDRESS",
    "WEB_ADDRESS",
)


class NoFreePort(Exception):
    """All ports of the range are in use; the text is one sentence."""


def is_free(port: int) -> bool:
    """Whether a server can listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def are_free(first: int, count: int) -> bool:
    return first + count - 1 <= 65_535 and all(is_free(port) for port in range(first, first + count))


class Ports:
    """Hands out the ports of a range in order, starting at a random one, so that reuse is as late as possible."""

    def __init__(self, first: int = FIRST_PORT, last: int = LAST_PORT) -> None:
        self._first = first
        self._last = last
        self._next = first + secrets.randbelow(last - first + 1)

    def take(self, count: int) -> list[int]:
        """`count` consecutive free ports. Raises NoFreePort."""
        for first in chain(range(self._next, self._last + 2 - count), range(self._first, self._last + 2 - count)):
            if are_free(first, count):
                self._next = first + count
                return list(range(first, first + count))
        raise NoFreePort(f"No {count} consecutive ports from {self._first} to {self._last} are free on {HOST}.")


_ports = Ports()


def free_ports(count: int) -> list[int]:
    """`count` consecutive free ports. Raises NoFreePort."""
    return _ports.take(count)


def use_range(first: int, last: int) -> None:
    """Use this range from now on, so that programs that run at the same time do not collide."""
    global _ports
    _ports = Ports(first, last)


def free_zmq_address() -> str:
    return f"tcp://{HOST}:{free_ports(1)[0]}"


def free_http_address() -> str:
    return f"{HOST}:{free_ports(1)[0]}"


def free_addresses(zmq: Iterable[str] = ZMQ_SETTINGS, http: Iterable[str] = HTTP_SETTINGS) -> dict[str, str]:
    """A free address for each of these settings. Raises NoFreePort."""
    forms = dict.fromkeys(zmq, "tcp://{}:{}") | dict.fromkeys(http, "{}:{}")
    return {
        name: form.format(HOST, port) for (name, form), port in zip(forms.items(), free_ports(len(forms)), strict=True)
    }
