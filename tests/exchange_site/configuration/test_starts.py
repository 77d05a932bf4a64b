"""Every command starts with checked settings, and without importing the web site to check that too."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings as site
from django.core import management
from django.core.management import CommandError, call_command, get_commands, load_command_class
from pytest_django import Settings

import manage
from exchange_site.configuration.check_tags import SETTINGS
from tests.matching.commandline.test_number_options import own_commands

OPEN_ADDRESSES = {"run_engine", "run_settlement", "run_gateway", "run_analytics", "run_actions", "run_exchange"}
"""They warn of an address that is open to the network."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that get past the start."""
    found: list[list[str]] = []
    monkeypatch.setattr(management, "execute_from_command_line", found.append)
    return found


def start(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["manage.py", command])
    manage.run(loaded=lambda: None)


@pytest.mark.parametrize("command", own_commands())
def test_no_command_starts_with_invalid_settings(
    command: str,
    started: list[list[str]],
    data_dir: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start(command, monkeypatch)
    assert started == [["manage.py", command]]

    settings.DEBUG, settings.WEB_ADDRESS, settings.ENGINE_BLOCK_COMMANDS = True, "0.0.0.0:8000", 0
    with pytest.raises(SystemExit) as ended:
        start(command, monkeypatch)

    assert ended.value.code == 2
    assert [line[-len("(exchange.E000)") :] for line in capsys.readouterr().err.splitlines()] == [
        "(exchange.E008)",
        "(exchange.E021)",
    ]
    assert len(started) == 1


@pytest.mark.parametrize("command", sorted(set(own_commands()) - manage.READERS))
def test_no_command_that_writes_starts_with_a_folder_that_others_can_enter(
    command: str,
    started: list[list[str]],
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data_dir.chmod(0o755)
    with pytest.raises(SystemExit) as ended:
        start(command, monkeypatch)

    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"Run: chmod 700 {data_dir} (exchange.E020)\n")
    assert started == []


def test_backup_refuses_a_folder_that_others_can_enter(data_dir: Path, tmp_path: Path) -> None:
    """Its start reads only, and does not make the folder; the doctor reports such a folder as a finding."""
    data_dir.chmod(0o755)

    with pytest.raises(CommandError) as refused:
        call_command("backup", str(tmp_path / "backup"))

    assert refused.value.returncode == 2
    assert str(refused.value) == (
        f"Other accounts of this machine have access to {data_dir} (mode 0755), which holds secrets. "
        f"Run: chmod 700 {data_dir}"
    )
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("command", own_commands())
def test_no_command_runs_the_checks_of_the_web_site(command: str) -> None:
    tags = load_command_class(get_commands()[command], command).requires_system_checks

    assert list(tags) == ([SETTINGS] if command in OPEN_ADDRESSES else [])


@pytest.mark.parametrize("command", sorted(OPEN_ADDRESSES))
def test_a_program_with_open_addresses_warns_of_them(
    command: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENGINE_HTTP_ADDRESS, settings.SETTLEMENT_HTTP_ADDRESS = "0.0.0.0:9701", "0.0.0.0:9702"
    made, said = load_command_class(get_commands()[command], command), StringIO()
    monkeypatch.setattr(made, "handle", lambda **options: None)
    call_command(made, skip_checks=False, stderr=said)

    for name in ("ENGINE_HTTP_ADDRESS", "SETTLEMENT_HTTP_ADDRESS"):
        assert f"{name} exposes health and metrics to the network" in said.getvalue()


@pytest.mark.processes
@pytest.mark.parametrize(
    ("command", "kept_out"),
    [
        ("describe_settings", "celery exchange_site.urls numba cassandra"),
        ("engine_status --help", "celery exchange_site.urls numba cassandra"),
        ("submit --help", "celery exchange_site.urls numba cassandra"),
        ("promote_engine --help", "celery exchange_site.urls numba cassandra"),
        ("get_trade 1", "celery exchange_site.urls cassandra"),
        ("run_engine --help", "celery exchange_site.urls cassandra"),
        ("run_settlement --help", "celery exchange_site.urls cassandra"),
    ],
)
def test_a_command_does_not_load_what_it_does_not_need(command: str, kept_out: str, tmp_path: Path) -> None:
    """Pages, background work, the compiled kernel, the driver of another store: each takes up to half a second."""
    program = (
        "import atexit, sys, manage; "
        f"atexit.register(lambda: print(sys.modules.keys() & set({kept_out.split()}))); "
        f"sys.argv = ['manage.py', *{command.split()}]; manage.main()"
    )
    environment = {**os.environ, "DATA_DIR": str(tmp_path / "data"), "SETTLEMENT_STORE": "sql"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=site.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines()[-1] == "set()"
