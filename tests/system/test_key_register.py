"""A key register on its way between machines, with real processes: machines are folders that share a database."""

import json
from pathlib import Path

import pytest

from matching.storage.key_files import KeyFolder
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import KeyRole
from tests.matching.small_exchange import until
from tests.system.conftest import Start
from tests.system.machines import Office, machine

pytestmark = pytest.mark.processes


def serial(keys: KeyFolder) -> int:
    return RegisterFile(keys).current().serial


def test_keys_of_the_office_reach_a_running_engine_and_a_revocation_too(
    start: Start, tmp_path: Path, empty_store: Path
) -> None:
    folder = tmp_path / "engine"
    folder.mkdir(mode=0o700)
    (folder / "exchange.sqlite3").write_bytes(empty_store.read_bytes())
    office = Office(tmp_path / "office", folder / "exchange.sqlite3")
    office.manage("make_keys", "engine", "far", "--json")
    keys = machine(folder, office, "root.pub", "engine-far.key")
    engine = start("run_engine", data_dir=folder, PLAIN_SOCKETS="false").wait_until_ready()

    made = json.loads(office.manage("make_keys", "trader", "alice", "--account", "7", "--json"))
    until(lambda: serial(keys) == made["serial"], "the register at the engine")
    trader = RegisterFile(keys).current().find(made["public"])
    assert trader is not None
    assert (trader.role, trader.accounts) == (KeyRole.TRADER, (7,))

    office.manage("revoke_key", made["public"])
    until(lambda: serial(keys) == made["serial"] + 1, "the revocation at the engine")
    assert RegisterFile(keys).current().keys[made["public"]].revoked
    assert not keys.root_path.exists(), "an engine needs no root key and makes none"
    assert engine.stop() == 0
    assert not [line for line in engine.errors if "Traceback" in line or ("keys." in line and "changed" not in line)]


def test_an_engine_without_root_pub_does_not_start_and_says_what_is_missing(
    start: Start, tmp_path: Path, empty_store: Path
) -> None:
    folder = tmp_path / "engine"
    folder.mkdir(mode=0o700)
    office = Office(tmp_path / "office", tmp_path / "none.sqlite3")
    office.manage("check")
    keys = machine(folder, office, "engine-local.key")
    (folder / "exchange.sqlite3").write_bytes(empty_store.read_bytes())
    engine = start("run_engine", data_dir=folder, PLAIN_SOCKETS="false")
    until(lambda: engine.popen.poll() is not None, "the end of the engine")
    engine.stop()
    assert engine.popen.returncode == 2
    assert (
        "".join(engine.errors)
        .strip()
        .endswith(f"There is no {keys.root_public_path}: copy it from the machine where make_keys runs.")
    )
