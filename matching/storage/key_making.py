"""What the root key is used for: registering a key, and revoking one. Each gives a new register with the next serial.

Nothing else signs with root.key after the first start, which makes it and signs the first register (`local_keys`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from matching.core.errors import KeysUnusable, MatchingError
from matching.storage.key_files import KeyFile, KeyFolder
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import (
    SIGNING_ROLES,
    KeyRegister,
    KeyRole,
    OwnKey,
    RegisteredKey,
    encode_signed,
    exchange_of,
    is_name,
)


class KeyRefused(MatchingError):
    """The key cannot be made or revoked as asked: correct the request."""


class MadeKey(NamedTuple):
    own: OwnKey
    accounts: tuple[int, ...]
    serial: int
    replaces: tuple[str, ...]
    """Public keys of the same role and name, which stay valid until they are revoked."""


def make_key(
    keys: KeyFolder, role: KeyRole, name: str, accounts: Sequence[int] = (), *, replacing: bool = False
) -> MadeKey:
    """Makes a key file and registers its public half. Raises KeyRefused, KeysUnusable, BadKeyRegister.

    `replacing`: there may be such a key already. A trader's new key has the accounts of the old one unless others are
    given.
    """
    if not is_name(name):
        raise KeyRefused(
            f"{name!r} cannot be the name of a key: use lowercase letters, digits, dots, hyphens and underscores, at "
            "most 64, and begin with a letter or digit."
        )
    if accounts and role is not KeyRole.TRADER:
        raise KeyRefused(f"A key of the role {role} has no accounts: only a trader has.")
    with keys.locked():
        register, root = _opened(keys)
        old = [key for key in register.active(role) if key.name == name]
        if not replacing and (old or keys.path_of(role, name).exists()):
            raise KeyRefused(f"There is a key {role} {name} already: choose another name, or add --replace.")
        chosen = tuple(dict.fromkeys(accounts or (old[-1].accounts if old else ())))
        if role is KeyRole.TRADER and not chosen:
            raise KeyRefused("A trader's key needs the accounts that it may use: give --account NUMBER.")
        # The file first: a registered key without its secret is useless; a file without a registered key is replaced.
        own = keys.make_key(role, name, chosen).own
        register = register.with_key(RegisteredKey(own.public, role, name, chosen, signing=own.signing))
        keys.write_register(encode_signed(register, root))
    return MadeKey(own, chosen, register.serial, tuple(key.public for key in old))


def revoke_key(keys: KeyFolder, public: str) -> KeyRegister:
    """Revokes a registered key; returns the register. Does nothing if it is revoked already.

    Raises KeyRefused if it was never registered, KeysUnusable, BadKeyRegister.
    """
    with keys.locked():
        register, root = _opened(keys)
        key = register.find(public)
        if key is None:
            raise KeyRefused(f"The key {public} is not registered: list_keys shows those that are.")
        if not key.revoked:
            register = register.with_key(replace(key, revoked=True))
            keys.write_register(encode_signed(register, root))
    return register


def complete_signing_keys(keys: KeyFolder) -> int:
    """Adds signing keys to this machine's key files of an earlier version, and registers them; returns how many.

    Their other keys stay the same. Does nothing without root.key. Raises KeysUnusable, BadKeyRegister.
    """
    if not keys.root_path.exists() or not _without_signing_key(keys, RegisterFile(keys).current()):
        return 0
    with keys.locked():
        register, root = _opened(keys)
        incomplete = _without_signing_key(keys, register)
        for key, file in incomplete:
            register = register.with_key(replace(key, signing=keys.add_signing_key(file).own.signing))
        keys.write_register(encode_signed(register, root))
    return len(incomplete)


def _without_signing_key(keys: KeyFolder, register: KeyRegister) -> list[tuple[RegisteredKey, KeyFile]]:
    """The registered keys that could sign and have no signing key yet, and whose files are here."""
    found = []
    for key in (key for role in SIGNING_ROLES for key in register.active(role)):
        if not key.signing and key.name in keys.names(key.role):
            file = keys.key_file(key.role, key.name)
            if file.own.public == key.public:
                found.append((key, file))
    return found


def public_key_of(register: KeyRegister, role: KeyRole, name: str) -> str:
    """The public key with this role and name: the one that is not revoked, else the last one. Raises KeyRefused."""
    found = [key for key in register.keys.values() if (key.role, key.name) == (role, name)]
    active = [key for key in found if not key.revoked]
    if len(active) > 1:
        listed = ", ".join(f"'{key.public}'" for key in active)
        raise KeyRefused(f"There are {len(active)} keys {role} {name}: name the public key, one of {listed}.")
    if not found:
        raise KeyRefused(f"There is no key {role} {name}: list_keys shows those that are registered.")
    return (active or found)[-1].public


def _opened(keys: KeyFolder) -> tuple[KeyRegister, Ed25519PrivateKey]:
    """The register to change and the key that signs it. Call it while the folder is locked."""
    root = keys.root_private()
    register = RegisterFile(keys).current()
    if exchange_of(root.public_key()) != register.exchange:
        raise KeysUnusable(
            f"{keys.root_path} and {keys.root_public_path} do not belong together: put back the right one."
        )
    return register, root
