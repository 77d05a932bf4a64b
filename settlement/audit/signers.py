"""The keys whose signatures count in an audit: those of the newest register that the root key has signed."""

from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from matching.core.errors import KeysUnusable
from matching.storage.key_files import KeyFolder, public_root_key
from matching.transport.key_register import BadKeyRegister, KeyRegister, decode_signed
from settlement.stores.base import Store

_MAX_ROOT_BYTES = 4096


def register_of_signers(store: Store, keys: KeyFolder, root: Path | None) -> KeyRegister:
    """The newest of the registers in the store and in `keys`.

    `root`: file with the public root key, for an auditor who trusts nothing else on this machine; None: that of `keys`.
    Raises KeysUnusable if no register is signed by it; StoreError.
    """
    public = keys.root_public() if root is None else _root_in(root)
    stored = store.key_register()
    documents = [keys.read_register(), stored and stored.document]
    registers = list(_signed_by(public, (document for document in documents if document)))
    if not registers:
        raise KeysUnusable(
            f"Neither the store nor {keys.folder} has a key register that the root key in "
            f"{root or keys.root_public_path} has signed: checkpoints cannot be verified."
        )
    return max(registers, key=lambda register: register.serial)


def _signed_by(public: Ed25519PublicKey, documents: Iterable[bytes]) -> Iterable[KeyRegister]:
    for document in documents:
        try:
            yield decode_signed(document, public)
        except BadKeyRegister:
            continue


def _root_in(path: Path) -> Ed25519PublicKey:
    try:
        with path.open("rb") as file:
            return public_root_key(file.read(_MAX_ROOT_BYTES), path)
    except OSError as error:
        raise KeysUnusable(f"{path} cannot be read: {error.strerror}.") from error
