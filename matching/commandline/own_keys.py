"""The keys in DATA_DIR, for every process that opens sockets: its own key, and the register of its peers' keys."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from matching.core.errors import KeysUnusable
from matching.storage.key_files import KeyFolder
from matching.storage.register_file import RegisterFile
from matching.transport.curve import Security
from matching.transport.key_register import KeyRole, is_name
from matching.transport.network import ZmqNetwork


class KeyName(NamedTuple):
    """Names a key file: `trader-alice` is the key alice of a trader."""

    role: KeyRole
    name: str | None = None


LOCAL_KEY = KeyName(KeyRole.LOCAL)
OBSERVER_KEY = KeyName(KeyRole.OBSERVER)
SETTLEMENT_KEY = KeyName(KeyRole.SETTLEMENT)


def key_name(text: str) -> KeyName:
    """Argparse type of ROLE-NAME."""
    role, _, name = text.partition("-")
    if role not in list(KeyRole) or not is_name(name):
        roles = ", ".join(KeyRole)
        raise ArgumentTypeError(f"{text!r} is not ROLE-NAME, such as trader-alice; the roles are {roles}.")
    return KeyName(KeyRole(role), name)


NetworkMaker = Callable[..., ZmqNetwork]


def network_of(key: KeyName) -> NetworkMaker:
    """Makes networks with this key of DATA_DIR; without keys if PLAIN_SOCKETS is set. Raises KeysUnusable."""
    return ZmqNetwork if settings.PLAIN_SOCKETS else network_in(Path(settings.DATA_DIR), key)


def network_in(data_dir: Path, key: KeyName) -> NetworkMaker:
    """Makes networks with this key of another DATA_DIR. Raises KeysUnusable."""
    return partial(ZmqNetwork, _security(data_dir, key))


def engine_key(*, follows: bool) -> KeyName:
    """The key of an engine. A follower uses its `follower` key if it has one. Raises KeysUnusable."""
    has_own_key = follows and not settings.PLAIN_SOCKETS and bool(key_folder().names(KeyRole.FOLLOWER))
    return KeyName(KeyRole.FOLLOWER if has_own_key else KeyRole.ENGINE)


@lru_cache(maxsize=64)
def _security(data_dir: Path, key: KeyName) -> Security:
    """`load_security`, once: pages and tasks open many connections."""
    return load_security(data_dir, key)


def key_folder(data_dir: Path | None = None) -> KeyFolder:
    return KeyFolder((data_dir or Path(settings.DATA_DIR)) / "keys")


def register_file() -> RegisterFile:
    """Raises KeysUnusable."""
    return RegisterFile(key_folder())


def load_security(data_dir: Path, key: KeyName) -> Security:
    """The own key, and the register of its peers' keys. Without a name the key `local`, or else the only one there is.

    Raises KeysUnusable, also for a key that this machine knows to be revoked. A key that its register lacks is not
    refused: another machine may have a newer register.
    """
    keys = key_folder(data_dir)
    own, register = keys.own_key(key.role, key.name), RegisterFile(keys)
    registered = register.current().find(own.public)
    if registered is not None and registered.revoked:
        raise KeysUnusable(
            f"The key of {own.role} {own.name} is revoked: run make_keys {own.role} {own.name} --replace."
        )
    return Security(own, register.current)
