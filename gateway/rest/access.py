"""Who may send a request: its key, its permission, its signature and its time.

The key is judged first, then the parameters of the signature and the time, last the signature, because verifying one
costs the most.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.keys.key import ApiKey, Permission
from gateway.rest import errors, timing
from gateway.rest.errors import ApiError
from gateway.rest.parameters import Parameters
from gateway.rest.route import Security
from gateway.rest.sent import Sent

_KEY_LENGTH = 64
SIGNED = (Security.READ, Security.TRADE)
"""What needs a signature. A tuple, because members are found in it by identity, without a hash in Python."""
SIGNING_PARAMETERS = frozenset({"timestamp", "recvWindow"})


class Keys(Protocol):
    def find(self, name: str) -> ApiKey | None:
        """The key with this name; None if there is none, or if it is revoked."""

    def note_use(self, name: str) -> None:
        """Records that a client uses this key."""


def key_for(keys: Keys, name: str, security: Security, address: str) -> ApiKey:
    """The key that a client names, if it may be used for this. Raises ApiError."""
    if len(name) != _KEY_LENGTH or not name.isalnum():
        raise ApiError(-2014, "API-key format invalid.", status=401)
    key = keys.find(name)
    if key is None or not (_permits(key, security) and key.may_be_used_from(address)):
        raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
    keys.note_use(name)
    return key


def _permits(key: ApiKey, security: Security) -> bool:
    if security is Security.TRADE:
        return Permission.TRADE in key.permissions
    return security is not Security.READ or Permission.READ in key.permissions


def expires_at_us(values: Mapping[str, str], now_us: Callable[[], int]) -> int:
    """Verifies the time; returns the last microsecond at which the request counts. Raises ApiError."""
    return timing.expires_at_us(Parameters(values), now_us())


def verify(key: ApiKey, sent: Sent, now_us: Callable[[], int]) -> int:
    """Verifies time and signature; returns the last microsecond at which the request counts. Raises ApiError."""
    last_us = expires_at_us(sent.values, now_us)
    if sent.signature is None:
        raise errors.missing("signature")
    if not sent.signature or not key.verifier.matches(sent.signed_bytes, sent.signature):
        raise ApiError(-1022, "Signature for this request is not valid.")
    return last_us
