"""The key that a process takes from DATA_DIR."""

from pathlib import Path

import pytest

from matching.commandline.own_keys import KeyName, key_folder, load_security, register_file
from matching.core.errors import KeysUnusable
from matching.storage.local_keys import make_local_keys
from matching.transport.key_register import KeyRole, RegisteredKey, encode_signed


def test_a_process_loads_the_key_of_its_role(data_dir: Path) -> None:
    make_local_keys(key_folder())
    own = load_security(data_dir, KeyName(KeyRole.SETTLEMENT)).own
    assert (own.role, own.name) == (KeyRole.SETTLEMENT, "local")
    assert register_file().current().find(own.public) is not None


def test_a_revoked_key_is_not_used(data_dir: Path) -> None:
    keys = key_folder()
    make_local_keys(keys)
    own = load_security(data_dir, KeyName(KeyRole.ENGINE)).own
    file = register_file()
    revoked = file.current().with_key(RegisteredKey(own.public, own.role, own.name, revoked=True))
    file.offer(encode_signed(revoked, keys.root_private()))
    with pytest.raises(KeysUnusable, match="revoked: run make_keys engine local --replace"):
        load_security(data_dir, KeyName(KeyRole.ENGINE))


def test_a_key_that_the_register_lacks_is_used(data_dir: Path) -> None:
    keys = key_folder()
    make_local_keys(keys)
    with keys.locked():
        keys.make_key(KeyRole.TRADER, "alice")
    assert load_security(data_dir, KeyName(KeyRole.TRADER)).own.name == "alice"


def test_without_keys_the_sentence_says_what_to_do(data_dir: Path) -> None:
    with pytest.raises(KeysUnusable, match="run make_keys engine local"):
        load_security(data_dir, KeyName(KeyRole.ENGINE))
