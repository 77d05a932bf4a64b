"""The address of a client that is behind a proxy: what the header X-Forwarded-For says, if the proxy is trusted.

Each proxy appends the address that it was asked from. So the client is the last address in the header that is not
itself that of a trusted proxy; what stands before it may have been written by the client.

    peer 10.0.0.1 (trusted)   X-Forwarded-For: 198.51.100.9, 203.0.113.7   client 203.0.113.7
    peer 192.0.2.5            X-Forwarded-For: 203.0.113.7                 client 192.0.2.5
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

HEADER = "x-forwarded-for"


class TrustedProxies:
    """`trusted` are addresses and networks. Raises ValueError for another text."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks = [ip_network(one) for one in trusted]

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)

    def client_of(self, peer: str, forwarded: Iterable[str]) -> str:
        """The client's address. `peer` is that of the connection, `forwarded` are the values of the header."""
        if peer not in self:
            return peer
        listed = [address for value in forwarded for one in value.split(",") if (address := _without_port(one.strip()))]
        for address in reversed(listed):
            if address not in self:
                return address
        return listed[0] if listed else peer


def _without_port(text: str) -> str:
    """`192.0.2.1:80` and `[2001:db8::1]:80` without their port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, _, port = text.partition(":")
    return text if ":" in port else host
