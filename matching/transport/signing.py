"""Signed JSON documents: canonical form (sorted names, no spaces) with an Ed25519 signature.

    {"KIND":{…},"signature":"128 hex digits"}

A purpose is signed before the fields, so that a signature for one kind of document is not valid for another.
Signing keys are in text form: 64 hex digits of the raw 32 bytes.
"""

import json
import re
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_KEY = re.compile(r"[0-9a-f]{64}")


class Envelope(NamedTuple):
    """A document that was parsed; the signature is not verified yet."""

    fields: Any
    signature: object

    def is_signed_by(self, public: Ed25519PublicKey, purpose: bytes) -> bool:
        try:
            public.verify(bytes.fromhex(str(self.signature)), purpose + canonical(self.fields))
        except (ValueError, InvalidSignature):
            return False
        return True


def signed_document(kind: str, fields: dict[str, Any], private: Ed25519PrivateKey, purpose: bytes) -> bytes:
    signature = private.sign(purpose + canonical(fields)).hex()
    return canonical({kind: fields, "signature": signature})


def envelope_of(document: bytes, kind: str) -> Envelope | None:
    """None if the document does not have the form that `signed_document` writes. Raises ValueError if it is no JSON."""
    try:
        parsed = json.loads(document)
        is_canonical = canonical(parsed) == document
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(parsed, dict) or parsed.keys() != {kind, "signature"} or not is_canonical:
        return None
    return Envelope(parsed[kind], parsed["signature"])


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def new_signing_secret() -> str:
    return Ed25519PrivateKey.generate().private_bytes_raw().hex()


def signing_public(secret: str) -> str:
    """The public half of a secret that `is_signing_key` accepts."""
    return signing_private(secret).public_key().public_bytes_raw().hex()


def signing_private(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))


def is_signing_key(text: object) -> bool:
    """Whether this is the text form of a signing key, either half."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None
