"""Key files: written for this account alone, and refused with one sentence if others could have changed them."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from matching.core.errors import KeysUnusable
from matching.storage.disk import LocalDisk
from matching.storage.key_files import KeyFolder
from matching.transport.key_register import KeyRole, new_pair
from tests.sentences import refusal


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "keys")
    with folder.locked():
        folder.make_root()
        folder.make_key(KeyRole.TRADER, "alice", [1, 7])
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def sentence(read: Callable[[], object]) -> str:
    return refusal(KeysUnusable, read)


def test_keys_are_readable_by_this_account_only(keys: KeyFolder) -> None:
    assert mode(keys.folder) == 0o700
    for name in ("trader-alice.key", "root.key", "root.pub"):
        assert mode(keys.folder / name) == 0o600


def test_a_key_file_holds_what_was_asked_for(keys: KeyFolder) -> None:
    own, accounts = keys.key_file(KeyRole.TRADER, "alice")
    assert (own.role, own.name, accounts) == (KeyRole.TRADER, "alice", (1, 7))
    fields = json.loads((keys.folder / "trader-alice.key").read_text())
    assert fields == {
        "role": "trader",
        "name": "alice",
        "accounts": [1, 7],
        "public": own.public,
        "secret": own.secret,
    }


def test_the_root_key_signs_what_its_public_half_verifies(keys: KeyFolder) -> None:
    keys.root_public().verify(keys.root_private().sign(b"text"), b"text")


def test_a_lost_public_half_is_made_again_from_the_root_key(keys: KeyFolder) -> None:
    before = keys.root_public_path.read_bytes()
    keys.root_public_path.unlink()
    with keys.locked():
        keys.make_root()
    assert keys.root_public_path.read_bytes() == before


def test_the_only_key_of_a_role_is_used(keys: KeyFolder) -> None:
    assert keys.own_key(KeyRole.TRADER).name == "alice"


def test_the_key_named_local_is_used_before_others(keys: KeyFolder) -> None:
    with keys.locked():
        keys.make_key(KeyRole.TRADER, "local")
    assert keys.own_key(KeyRole.TRADER).name == "local"
    assert keys.own_key(KeyRole.TRADER, "alice").name == "alice"


def test_several_keys_of_a_role_are_refused_by_name(keys: KeyFolder) -> None:
    with keys.locked():
        keys.make_key(KeyRole.TRADER, "bob")
    assert "several keys of the role trader (alice, bob)" in sentence(lambda: keys.own_key(KeyRole.TRADER))


def test_a_missing_key_says_how_to_make_it(keys: KeyFolder) -> None:
    assert "run make_keys engine local" in sentence(lambda: keys.own_key(KeyRole.ENGINE))
    assert "run make_keys trader bob" in sentence(lambda: keys.own_key(KeyRole.TRADER, "bob"))


READS: list[tuple[str, Callable[[KeyFolder], object]]] = [
    ("trader-alice.key", lambda keys: keys.own_key(KeyRole.TRADER)),
    ("root.key", lambda keys: keys.root_private()),
    ("root.pub", lambda keys: keys.root_public()),
]


@pytest.mark.parametrize("given", [0o640, 0o604, 0o620, 0o602, 0o666])
@pytest.mark.parametrize(("name", "read"), READS[:2])
def test_a_secret_that_others_can_read_or_change_is_refused(
    keys: KeyFolder, name: str, read: Callable[[KeyFolder], object], given: int
) -> None:
    path = keys.folder / name
    path.chmod(given)
    assert sentence(lambda: read(keys)) == f"Other accounts can read or change {path}: run chmod 600 {path}."


def test_a_public_file_may_be_read_by_others_and_not_changed(keys: KeyFolder) -> None:
    path = keys.root_public_path
    path.chmod(0o644)
    keys.root_public()
    path.chmod(0o664)
    assert sentence(keys.root_public) == f"Other accounts can change {path}: run chmod 644 {path}."


@pytest.mark.parametrize(("name", "read"), READS)
@pytest.mark.parametrize("given", [0o750, 0o701, 0o777])
def test_a_folder_that_others_can_enter_is_refused(
    keys: KeyFolder, name: str, read: Callable[[KeyFolder], object], given: int
) -> None:
    keys.folder.chmod(given)
    expected = f"Other accounts can read or change {keys.folder}: run chmod 700 {keys.folder}."
    assert sentence(lambda: read(keys)) == expected


@pytest.mark.parametrize("given", [0o750, 0o777])
def test_nothing_is_written_to_a_folder_that_others_can_enter(tmp_path: Path, given: int) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.folder.mkdir()
    keys.folder.chmod(given)
    assert "run chmod 700" in sentence(lambda: keys.locked().__enter__())
    assert not list(keys.folder.iterdir())


@pytest.mark.parametrize(("name", "read"), READS)
def test_what_another_account_owns_is_refused(
    keys: KeyFolder, name: str, read: Callable[[KeyFolder], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    text = sentence(lambda: read(keys))
    assert f"{keys.folder} belongs to another account" in text
    assert f"chown {os.getuid() + 1} {keys.folder}" in text


@pytest.mark.parametrize(("name", "read"), READS)
def test_a_symbolic_link_is_not_followed(
    keys: KeyFolder, name: str, read: Callable[[KeyFolder], object], tmp_path: Path
) -> None:
    (keys.folder / name).rename(tmp_path / name)
    (keys.folder / name).symlink_to(tmp_path / name)
    assert "is a symbolic link" in sentence(lambda: read(keys))


def test_a_folder_that_is_a_symbolic_link_is_refused(keys: KeyFolder, tmp_path: Path) -> None:
    keys.folder.rename(tmp_path / "elsewhere")
    keys.folder.symlink_to(tmp_path / "elsewhere")
    assert "is a symbolic link" in sentence(lambda: keys.own_key(KeyRole.TRADER))


@pytest.mark.parametrize(("name", "read"), READS)
def test_a_pipe_or_folder_in_place_of_a_file_is_refused_at_once(
    keys: KeyFolder, name: str, read: Callable[[KeyFolder], object]
) -> None:
    path = keys.folder / name
    path.unlink()
    os.mkfifo(path, 0o600)
    assert sentence(lambda: read(keys)) == f"{path} is not a file."
    path.unlink()
    path.mkdir(0o700)
    assert sentence(lambda: read(keys)) == f"{path} is not a file."


@pytest.mark.parametrize(("name", "read"), READS)
def test_a_huge_file_is_not_read(keys: KeyFolder, name: str, read: Callable[[KeyFolder], object]) -> None:
    path = keys.folder / name
    path.write_bytes(b" " * (1 << 21))
    assert "more than the" in sentence(lambda: read(keys))


@pytest.mark.parametrize(("name", "read"), READS)
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"{}", b"[]", b"[" * 100_000, b"null"])
def test_a_file_of_another_form_is_refused(
    keys: KeyFolder, name: str, read: Callable[[KeyFolder], object], content: bytes
) -> None:
    (keys.folder / name).write_bytes(content[: 4096 if name != "trader-alice.key" else None])
    assert str(keys.folder / name) in sentence(lambda: read(keys))


@pytest.mark.parametrize(
    "changed",
    [
        {"role": "engine"},
        {"role": "root"},
        {"role": None},
        {"name": "bob"},
        {"name": "../alice"},
        {"accounts": [-1]},
        {"accounts": "1"},
        {"public": new_pair()[0]},
        {"public": None},
        {"secret": new_pair()[1]},
        {"secret": "x"},
        {"secret": "#" * 40},
        {"signing_secret": "ab" * 32},  # a trader signs nothing
        {"more": 1},
    ],
)
def test_a_key_file_with_a_changed_field_is_refused(keys: KeyFolder, changed: dict[str, object]) -> None:
    path = keys.folder / "trader-alice.key"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    text = sentence(lambda: keys.own_key(KeyRole.TRADER))
    assert text.startswith(f"{path} is not the key file of trader alice")
    assert "make_keys trader alice --replace" in text


def test_a_root_key_of_another_kind_is_refused(keys: KeyFolder) -> None:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    other = generate_private_key(SECP256R1()).private_bytes(pem, pkcs8, serialization.NoEncryption())
    encrypted = Ed25519PrivateKey.generate().private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret"))
    for content in (other, encrypted):
        keys.root_path.write_bytes(content)
        assert "is not a private Ed25519 key" in sentence(keys.root_private)


def test_a_write_that_fails_leaves_the_old_key(keys: KeyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys.key_file(KeyRole.TRADER, "alice")

    def full(self: LocalDisk, folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with keys.locked():
        monkeypatch.setattr(LocalDisk, "append_to", full)
        text = sentence(lambda: keys.make_key(KeyRole.TRADER, "alice"))
    assert text == f"{keys.folder / 'trader-alice.key'} cannot be written: No space left on device."
    assert keys.key_file(KeyRole.TRADER, "alice") == before


def test_drafts_of_killed_processes_are_removed(keys: KeyFolder) -> None:
    draft = keys.folder / ".trader-alice.key.1.part"
    draft.write_bytes(b"half of a secret")
    with keys.locked():
        assert not draft.exists()


def test_a_lock_that_is_never_released_is_one_sentence(keys: KeyFolder) -> None:
    with keys.locked():
        assert "Another process has been changing" in sentence(lambda: keys.locked(patience_s=0).__enter__())


@pytest.mark.parametrize("secret", ["ab" * 31, "AB" * 32, 1, ["ab" * 32]])
def test_a_key_file_with_an_invalid_signing_key_is_refused(keys: KeyFolder, secret: object) -> None:
    with keys.locked():
        keys.make_key(KeyRole.ENGINE, "b")
    path = keys.path_of(KeyRole.ENGINE, "b")
    path.write_text(json.dumps({**json.loads(path.read_text()), "signing_secret": secret}))
    assert sentence(lambda: keys.own_key(KeyRole.ENGINE, "b")).startswith(f"{path} is not the key file of engine b")
