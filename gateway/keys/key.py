"""An API key as requests are verified with it."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network


class Permission(StrEnum):
    READ = "read"
    TRADE = "trade"


class KeyType(StrEnum):
    HMAC = "hmac"
    ED25519 = "ed25519"
    RSA = "rsa"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`verifier` is the secret of an HMAC key, else the public key in PEM form.

    `networks` are the addresses from which the key may be used; none: from anywhere.
    """

    name: str
    account: int
    type: KeyType
    verifier: bytes
    permissions: frozenset[Permission]
    networks: tuple[Network, ...] = ()
