"""Attack 10: the database file is gone. Programs say so, advise a restore, and put no empty file in its place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import free_http_address
from tests.matching.small_exchange import until
from tests.system.conftest import Process, Start
from tests.system.forking_site import Program
from tests.system.test_store_away import ready

PROGRAMS = (
    ["verify_settlement"],
    ["reconcile"],
    ["get_trade", "1"],
    ["list_trades", "--from-sequence", "1", "--to-sequence", "2"],
    ["rebuild_projections"],
    ["replay_dead_letters", "--all"],
    ["run_settlement"],
    ["run_engine"],
    ["prepare_run"],
)
SIGNS = ("settled_trades.csv", "spill/0001.blocks", "wal/0001.wal", "snapshots/0001.snapshot")
END_S = 60

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    return made


def ended(process: Process) -> tuple[int, str]:
    process.popen.wait(END_S)
    process.stop()
    return process.popen.returncode, "".join(process.errors)


def leave_sign(folder: Path, name: str) -> Path:
    sign = folder / name
    sign.parent.mkdir(mode=0o700, exist_ok=True)
    sign.write_bytes(b"something")
    return sign


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program[0])
def test_a_lost_database_is_one_sentence_that_advises_a_restore(start: Start, folder: Path, program: list[str]) -> None:
    sign = leave_sign(folder, SIGNS[0])
    code, said = ended(start(*program, data_dir=folder, SETTLEMENT_HTTP_ADDRESS=free_http_address()))
    assert code == 2
    assert f"{folder / 'exchange.sqlite3'} is missing, but {sign} shows that there was a store: restore it" in said
    assert "Traceback" not in said
    assert not list(folder.glob("exchange.sqlite3*"))


@pytest.mark.parametrize("sign", SIGNS[1:])
def test_spill_log_and_snapshots_show_that_there_was_a_store(start: Start, folder: Path, sign: str) -> None:
    leave_sign(folder, sign)
    code, said = ended(start("verify_settlement", data_dir=folder))
    assert code == 2
    assert f"{folder / sign} shows that there was a store: restore it" in said


def test_an_empty_file_in_its_place_is_recognized(start: Start, folder: Path) -> None:
    leave_sign(folder, SIGNS[0])
    (folder / "exchange.sqlite3").touch()
    code, said = ended(start("run_settlement", data_dir=folder, SETTLEMENT_HTTP_ADDRESS=free_http_address()))
    assert code == 2
    assert "has no tables, but" in said
    assert "restore it" in said


@pytest.mark.parametrize("program", [["verify_settlement"], ["run_settlement"], ["run_engine"]], ids=lambda one: one[0])
def test_in_a_new_folder_the_advice_is_init_store(start: Start, folder: Path, program: list[str]) -> None:
    code, said = ended(start(*program, data_dir=folder, SETTLEMENT_HTTP_ADDRESS=free_http_address()))
    assert code == 2
    assert "does not exist: manage.py init_store creates it." in said
    assert not list(folder.glob("exchange.sqlite3*"))
    code, said = ended(start("init_store", data_dir=folder))
    assert (code, said) == (0, "")
    assert ended(start("verify_settlement", data_dir=folder))[0] == 0


@pytest.fixture
def web(folder: Path, process_environment: dict[str, str]) -> Iterator[str]:
    """Address of a web server whose database is missing."""
    environment = {**process_environment, "DATA_DIR": str(folder)}
    program = Program(
        ["-m", "gunicorn", "--config", "exchange_site/gunicorn_conf.py", "exchange_site.asgi"], environment
    )
    address = environment["WEB_ADDRESS"]
    try:
        until(lambda: ready(address)[0] != 0, "the web server", 60)
        yield address
    finally:
        program.stop()


def test_a_health_probe_does_not_create_a_database(web: str, folder: Path) -> None:
    for _ in range(3):
        assert ready(web) == (503, dict.fromkeys(("store", "database", "settlement", "background", "actions"), False))
    assert not list(folder.glob("exchange.sqlite3*"))
