"""The key register: the public keys that may speak to this exchange, each with its role, signed by the root key.

A register is one signed document (`matching.transport.signing`). It has a serial that
rises with every change. Readers keep the highest serial they have seen, so that a revoked key does not come back with
an old copy of the register. The store only passes the document on: it cannot sign one.

    {"register":{"exchange":…,"keys":[{"accounts":[…],"name":…,"public":…,"revoked":…,"role":…}…],"serial":n},
     "signature":"128 hex digits"}

Public keys of sockets are CURVE keys in Z85 text (ZeroMQ RFC 26 and 32). A role that signs checkpoints also has an
Ed25519 key, in the field `signing`; keys of an earlier version lack it.
"""

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import xxhash
import zmq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from zmq.utils import z85

from matching.core.decimals import INT64_MAX
from matching.core.errors import MatchingError
from matching.transport.signing import Envelope, envelope_of, is_signing_key, signed_document, signing_public

MAX_REGISTER_BYTES = 1 << 20
"""Size limit of a document: some six thousand keys."""

KEY_CHARACTERS = 40
_EXCHANGE_DIGITS = 16
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SIGNED_FOR = b"open-exchange key register\n"


class BadKeyRegister(MatchingError):
    """A register that must not be used: keep the previous one, and find out who wrote this one."""


class KeyRole(StrEnum):
    """What a key may do. The values are those of key files and of the register."""

    ENGINE = "engine"
    TRADER = "trader"
    TREASURY = "treasury"
    OPERATOR = "operator"
    GATEWAY = "gateway"
    SETTLEMENT = "settlement"
    FOLLOWER = "follower"
    OBSERVER = "observer"
    LOCAL = "local"  # everything: for the commands on the machine of the engine


SIGNING_ROLES = (KeyRole.ENGINE, KeyRole.FOLLOWER, KeyRole.SETTLEMENT)
"""The roles that sign checkpoints."""


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    public: str
    """CURVE public key in Z85 text."""
    role: KeyRole
    name: str
    accounts: tuple[int, ...] = ()
    """The accounts a trader may use; empty: none. Keys of other roles have none."""
    revoked: bool = False
    signing: str = ""
    """Public Ed25519 key that verifies this key's checkpoints; "": it signs none."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """The key of this process. The secrets are not shown in logs."""

    public: str
    secret: str = field(repr=False)
    role: KeyRole
    name: str
    signing_secret: str = field(default="", repr=False)

    @property
    def signing(self) -> str:
        """The public half of the signing key; "" if it has none."""
        return signing_public(self.signing_secret) if self.signing_secret else ""


@dataclass(frozen=True, slots=True)
class KeyRegister:
    serial: int
    exchange: str
    """Identity of the exchange: `exchange_of` its root key."""
    keys: Mapping[str, RegisteredKey] = field(default_factory=dict)
    """By public key."""

    def find(self, public: str) -> RegisteredKey | None:
        """The key, which may be revoked; None if it was never registered."""
        return self.keys.get(public)

    def active(self, role: KeyRole) -> list[RegisteredKey]:
        """The keys of a role that are not revoked, in the order in which they were registered."""
        return [key for key in self.keys.values() if key.role is role and not key.revoked]

    def with_key(self, key: RegisteredKey) -> "KeyRegister":
        """The next register, in which `key` is added or replaces the entry with the same public key."""
        return replace(self, serial=self.serial + 1, keys={**self.keys, key.public: key})


def exchange_of(root_public: Ed25519PublicKey) -> str:
    """The identity of an exchange: the first 16 hex digits of the SHA-256 of its root public key."""
    return hashlib.sha256(root_public.public_bytes_raw()).hexdigest()[:_EXCHANGE_DIGITS]


def new_pair() -> tuple[str, str]:
    """A new CURVE key pair: public and secret key in Z85 text."""
    while True:
        public, secret = (half.decode("ascii") for half in zmq.curve_keypair())
        if not public.startswith("-"):  # a command line would take it for an option
            return public, secret


def is_name(text: str) -> bool:
    """Whether `text` can be the name of a key, which is also a part of the name of its file."""
    return _NAME.fullmatch(text) is not None


def is_curve_key(text: str) -> bool:
    """Whether `text` is a CURVE key in Z85 text."""
    if len(text) != KEY_CHARACTERS:
        return False
    try:
        z85.decode(text)
    except (KeyError, ValueError, struct.error):  # another character, not ASCII, a group of more than 32 bits
        return False
    return True


def owner_of(key: RegisteredKey | None) -> int:
    """The owner of this key's requests: see `layout.REQUEST`. 0 for a socket without keys."""
    return _digest_of(key.public) if key is not None else 0


@lru_cache(maxsize=4096)
def _digest_of(public: str) -> int:
    return xxhash.xxh3_64_intdigest(z85.decode(public)) or 1 if public else 0


def newer(current: KeyRegister | None, other: KeyRegister) -> KeyRegister:
    """The register with the higher serial. Raises BadKeyRegister if the two contradict each other."""
    if current is None or current == other:
        return other
    if current.exchange != other.exchange:
        raise BadKeyRegister(f"A key register of exchange {other.exchange} was found, and this is {current.exchange}.")
    if current.serial == other.serial:
        raise BadKeyRegister(
            f"Two different key registers have the serial {other.serial}: the root key was used in two places at once."
        )
    return max(current, other, key=lambda register: register.serial)


def encode_signed(register: KeyRegister, root_private: Ed25519PrivateKey) -> bytes:
    """The document. Raises BadKeyRegister if the register has more keys than fit."""
    document = signed_document("register", _fields(register), root_private, _SIGNED_FOR)
    if len(document) > MAX_REGISTER_BYTES:
        raise BadKeyRegister(f"The key register has {len(register.keys)} keys, more than fit into 1 MiB.")
    return document


def decode_signed(document: bytes, root_public: Ed25519PublicKey) -> KeyRegister:
    """The register in a document that the root key has signed. Raises BadKeyRegister for any other bytes."""
    envelope = _parsed(document)
    fields = envelope.fields
    expected = exchange_of(root_public)
    if isinstance(fields, dict) and fields.get("exchange") != expected:
        raise BadKeyRegister(
            f"The key register is of another exchange ({_shown(fields.get('exchange'))}), not of {expected}, whose "
            "root.pub is in DATA_DIR/keys."
        )
    if not envelope.is_signed_by(root_public, _SIGNED_FOR):
        raise BadKeyRegister(
            "The key register is not signed by this exchange's root key: it was changed, or made by somebody else."
        )
    return _register(fields)


def _parsed(document: bytes) -> Envelope:
    if len(document) > MAX_REGISTER_BYTES:
        raise BadKeyRegister("The key register is larger than 1 MiB.")
    try:
        envelope = envelope_of(document, "register")
    except ValueError as error:
        raise BadKeyRegister("The key register is not JSON.") from error
    if envelope is None:
        raise BadKeyRegister("The key register does not have the form that make_keys writes.")
    return envelope


def _register(fields: object) -> KeyRegister:
    if not isinstance(fields, dict) or fields.keys() != {"exchange", "keys", "serial"}:
        raise BadKeyRegister("The key register must have the fields exchange, keys and serial.")
    serial, listed = fields["serial"], fields["keys"]
    if type(serial) is not int or not 1 <= serial <= INT64_MAX:
        raise BadKeyRegister(f"The key register has the serial {_shown(serial)}: it must be 1 or more.")
    if not isinstance(listed, list):
        raise BadKeyRegister("The keys of the key register must be a list.")
    keys: dict[str, RegisteredKey] = {}
    for number, entry in enumerate(listed, 1):
        key = _key(entry, number)
        if key.public in keys:
            raise BadKeyRegister(f"Key {number} of the key register is listed twice.")
        keys[key.public] = key
    return KeyRegister(serial, fields["exchange"], keys)


def _key(entry: object, number: int) -> RegisteredKey:
    where = f"Key {number} of the key register"
    if not isinstance(entry, dict) or entry.keys() - {"signing"} != {"accounts", "name", "public", "revoked", "role"}:
        raise BadKeyRegister(f"{where} must have the fields accounts, name, public, revoked and role.")
    public, role, name = entry["public"], entry["role"], entry["name"]
    accounts, revoked = entry["accounts"], entry["revoked"]
    if not (isinstance(public, str) and is_curve_key(public)):
        raise BadKeyRegister(f"{where} is not a CURVE key in Z85 text: {_shown(public)}.")
    if role not in list(KeyRole):
        raise BadKeyRegister(f"{where} has the unknown role {_shown(role)}.")
    if not (isinstance(name, str) and is_name(name)):
        raise BadKeyRegister(f"{where} has the invalid name {_shown(name)}.")
    if not (isinstance(accounts, list) and all(map(is_account, accounts)) and (role == KeyRole.TRADER or not accounts)):
        raise BadKeyRegister(f"{where} has invalid accounts: {_shown(accounts)}.")
    if not isinstance(revoked, bool):
        raise BadKeyRegister(f"{where} has the invalid value {_shown(revoked)} for revoked: it must be true or false.")
    signing = entry.get("signing", "")
    if "signing" in entry and not (is_signing_key(signing) and role in SIGNING_ROLES):
        raise BadKeyRegister(f"{where} has an invalid signing key: {_shown(signing)}.")
    return RegisteredKey(public, KeyRole(role), name, tuple(accounts), revoked, signing)


def is_account(value: object) -> bool:
    """Whether `value` can be the number of an account."""
    return type(value) is int and 0 <= value <= INT64_MAX


def _fields(register: KeyRegister) -> dict[str, Any]:
    keys = [
        {
            "accounts": list(key.accounts),
            "name": key.name,
            "public": key.public,
            "revoked": key.revoked,
            "role": key.role.value,
            **({"signing": key.signing} if key.signing else {}),
        }
        for key in register.keys.values()
    ]
    return {"exchange": register.exchange, "keys": keys, "serial": register.serial}


def _shown(value: object) -> str:
    return repr(value)[:80]
