"""Parsing of addresses in settings: `tcp://HOST:PORT` and `ipc://PATH` for ZeroMQ, `HOST:PORT` for HTTP."""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit


class AddressError(ValueError):
    """The text is not an address of the expected form."""


class PortInUseError(OSError):
    """The port is in use, or cannot be used."""


@dataclass(frozen=True, slots=True)
class HostPort:
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a host name: not resolved here, so it does not count as loopback
            return False

    @property
    def url(self) -> str:
        """URL for a browser on this machine; a wildcard address is replaced by loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  (nothing is bound here)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


def parse_host_port(text: str) -> HostPort:
    """Parses `127.0.0.1:8000`, `[::1]:8000` or `localhost:8000`. Raises AddressError."""
    refusal = AddressError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8000")
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refusal from None
    extra = parts.username or parts.path or parts.query or parts.fragment
    if not host or not port or extra or any(letter.isspace() for letter in text):
        raise refusal
    return HostPort(host, port)


def parse_zmq_endpoint(text: str) -> HostPort | None:
    """Host and port of `tcp://HOST:PORT`; None for `ipc://PATH`, which is local to the machine. Raises AddressError."""
    if text.startswith("ipc://") and len(text) > len("ipc://"):
        return None
    if not text.startswith("tcp://"):
        raise AddressError(f"{text!r} is not tcp://HOST:PORT or ipc://PATH")
    try:
        return parse_host_port(text.removeprefix("tcp://"))
    except AddressError:
        raise AddressError(f"{text!r} is not tcp://HOST:PORT or ipc://PATH") from None


def refuse_port_in_use(address: HostPort) -> None:
    """Raises PortInUseError if the address cannot be bound, AddressError if the host is unknown."""
    with socket.socket(address.family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except socket.gaierror:
            raise AddressError(f"{address.host} is not a known host") from None
        except OSError as error:
            raise PortInUseError(
                error.errno, f"{address.host}:{address.port} cannot be used: {error.strerror}"
            ) from None
