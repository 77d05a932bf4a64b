"""Key files in `DATA_DIR/keys`, a folder that only this account may enter.

    ROLE-NAME.key   a CURVE key pair: JSON with role, name, accounts, public and secret; roles that sign checkpoints
                    also have signing_secret (Ed25519)
    root.key        the private half of the root key, which signs registers (Ed25519, PEM); the first start makes
                    it, then only make_keys, revoke_key and prepare_run sign with it
    root.pub        its public half (PEM), with which everybody verifies a register
    register.json   the newest register that this machine has seen (`register_file`)

Files are written completely or not at all. Everything that is read is checked first: owner, mode, form.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import zmq
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from matching.core.errors import KeysUnusable
from matching.storage.disk import DRAFT, LocalDisk, make_folder
from matching.storage.private_files import read_private, refuse_shared_folder
from matching.transport.key_register import (
    MAX_REGISTER_BYTES,
    SIGNING_ROLES,
    KeyRole,
    OwnKey,
    is_account,
    is_curve_key,
    is_name,
    new_pair,
)
from matching.transport.signing import is_signing_key, new_signing_secret

LOCAL = "local"
"""Name of the keys that the first start makes. Where a role has several key files, a process uses this one."""

_SUFFIX = ".key"
_MAX_KEY_BYTES = MAX_REGISTER_BYTES  # the accounts of a trader take most of it
_MAX_ROOT_BYTES = 4096
_LOCK_POLL_S = 0.02


class KeyFile(NamedTuple):
    own: OwnKey
    accounts: tuple[int, ...]


class KeyFolder:
    """Every method raises KeysUnusable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.register_path = folder / "register.json"
        self.root_path = folder / "root.key"
        self.root_public_path = folder / "root.pub"
        self._disk = LocalDisk()

    @contextmanager
    def locked(self, patience_s: float = 30.0) -> Iterator[None]:
        """A context manager: creates the folder if it is missing, and keeps other processes from changing its files."""
        refuse_shared_folder(self.folder)
        give_up_at_s = time.monotonic() + patience_s
        try:
            make_folder(self.folder)
            while True:
                try:
                    held = self._disk.hold(self.folder / ".lock")
                    break
                except BlockingIOError:
                    if time.monotonic() >= give_up_at_s:
                        raise KeysUnusable(
                            f"Another process has been changing {self.folder} for {patience_s:g} seconds: wait until "
                            "it is done."
                        ) from None
                time.sleep(_LOCK_POLL_S)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        try:
            for draft in self._names(DRAFT):  # of processes that were killed while they wrote
                self._disk.remove(self.folder / draft)
            yield
        finally:
            held.close()

    def path_of(self, role: KeyRole, name: str) -> Path:
        return self.folder / f"{role}-{name}{_SUFFIX}"

    def names(self, role: KeyRole) -> list[str]:
        """The names of the role's key files, sorted."""
        prefix = f"{role}-"
        return [
            file.removeprefix(prefix).removesuffix(_SUFFIX) for file in self._names(_SUFFIX) if file.startswith(prefix)
        ]

    def has_keys(self) -> bool:
        """Whether there is any key file, root.key included."""
        return bool(self._names(_SUFFIX))

    def _names(self, suffix: str) -> list[str]:
        try:
            return self._disk.names(self.folder, suffix)
        except OSError as error:
            raise KeysUnusable(f"{self.folder} cannot be read: {error.strerror}.") from error

    def own_key(self, role: KeyRole, name: str | None = None) -> OwnKey:
        """The key of this role with this name. Without a name: the one named `local`, or else the only one there is."""
        return self.key_file(role, name or self._only_name(role)).own

    def _only_name(self, role: KeyRole) -> str:
        names = self.names(role)
        if LOCAL in names:
            return LOCAL
        if len(names) > 1:
            raise KeysUnusable(
                f"{self.folder} has several keys of the role {role} ({', '.join(names)}): keep the one to use there "
                "and move the others away."
            )
        return names[0] if names else LOCAL

    def key_file(self, role: KeyRole, name: str) -> KeyFile:
        path = self.path_of(role, name)
        refuse_shared_folder(self.folder)
        data = read_private(path, _MAX_KEY_BYTES)
        if data is None:
            raise KeysUnusable(
                f"There is no key {path}: run make_keys {role} {name} where root.key is, and put the file there."
            )
        found = _key_file(data)
        if found is None or (found.own.role, found.own.name) != (role, name):
            raise KeysUnusable(
                f"{path} is not the key file of {role} {name}: put back a copy of it, or make a new key with "
                f"make_keys {role} {name} --replace."
            )
        return found

    def make_key(self, role: KeyRole, name: str, accounts: Sequence[int] = ()) -> KeyFile:
        """Writes a new key. Replaces the file if there is one. Call it while the folder is locked."""
        public, secret = new_pair()
        made = KeyFile(OwnKey(public, secret, role, name, _new_signing_secret(role)), tuple(accounts))
        self._write_key(made)
        return made

    def add_signing_key(self, file: KeyFile) -> KeyFile:
        """Writes a key file of an earlier version again, with a signing key if it has none. Call it while locked."""
        own = file.own
        if own.signing_secret or own.role not in SIGNING_ROLES:
            return file
        completed = file._replace(own=replace(own, signing_secret=_new_signing_secret(own.role)))
        self._write_key(completed)
        return completed

    def _write_key(self, file: KeyFile) -> None:
        own = file.own
        fields = {"role": own.role.value, "name": own.name, "accounts": list(file.accounts)}
        fields |= {"public": own.public, "secret": own.secret}
        if own.signing_secret:
            fields |= {"signing_secret": own.signing_secret}
        self._write(self.path_of(own.role, own.name), json.dumps(fields, indent=1).encode("ascii") + b"\n")

    def make_root(self) -> Ed25519PrivateKey:
        """Writes a new root key, or completes an existing one with its public half. Call it while locked."""
        data = read_private(self.root_path, _MAX_ROOT_BYTES)
        private = Ed25519PrivateKey.generate() if data is None else _private_key(data, self.root_path)
        if data is None:
            pkcs8 = serialization.PrivateFormat.PKCS8
            pem = private.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
            self._write(self.root_path, pem)
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        self._write(self.root_public_path, private.public_key().public_bytes(serialization.Encoding.PEM, info))
        return private

    def root_private(self) -> Ed25519PrivateKey:
        refuse_shared_folder(self.folder)
        data = read_private(self.root_path, _MAX_ROOT_BYTES)
        if data is None:
            raise KeysUnusable(f"There is no {self.root_path}: run this where root.key is kept, or put it there.")
        return _private_key(data, self.root_path)

    def root_public(self) -> Ed25519PublicKey:
        refuse_shared_folder(self.folder)
        path = self.root_public_path
        data = read_private(path, _MAX_ROOT_BYTES, is_secret=False)
        if data is None:
            raise KeysUnusable(f"There is no {path}: copy it from the machine where make_keys runs.")
        return public_root_key(data, path)

    def read_register(self) -> bytes | None:
        """The document in register.json, not verified; None if there is none."""
        return read_private(self.register_path, MAX_REGISTER_BYTES, is_secret=False)

    def write_register(self, document: bytes) -> None:
        """Call it while the folder is locked, with a newer register than the one in the file."""
        self._write(self.register_path, document)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            self._disk.write_whole(path, data)
        except OSError as error:
            raise _unwritable(path, error) from error


def _key_file(data: bytes) -> KeyFile | None:
    """None if the bytes are not a key file, or its halves do not belong together."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    signing_secret = fields.pop("signing_secret", "")
    if fields.keys() != {"role", "name", "accounts", "public", "secret"}:
        return None
    role, name, accounts = fields["role"], fields["name"], fields["accounts"]
    public, secret = fields["public"], fields["secret"]
    if role not in list(KeyRole) or not isinstance(name, str) or not is_name(name):
        return None
    if not isinstance(accounts, list) or not all(map(is_account, accounts)):
        return None
    if not isinstance(public, str) or not isinstance(secret, str) or not is_curve_key(secret):
        return None
    if zmq.curve_public(secret.encode("ascii")).decode("ascii") != public:
        return None
    if signing_secret and not (is_signing_key(signing_secret) and role in SIGNING_ROLES):
        return None
    return KeyFile(OwnKey(public, secret, KeyRole(role), name, signing_secret), tuple(accounts))


def _new_signing_secret(role: KeyRole) -> str:
    return new_signing_secret() if role in SIGNING_ROLES else ""


def public_root_key(data: bytes, path: Path) -> Ed25519PublicKey:
    """The key in the bytes of a root.pub. Raises KeysUnusable, which names `path`."""
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeysUnusable(f"{path} is not a public Ed25519 key: copy it from where make_keys runs.")
    return key


def _private_key(data: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeysUnusable(f"{path} is not a private Ed25519 key in PEM form: put back a copy of it.")
    return key


def _unwritable(path: Path, error: OSError) -> KeysUnusable:
    return KeysUnusable(f"{path} cannot be written: {error.strerror}.")
