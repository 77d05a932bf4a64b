"""Commands report invalid input with one sentence and an exit code, never with a traceback."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError

from tests.matching.commandline.test_number_options import own_commands, parser_of
from tests.system.test_signals import NEEDED

pytestmark = pytest.mark.processes

MANAGE = Path(__file__).parents[2] / "manage.py"


def manage(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, MANAGE, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refused(environment: dict[str, str], *arguments: str, code: int, says: str) -> None:
    done = manage(environment, *arguments)
    assert "Traceback" not in done.stderr
    assert says in done.stderr
    assert done.returncode == code, done.stderr
    assert done.stdout == ""


@pytest.fixture
def with_tables(process_environment: dict[str, str], empty_store: Path) -> dict[str, str]:
    """The environment of a process whose database has all tables and no rows."""
    shutil.copy(empty_store, process_environment["DATA_DIR"])
    return process_environment


@pytest.mark.parametrize("command", own_commands())
def test_an_unknown_option_is_named(command: str) -> None:
    with pytest.raises(CommandError, match="unrecognized arguments: --no-such-option"):
        parser_of(command).parse_args([*NEEDED.get(command, []), "--no-such-option"])


def test_an_unknown_option_ends_a_process_with_2(process_environment: dict[str, str]) -> None:
    says = "error: unrecognized arguments: --no-such-option"
    refused(process_environment, "run_engine", "--no-such-option", code=2, says=says)


@pytest.mark.parametrize("command", ["replay", "submit", "convert_lobster"])
def test_a_missing_file_is_named(command: str, process_environment: dict[str, str]) -> None:
    refused(process_environment, command, "/no/such/file", code=2, says="/no/such/file")


def test_a_backup_without_a_database_makes_neither_a_database_nor_a_backup(
    process_environment: dict[str, str], tmp_path: Path
) -> None:
    refused(process_environment, "backup", str(tmp_path / "backup"), code=2, says="There is no database in")
    assert not (tmp_path / "backup").exists()
    assert not list(Path(process_environment["DATA_DIR"]).glob("*.sqlite3*"))


def test_a_backup_that_is_none_is_named_and_no_database_is_made(
    process_environment: dict[str, str], tmp_path: Path
) -> None:
    refused(process_environment, "restore", str(tmp_path / "none"), code=2, says="has no manifest.json: it is no")
    assert not list(Path(process_environment["DATA_DIR"]).glob("*.sqlite3*"))


def test_a_block_number_that_is_none_is_named(process_environment: dict[str, str]) -> None:
    refused(process_environment, "quarantine_block", "0", code=2, says="argument N")


def test_a_block_that_is_not_there_cannot_be_taken_out(with_tables: dict[str, str]) -> None:
    says = "The store has blocks 1 to 0: there is no block 5 to take out."
    refused(with_tables, "quarantine_block", "5", "--yes", code=2, says=says)


@pytest.mark.parametrize("command", [("engine_status",), ("reconcile", "--deadline", "2")])
def test_an_unreachable_engine_is_named_by_its_address(command: tuple[str, ...], with_tables: dict[str, str]) -> None:
    refused(with_tables, *command, code=2, says=with_tables["ENGINE_COMMAND_ADDRESS"])


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:notaport", "http://127.0.0.1:1"])
def test_an_invalid_address_is_named(address: str, process_environment: dict[str, str]) -> None:
    refused(process_environment, "run_engine", "--follow", address, code=2, says=address)
    settings = {**process_environment, "ENGINE_COMMAND_ADDRESS": address}
    refused(settings, "engine_status", code=2, says="ENGINE_COMMAND_ADDRESS")


def test_an_address_off_this_machine_is_refused(process_environment: dict[str, str]) -> None:
    settings = {**process_environment, "ENGINE_BLOCK_ADDRESS": "tcp://0.0.0.0:5702"}
    refused(settings, "run_engine", code=2, says="ENGINE_BLOCK_ADDRESS")


@pytest.mark.parametrize("name", ["ENGINE_COMMAND_ADDRESS", "ENGINE_BLOCK_ADDRESS", "ENGINE_RETRANSMIT_ADDRESS"])
def test_a_busy_port_of_the_engine_is_named(name: str, with_tables: dict[str, str]) -> None:
    with busy(with_tables[name]):
        refused(with_tables, "run_engine", code=2, says=with_tables[name])


@pytest.mark.parametrize(
    ("command", "name"), [("run_engine", "ENGINE_HTTP_ADDRESS"), ("run_settlement", "SETTLEMENT_HTTP_ADDRESS")]
)
def test_a_busy_http_port_is_named(command: str, name: str, with_tables: dict[str, str]) -> None:
    with busy(with_tables[name]):
        refused(with_tables, command, code=2, says=with_tables[name])


def busy(address: str) -> socket.socket:
    """A listening socket, to be closed by `with`."""
    host, port = address.removeprefix("tcp://").split(":")
    return socket.create_server((host, int(port)))


def test_a_wrong_setting_is_named(process_environment: dict[str, str]) -> None:
    settings = {**process_environment, "ENGINE_RING_BLOCKS": "many"}
    refused(settings, "run_engine", code=2, says="ENGINE_RING_BLOCKS")


def test_a_missing_trade_is_exit_code_1(with_tables: dict[str, str]) -> None:
    refused(with_tables, "get_trade", "5", code=1, says="trade 5")
    refused(with_tables, "get_trade", "five", code=2, says="five")


def test_a_closed_output_pipe_is_not_an_error(process_environment: dict[str, str]) -> None:
    """As in `manage.py replay … | head -1`: the reader closes the pipe early."""
    vector = MANAGE.parent / "tests" / "vectors" / "every_rule_1.commands.jsonl"
    replay = subprocess.Popen(
        [sys.executable, MANAGE, "replay", vector],
        env=process_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert replay.stdout is not None
    assert replay.stdout.readline()
    replay.stdout.close()
    assert replay.stderr is not None
    assert "Traceback" not in replay.stderr.read()
    replay.wait(60)
