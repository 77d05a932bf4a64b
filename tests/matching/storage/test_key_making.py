"""Making and revoking keys: every change is a new signed register, and nothing that was valid ends by accident."""

from collections.abc import Callable
from pathlib import Path

import pytest

from matching.core.errors import KeysUnusable, MatchingError
from matching.storage.key_files import KeyFolder
from matching.storage.key_making import KeyRefused, complete_signing_keys, make_key, public_key_of, revoke_key
from matching.storage.local_keys import make_local_keys
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import SIGNING_ROLES, KeyRegister, KeyRole, new_pair
from tests.matching.earlier_keys import without_signing_keys
from tests.sentences import refusal


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "keys")
    make_local_keys(folder)
    return folder


def register(keys: KeyFolder) -> KeyRegister:
    return RegisterFile(keys).current()


def sentence(ask: Callable[[], object], kind: type[MatchingError] = KeyRefused) -> str:
    return refusal(kind, ask)


def test_a_key_is_made_and_registered(keys: KeyFolder) -> None:
    made = make_key(keys, KeyRole.TRADER, "alice", [7, 1, 7])
    assert (made.accounts, made.serial, made.replaces) == ((7, 1), 2, ())
    assert keys.key_file(KeyRole.TRADER, "alice") == (made.own, (7, 1))
    found = register(keys).find(made.own.public)
    assert found is not None
    assert (found.role, found.name, found.accounts, found.revoked) == (KeyRole.TRADER, "alice", (7, 1), False)


def test_a_key_is_not_replaced_by_mistake(keys: KeyFolder) -> None:
    before = register(keys)
    text = sentence(lambda: make_key(keys, KeyRole.ENGINE, "local"))
    assert text == "There is a key engine local already: choose another name, or add --replace."
    assert register(keys) == before


def test_a_key_whose_file_was_handed_over_is_not_replaced_by_mistake(keys: KeyFolder) -> None:
    make_key(keys, KeyRole.TRADER, "alice", [1])
    keys.path_of(KeyRole.TRADER, "alice").unlink()
    assert "There is a key trader alice already" in sentence(lambda: make_key(keys, KeyRole.TRADER, "alice", [1]))


def test_a_replaced_key_is_valid_until_it_is_revoked(keys: KeyFolder) -> None:
    old = make_key(keys, KeyRole.TRADER, "alice", [1, 2]).own
    new = make_key(keys, KeyRole.TRADER, "alice", replacing=True)
    assert (new.replaces, new.accounts) == ((old.public,), (1, 2))
    assert [key.public for key in register(keys).active(KeyRole.TRADER)] == [old.public, new.own.public]
    assert keys.own_key(KeyRole.TRADER, "alice") == new.own
    revoke_key(keys, old.public)
    assert [key.public for key in register(keys).active(KeyRole.TRADER)] == [new.own.public]


def test_a_damaged_key_file_can_be_replaced(keys: KeyFolder) -> None:
    path = keys.path_of(KeyRole.ENGINE, "local")
    path.write_bytes(b"damaged")
    made = make_key(keys, KeyRole.ENGINE, "local", replacing=True)
    assert keys.own_key(KeyRole.ENGINE) == made.own


def test_a_revoked_key_stays_in_the_register(keys: KeyFolder) -> None:
    own = keys.own_key(KeyRole.OBSERVER)
    after = revoke_key(keys, own.public)
    assert after.serial == 2
    assert after.keys[own.public].revoked
    assert revoke_key(keys, own.public).serial == 2
    assert register(keys) == after


def test_a_key_that_was_never_registered_cannot_be_revoked(keys: KeyFolder) -> None:
    assert "is not registered: list_keys shows" in sentence(lambda: revoke_key(keys, new_pair()[0]))


@pytest.mark.parametrize("name", ["", "Alice", "a/b", "-a", "a" * 65, "../root", "a b"])
def test_a_name_that_is_no_part_of_a_file_name_is_refused(keys: KeyFolder, name: str) -> None:
    assert "cannot be the name of a key" in sentence(lambda: make_key(keys, KeyRole.OBSERVER, name))


def test_accounts_belong_to_traders(keys: KeyFolder) -> None:
    assert "give --account NUMBER" in sentence(lambda: make_key(keys, KeyRole.TRADER, "alice"))
    assert "only a trader has" in sentence(lambda: make_key(keys, KeyRole.GATEWAY, "web", [1]))


def test_without_the_root_key_nothing_changes(keys: KeyFolder) -> None:
    before = register(keys)
    keys.root_path.unlink()
    for ask in (
        lambda: make_key(keys, KeyRole.OBSERVER, "screen"),
        lambda: revoke_key(keys, keys.own_key(KeyRole.ENGINE).public),
    ):
        assert "run this where root.key is kept" in sentence(ask, KeysUnusable)
    assert register(keys) == before
    assert not keys.path_of(KeyRole.OBSERVER, "screen").exists()


def test_a_root_key_of_another_exchange_changes_nothing(keys: KeyFolder, tmp_path: Path) -> None:
    other = KeyFolder(tmp_path / "other")
    make_local_keys(other)
    keys.root_path.write_bytes(other.root_path.read_bytes())
    assert "do not belong together" in sentence(lambda: make_key(keys, KeyRole.OBSERVER, "screen"), KeysUnusable)
    assert register(keys).serial == 1


def test_a_key_is_found_by_role_and_name(keys: KeyFolder) -> None:
    own = keys.own_key(KeyRole.SETTLEMENT)
    assert public_key_of(register(keys), KeyRole.SETTLEMENT, "local") == own.public
    assert "There is no key settlement other" in sentence(
        lambda: public_key_of(register(keys), KeyRole.SETTLEMENT, "other")
    )


def test_one_of_two_keys_with_a_name_is_not_chosen_for_the_operator(keys: KeyFolder) -> None:
    old = keys.own_key(KeyRole.SETTLEMENT).public
    new = make_key(keys, KeyRole.SETTLEMENT, "local", replacing=True).own.public
    text = sentence(lambda: public_key_of(register(keys), KeyRole.SETTLEMENT, "local"))
    assert text == f"There are 2 keys settlement local: name the public key, one of '{old}', '{new}'."
    revoke_key(keys, old)
    assert public_key_of(register(keys), KeyRole.SETTLEMENT, "local") == new
    revoke_key(keys, new)
    assert public_key_of(register(keys), KeyRole.SETTLEMENT, "local") == new


def test_roles_that_sign_checkpoints_get_a_signing_key(keys: KeyFolder) -> None:
    for role in KeyRole:
        if role is KeyRole.TRADER:
            continue
        own = keys.own_key(role)
        found = register(keys).find(own.public)
        assert found is not None
        assert found.signing == own.signing
        assert bool(own.signing) == (role in SIGNING_ROLES)
    made = make_key(keys, KeyRole.SETTLEMENT, "b").own
    assert register(keys).keys[made.public].signing == made.signing != keys.own_key(KeyRole.SETTLEMENT).signing


def test_keys_of_an_earlier_version_get_a_signing_key_and_stay_valid(keys: KeyFolder) -> None:
    without_signing_keys(keys)
    before = {role: keys.own_key(role) for role in SIGNING_ROLES}
    assert not any(own.signing for own in before.values())
    assert complete_signing_keys(keys) == len(SIGNING_ROLES)
    for role, old in before.items():
        own = keys.own_key(role)
        assert (own.public, own.secret) == (old.public, old.secret)
        assert register(keys).keys[own.public].signing == own.signing != ""
    serial = register(keys).serial
    assert complete_signing_keys(keys) == 0
    assert register(keys).serial == serial


def test_a_completion_that_was_killed_before_the_register_was_written_is_finished(keys: KeyFolder) -> None:
    without_signing_keys(keys)
    with keys.locked():
        file = keys.add_signing_key(keys.key_file(KeyRole.ENGINE, "local"))
    complete_signing_keys(keys)
    assert keys.own_key(KeyRole.ENGINE) == file.own
    assert register(keys).keys[file.own.public].signing == file.own.signing


def test_without_the_root_key_no_signing_key_is_added(keys: KeyFolder) -> None:
    without_signing_keys(keys)
    keys.root_path.unlink()
    assert complete_signing_keys(keys) == 0
    assert not keys.own_key(KeyRole.ENGINE).signing
