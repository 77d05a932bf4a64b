"""make_keys, revoke_key and list_keys: what they print, their exit codes, and one sentence for each bad input."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from matching.commandline.own_keys import key_folder, register_file
from matching.storage.local_keys import make_local_keys
from matching.transport.key_register import KeyRole
from settlement.stores.base import StoreUnavailable
from settlement.stores.sql.store import SqlStore
from tests.matching.earlier_keys import without_signing_keys

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def first_start(data_dir: Path) -> None:
    make_local_keys(key_folder())


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store does not answer."""

    def fail(store: SqlStore) -> None:
        raise StoreUnavailable("The database does not answer.")

    monkeypatch.setattr(SqlStore, "key_register", fail)


def run(*arguments: str) -> tuple[str, str]:
    """What a command writes to standard output and standard error."""
    output, errors = StringIO(), StringIO()
    call_command(*arguments, stdout=output, stderr=errors)
    return output.getvalue(), errors.getvalue()


def refused(*arguments: str) -> tuple[int, str]:
    """Exit code and sentence."""
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    text = str(raised.value)
    assert "\n" not in text
    return raised.value.returncode, text


def test_a_made_key_is_told_and_is_in_the_store() -> None:
    output, errors = run("make_keys", "trader", "alice", "--account", "1", "2", "--account", "3")
    own, accounts = key_folder().key_file(KeyRole.TRADER, "alice")
    assert accounts == (1, 2, 3)
    assert output == (
        f"key file    {key_folder().path_of(KeyRole.TRADER, 'alice')}\n"
        f"public key  '{own.public}'\n"
        "register    serial 2\n"
    )
    assert errors == ""
    stored = SqlStore().key_register()
    assert stored is not None
    assert register_file().decode(stored.document).find(own.public) is not None


def test_the_secret_is_never_printed() -> None:
    output, _ = run("make_keys", "observer", "screen", "--json")
    own = key_folder().own_key(KeyRole.OBSERVER, "screen")
    assert own.secret not in output + run("list_keys")[0] + run("list_keys", "--json")[0]


def test_a_made_key_as_json() -> None:
    output, _ = run("make_keys", "engine", "local", "--replace", "--json")
    (old,) = [key for key in register_file().current().active(KeyRole.ENGINE) if key.public in output][:1]
    made = json.loads(output)
    assert made == {
        "role": "engine",
        "name": "local",
        "accounts": [],
        "public": key_folder().own_key(KeyRole.ENGINE).public,
        "file": str(key_folder().path_of(KeyRole.ENGINE, "local")),
        "serial": 2,
        "replaces": [old.public],
    }


def test_keys_are_made_where_plain_sockets_had_made_none(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.PLAIN_SOCKETS = tmp_path / "other", True
    run("make_keys", "observer", "screen")
    assert register_file().current().active(KeyRole.ENGINE)


def test_a_replacement_says_how_the_old_key_ends() -> None:
    old = key_folder().own_key(KeyRole.GATEWAY).public
    output, _ = run("make_keys", "gateway", "local", "--replace")
    assert f"The old key is valid until you run: manage.py revoke_key '{old}'" in output
    output, _ = run("revoke_key", old)
    assert output == f"revoked gateway local, public key '{old}', register serial 3\n"


def test_a_key_is_revoked_by_role_and_name() -> None:
    public = key_folder().own_key(KeyRole.TREASURY).public
    assert run("revoke_key", "treasury", "local") == (
        f"revoked treasury local, public key '{public}', register serial 2\n",
        "",
    )
    stored = SqlStore().key_register()
    assert stored is not None
    assert register_file().decode(stored.document).keys[public].revoked


def test_keys_are_listed() -> None:
    run("make_keys", "trader", "alice", "--account", "1", "7")
    run("revoke_key", "treasury", "local")
    key_folder().path_of(KeyRole.TRADER, "alice").unlink()  # handed over
    lines = run("list_keys")[0].splitlines()
    assert lines[0] == f"exchange {register_file().current().exchange}, register serial 3"
    rows = {tuple(line.split()[:2]): line.split()[2:4] + line.split()[5:] for line in lines[2:]}
    assert rows[("trader", "alice")] == ["active", "-", "1,7"]
    assert rows[("treasury", "local")] == ["revoked", "here", "-"]
    assert rows[("engine", "local")] == ["active", "here", "-"]


def test_keys_are_listed_as_json() -> None:
    run("make_keys", "trader", "alice", "--account", "1", "7")
    listed = json.loads(run("list_keys", "--json")[0])
    assert (listed["exchange"], listed["serial"]) == (register_file().current().exchange, 2)
    assert listed["keys"][-1] == {
        "role": "trader",
        "name": "alice",
        "accounts": [1, 7],
        "public": key_folder().own_key(KeyRole.TRADER).public,
        "revoked": False,
        "is_on_this_machine": True,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["make_keys", "trader", "alice"], "needs the accounts that it may use"),
        (["make_keys", "observer", "screen", "--account", "1"], "only a trader has"),
        (["make_keys", "observer", "../screen"], "cannot be the name of a key"),
        (["make_keys", "engine", "local"], "There is a key engine local already"),
        (["make_keys", "king", "arthur"], "invalid choice: 'king'"),
        (["make_keys", "trader", "alice", "--account", "-1"], "--account"),
        (["make_keys", "trader", "alice", "--account", str(1 << 63)], "--account"),
        (["revoke_key", "engine", "other"], "There is no key engine other"),
        (["revoke_key", "king", "arthur"], "Name one key"),
        (["revoke_key", "engine", "local", "now"], "Name one key"),
        (["revoke_key", "x" * 40], "is not registered"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments: list[str], says: str) -> None:
    before = register_file().current()
    code, text = refused(*arguments)
    assert code in (1, 2)  # Django's parser raises without a code when called from Python
    assert says in text
    assert register_file().current() == before


@pytest.mark.parametrize("command", [["make_keys", "observer", "screen"], ["revoke_key", "engine", "local"]])
def test_without_the_root_key_the_sentence_says_where_to_go(command: list[str]) -> None:
    key_folder().root_path.unlink()
    code, text = refused(*command)
    assert code == 2
    assert "run this where root.key is kept" in text


def test_a_damaged_register_is_one_sentence() -> None:
    key_folder().register_path.write_bytes(b"{")
    for command in (["list_keys"], ["make_keys", "observer", "screen"], ["revoke_key", "engine", "local"]):
        code, text = refused(*command)
        assert code == 2
        assert "The key register is not JSON" in text


def test_a_key_is_made_while_the_store_is_away(away: None) -> None:
    output, errors = run("make_keys", "observer", "screen")
    assert "register    serial 2" in output
    assert errors == "The key register in the store could not be read or written: The database does not answer.\n"


def test_a_revocation_that_did_not_reach_the_store_is_exit_code_1(away: None) -> None:
    code, text = refused("revoke_key", "engine", "local")
    assert (code, text) == (1, "The key is revoked on this machine only: run this again when the store answers.")
    assert not register_file().current().active(KeyRole.ENGINE)


def test_a_revocation_is_brought_to_the_store_later(away: None, monkeypatch: pytest.MonkeyPatch) -> None:
    refused("revoke_key", "engine", "local")
    monkeypatch.undo()
    run("revoke_key", "engine", "local")
    stored = SqlStore().key_register()
    assert stored is not None
    assert stored.serial == 2


def test_no_database_file_is_made_for_a_key(settings: Settings, tmp_path: Path) -> None:
    settings.DATABASES["default"]["NAME"], name = str(tmp_path / "none.sqlite3"), settings.DATABASES["default"]["NAME"]
    try:
        _, errors = run("make_keys", "observer", "screen")
    finally:
        settings.DATABASES["default"]["NAME"] = name
    assert "There is no database yet" in errors
    assert not (tmp_path / "none.sqlite3").exists()


def test_making_a_key_adds_signing_keys_to_those_of_an_earlier_version() -> None:
    without_signing_keys(key_folder())
    run("make_keys", "treasury", "b")
    own = key_folder().own_key(KeyRole.SETTLEMENT)
    assert register_file().current().keys[own.public].signing == own.signing != ""
