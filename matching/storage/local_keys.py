"""The keys of a first start: root key, one key for each role that the programs of one machine need, and a register.

They let `make run` and every command with one DATA_DIR work without a step by hand. Another DATA_DIR of the same
exchange gets root.pub and its own key file before its first start, and then nothing is made there.
"""

import os

from matching.storage.key_files import LOCAL, KeyFolder
from matching.storage.private_files import refuse_shared_folder
from matching.transport.key_register import KeyRegister, KeyRole, RegisteredKey, encode_signed, exchange_of

LOCAL_ROLES = (
    KeyRole.ENGINE,
    KeyRole.FOLLOWER,
    KeyRole.SETTLEMENT,
    KeyRole.GATEWAY,
    KeyRole.TREASURY,
    KeyRole.OPERATOR,
    KeyRole.OBSERVER,
    KeyRole.LOCAL,
)
"""All but traders, whose accounts only an operator knows."""


def make_local_keys(keys: KeyFolder) -> bool:
    """Makes the keys of a first start if there are none; returns whether it did.

    Several processes may call this at once. One that was killed in the middle is completed by the next: the register is
    written last. Raises KeysUnusable.
    """
    if not _are_needed(keys):
        return False
    with keys.locked():
        if not _are_needed(keys):
            return False
        root = keys.make_root()
        made = {}
        for role in LOCAL_ROLES:
            is_there = LOCAL in keys.names(role)
            own = (keys.key_file(role, LOCAL) if is_there else keys.make_key(role, LOCAL)).own
            made[own.public] = RegisteredKey(own.public, role, LOCAL, signing=own.signing)
        register = KeyRegister(1, exchange_of(root.public_key()), made)
        keys.write_register(encode_signed(register, root))
    return True


def _are_needed(keys: KeyFolder) -> bool:
    refuse_shared_folder(keys.folder)
    if os.path.lexists(keys.register_path):
        return False
    return os.path.lexists(keys.root_path) or not (os.path.lexists(keys.root_public_path) or keys.has_keys())
