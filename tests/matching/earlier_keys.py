"""Key files and a register as a version without signing keys has made them."""

import json
from dataclasses import replace

from matching.storage.key_files import KeyFolder
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import KeyRegister, encode_signed


def without_signing_keys(keys: KeyFolder) -> None:
    """Removes the signing keys of all keys, whose files must be there."""
    before = RegisterFile(keys).current()
    for key in before.keys.values():
        path = keys.path_of(key.role, key.name)
        fields = json.loads(path.read_bytes())
        fields.pop("signing_secret", None)
        path.write_text(json.dumps(fields), encoding="ascii")
    old = {key.public: replace(key, signing="") for key in before.keys.values()}
    with keys.locked():
        keys.write_register(encode_signed(KeyRegister(before.serial + 1, before.exchange, old), keys.root_private()))
