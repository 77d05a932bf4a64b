"""The first start creates what is missing; later starts leave it unchanged."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from pytest_django import Settings
from structlog.testing import capture_logs

from exchange_site.management.commands.run_exchange import environment
from exchange_site.operations import first_start, readiness
from matching.storage.key_files import KeyFolder
from matching.storage.local_keys import make_local_keys
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import KeyRole
from tests.matching.earlier_keys import without_signing_keys


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_a_secret_is_readable_by_this_account_only(tmp_path: Path) -> None:
    file = tmp_path / "secret"

    assert first_start.keep_secret(file, 48) is True
    kept = file.read_text()
    assert first_start.keep_secret(file, 48) is False

    assert file.read_text() == kept
    assert len(kept.strip()) == 64
    assert mode(file) == 0o600


@pytest.mark.django_db
def test_a_first_start_creates_key_and_administrator(data_dir: Path, settings: Settings) -> None:
    settings.SECRET_KEY_IS_GIVEN = False

    call_command("prepare_run")
    call_command("prepare_run")

    password = (data_dir / "admin-password").read_text().strip()
    administrator = get_user_model().objects.get()
    assert administrator.get_username() == "admin"
    assert administrator.check_password(password)
    assert administrator.is_superuser
    assert (mode(data_dir / "admin-password"), mode(data_dir / "secret-key")) == (0o600, 0o600)
    assert password in readiness.welcome()


@pytest.mark.django_db
def test_the_preparation_adds_signing_keys_to_those_of_an_earlier_version(data_dir: Path, settings: Settings) -> None:
    settings.PLAIN_SOCKETS = False
    keys = KeyFolder(data_dir / "keys")
    make_local_keys(keys)
    without_signing_keys(keys)
    call_command("prepare_run")
    assert keys.own_key(KeyRole.ENGINE).signing


@pytest.mark.django_db
def test_a_key_from_the_environment_is_not_written_to_a_file(data_dir: Path) -> None:
    call_command("prepare_run")

    assert not (data_dir / "secret-key").exists()


@pytest.mark.django_db
def test_an_existing_administrator_keeps_the_password(data_dir: Path) -> None:
    get_user_model().objects.create_superuser(username="admin", password="chosen by hand")

    call_command("prepare_run")

    assert get_user_model().objects.get().check_password("chosen by hand")
    assert not (data_dir / "admin-password").exists()
    assert "as you have set it" in readiness.welcome()


def check(folder: Path, plain: str = "false") -> "subprocess.CompletedProcess[str]":
    """Any command, in a DATA_DIR that it may be the first to use."""
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        env={**os.environ, "DATA_DIR": str(folder), "PLAIN_SOCKETS": plain},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.processes
def test_any_command_makes_the_keys_of_an_empty_folder_unnoticed(tmp_path: Path) -> None:
    done = check(tmp_path / "data")

    assert (done.returncode, done.stderr) == (0, "")
    keys = KeyFolder(tmp_path / "data" / "keys")
    register = RegisterFile(keys).current()
    assert register.find(keys.own_key(KeyRole.ENGINE).public) is not None
    before = keys.root_path.read_bytes()
    assert check(tmp_path / "data").returncode == 0
    assert keys.root_path.read_bytes() == before


@pytest.mark.processes
def test_a_folder_of_an_earlier_version_gets_keys_too(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir(mode=0o700)
    (tmp_path / "engine-id").write_text("0011223344556677\n", encoding="ascii")

    assert check(tmp_path).returncode == 0
    assert KeyFolder(tmp_path / "keys").own_key(KeyRole.SETTLEMENT).name == "local"


@pytest.mark.processes
def test_no_keys_are_made_with_plain_sockets(tmp_path: Path) -> None:
    assert check(tmp_path, plain="true").returncode == 0
    assert not (tmp_path / "keys").exists()


@pytest.mark.processes
def test_keys_that_cannot_be_made_end_every_command_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "keys").touch()

    done = check(tmp_path)
    assert (done.returncode, done.stderr) == (2, f"{tmp_path / 'keys'} is not a folder.\n")


def test_a_service_without_keys_warns_in_its_log(settings: Settings) -> None:
    settings.PLAIN_SOCKETS = False
    with capture_logs() as logs:
        first_start.warn_if_plain()
        settings.PLAIN_SOCKETS = True
        first_start.warn_if_plain()

    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("keys.not_used", "warning")]


def test_programs_find_this_python_first() -> None:
    assert environment()["PATH"].startswith(str(Path(sys.executable).parent) + os.pathsep)


def test_parts_that_are_not_ready_in_time_are_named(process_environment: dict[str, str]) -> None:
    silent = f"http://{process_environment['WEB_ADDRESS']}/health/ready"

    assert readiness.wait_until_ready({"web": silent}, patience_s=0.5) == ["web"]


@pytest.mark.processes
def test_a_port_in_use_is_one_sentence_that_names_the_setting(process_environment: dict[str, str]) -> None:
    host, _, port = process_environment["WEB_ADDRESS"].partition(":")
    with socket.create_server((host, int(port))):
        done = subprocess.run(
            [sys.executable, "manage.py", "run_exchange"],
            env=process_environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip().endswith(
        f"WEB_ADDRESS: {host}:{port} cannot be used: Address already in use. "
        "Stop the program that uses it, or change WEB_ADDRESS."
    )
    assert len(done.stderr.strip().splitlines()) == 1
