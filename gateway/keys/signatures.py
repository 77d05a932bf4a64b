"""Signatures of requests: HMAC-SHA256 as hex digits, Ed25519 and RSA (PKCS #1 v1.5, SHA-256) as base64."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.keys.errors import BadKey
from gateway.keys.key import KeyType, Verifier

_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 4096
"""Verifying takes longer with a longer key, and a request costs that before anybody is known to have sent it."""


@dataclass(frozen=True, slots=True)
class HmacVerifier:
    secret: bytes = field(repr=False)
    _keyed: hmac.HMAC = field(init=False, repr=False, compare=False)
    """The state after the secret, which costs as much as a request and is the same for all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keyed", hmac.new(self.secret, digestmod=hashlib.sha256))

    def matches(self, signed: bytes, signature: str) -> bool:
        """Hex digits in either case."""
        expected = self._keyed.copy()
        expected.update(signed)
        return hmac.compare_digest(expected.hexdigest().encode("ascii"), signature.lower().encode("utf-8"))


@dataclass(frozen=True, slots=True)
class Ed25519Verifier:
    key: Ed25519PublicKey

    def matches(self, signed: bytes, signature: str) -> bool:
        found = _decoded(signature)
        if found is None:
            return False
        try:
            self.key.verify(found, signed)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class RsaVerifier:
    key: RSAPublicKey

    def matches(self, signed: bytes, signature: str) -> bool:
        found = _decoded(signature)
        if found is None:
            return False
        try:
            self.key.verify(found, signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


def verifier(key_type: KeyType, material: bytes) -> Verifier:
    """`material` is the secret of an HMAC key, else the public key in PEM form. Raises BadKey."""
    if key_type is KeyType.HMAC:
        return HmacVerifier(material)
    return public_key(material)[1]


def public_key(pem: bytes) -> tuple[KeyType, Verifier]:
    """Raises BadKey unless it is an Ed25519 key or an RSA key of 2048 to 4096 bits."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("This is not a public key in PEM form (-----BEGIN PUBLIC KEY-----).") from error
    if isinstance(key, Ed25519PublicKey):
        return KeyType.ED25519, Ed25519Verifier(key)
    if not isinstance(key, RSAPublicKey):
        raise BadKey("The public key is neither an Ed25519 key nor an RSA key.")
    if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        raise BadKey(f"An RSA key needs {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits, and this one has {key.key_size}.")
    return KeyType.RSA, RsaVerifier(key)


def _decoded(signature: str) -> bytes | None:
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return None
