"""The keys in DATA_DIR, for every process that opens sockets: its own key, and the register of its peers' keys."""

from pathlib import Path

from django.conf import settings

from matching.core.errors import KeysUnusable
from matching.storage.key_files import KeyFolder
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import KeyRole, OwnKey


def key_folder() -> KeyFolder:
    return KeyFolder(Path(settings.DATA_DIR) / "keys")


def register_file() -> RegisterFile:
    """Raises KeysUnusable."""
    return RegisterFile(key_folder())


def load_identity(role: KeyRole, name: str | None = None) -> OwnKey:
    """This process's key of this role: the one with this name; without a name `local`, or else the only one there is.

    Raises KeysUnusable, also for a key that this machine knows to be revoked. A key that its register lacks is not
    refused: another machine may have a newer register.
    """
    own = key_folder().own_key(role, name)
    registered = register_file().current().find(own.public)
    if registered is not None and registered.revoked:
        raise KeysUnusable(f"The key of {role} {own.name} is revoked: run make_keys {role} {own.name} --replace.")
    return own
