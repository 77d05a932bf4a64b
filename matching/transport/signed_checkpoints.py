"""Signed checkpoints: engine and settlement state what the chain is at a block, each with its own key.

A checkpoint is one line of JSON, signed with the key that the key register has for the signer:

    {"checkpoint":{"block":n,"exchange":…,"digest":"64 hex digits","name":…,"role":…,"state_hash":"16 hex digits",
     "time_ns":…},"signature":"128 hex digits"}

Copies outside the database show whether the stored blocks are still those that were signed: `digest` covers every
byte of every block up to this one (`matching.core.chain_digest`). The signature of a key counts after the key was
revoked, too: otherwise each new key would end the proof of what was signed before.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from matching.core.chain_digest import ChainPoint
from matching.core.decimals import INT64_MAX
from matching.core.errors import MatchingError
from matching.core.hashes import hash_text, hash_value
from matching.transport.key_register import KeyRegister, KeyRole, OwnKey, is_name
from matching.transport.signing import Envelope, envelope_of, signed_document, signing_private

MAX_CHECKPOINT_BYTES = 1000
"""A longer line is no checkpoint. It fits into a syslog message."""

_PURPOSE = b"open-exchange checkpoint\n"
_FIELDS = {"block", "exchange", "digest", "name", "role", "state_hash", "time_ns"}
_DIGEST = re.compile("[0-9a-f]{64}")
_EXCHANGE = re.compile("[0-9a-f]{16}")
_STATE_HASH = re.compile("[0-9a-f]{16}")


class BadCheckpoint(MatchingError):
    """A document that proves nothing: find out who wrote it."""


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    exchange: str
    role: KeyRole
    name: str
    point: ChainPoint
    time_ns: int
    """When it was signed, by the signer's clock, nanoseconds since the Unix epoch."""

    @property
    def signer(self) -> str:
        return f"{self.role}-{self.name}"

    @property
    def time(self) -> str:
        return f"{datetime.fromtimestamp(self.time_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def sign(own: OwnKey, exchange: str, point: ChainPoint, time_ns: int) -> bytes:
    """The document, without a newline. `own` must have a signing key."""
    fields = {
        "block": point.block_number,
        "exchange": exchange,
        "digest": point.digest.hex(),
        "name": own.name,
        "role": own.role.value,
        "state_hash": hash_text(point.state_hash),
        "time_ns": time_ns,
    }
    return signed_document("checkpoint", fields, signing_private(own.signing_secret), _PURPOSE)


def read_signed(document: bytes, register: KeyRegister) -> SignedCheckpoint:
    """The checkpoint that a registered key has signed. Raises BadCheckpoint."""
    envelope = _envelope(document)
    checkpoint = _checkpoint(envelope.fields)
    if checkpoint.exchange != register.exchange:
        raise BadCheckpoint(f"The checkpoint is of exchange {checkpoint.exchange}, not of {register.exchange}.")
    known = [key for key in register.keys.values() if (key.role, key.name) == (checkpoint.role, checkpoint.name)]
    if not any(_is_signed(envelope, key.signing) for key in known if key.signing):
        raise BadCheckpoint(f"The checkpoint is not signed by a registered key of {checkpoint.role} {checkpoint.name}.")
    return checkpoint


def read_own(document: bytes, own: OwnKey) -> SignedCheckpoint | None:
    """The checkpoint if this key has signed it, else None."""
    try:
        envelope = _envelope(document)
        return _checkpoint(envelope.fields) if _is_signed(envelope, own.signing) else None
    except BadCheckpoint:
        return None


def _envelope(document: bytes) -> Envelope:
    try:
        envelope = envelope_of(document, "checkpoint") if len(document) <= MAX_CHECKPOINT_BYTES else None
    except ValueError:
        envelope = None
    if envelope is None:
        raise BadCheckpoint("The checkpoint is not complete.")
    return envelope


def _is_signed(envelope: Envelope, public: str) -> bool:
    return envelope.is_signed_by(Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)), _PURPOSE)


def _checkpoint(fields: Any) -> SignedCheckpoint:
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise BadCheckpoint("The checkpoint is not complete.")
    block, time_ns = fields["block"], fields["time_ns"]
    texts = [fields[name] for name in ("exchange", "digest", "name", "role", "state_hash")]
    is_sound = (
        all(type(value) is int and 0 <= value <= INT64_MAX for value in (block, time_ns))
        and all(isinstance(value, str) for value in texts)
        and fields["role"] in list(KeyRole)
        and is_name(fields["name"])
        and _EXCHANGE.fullmatch(fields["exchange"])
        and _DIGEST.fullmatch(fields["digest"])
        and _STATE_HASH.fullmatch(fields["state_hash"])
    )
    if not is_sound:
        raise BadCheckpoint("The checkpoint is not complete.")
    point = ChainPoint(block, hash_value(fields["state_hash"]), bytes.fromhex(fields["digest"]))
    return SignedCheckpoint(fields["exchange"], KeyRole(fields["role"]), fields["name"], point, time_ns)
