"""An API key, as requests are verified with it."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol

Network = IPv4Network | IPv6Network


class Permission(StrEnum):
    READ = "read"
    TRADE = "trade"


class KeyType(StrEnum):
    HMAC = "hmac"
    ED25519 = "ed25519"
    RSA = "rsa"


class Verifier(Protocol):
    def matches(self, signed: bytes, signature: str) -> bool:
        """Whether `signature` is that of these bytes by this key."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`name` is what a client sends to say which key it uses.

    `networks` are the addresses from which the key may be used; none: from anywhere.
    """

    name: str
    account: int
    type: KeyType
    verifier: Verifier
    permissions: frozenset[Permission]
    networks: tuple[Network, ...] = ()

    def may_be_used_from(self, address: str) -> bool:
        if not self.networks:
            return True
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.networks if network.version == found.version)
