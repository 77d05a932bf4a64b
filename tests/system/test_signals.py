"""SIGINT and SIGTERM: a command ends with one sentence and exit code 128 + signal, a service silently with 0."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manage import SERVICES
from tests.matching.commandline.test_number_options import own_commands
from tests.matching.small_exchange import until
from tests.system.conftest import ROOT

pytestmark = pytest.mark.processes

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NEEDED = {
    "replay": ["file"],
    "submit": ["file"],
    "make_keys": ["observer", "screen"],
    "revoke_key": ["observer", "screen"],
    "backup": ["folder"],
    "quarantine_block": ["1"],
    "convert_lobster": ["file"],
    "create_api_key": ["--account", "7", "--permissions", "read"],
    "get_trade": ["1"],
    "invite": ["somebody", "--role", "viewer"],
    "list_trades": ["--from-sequence", "1", "--to-sequence", "2"],
    "release_settlement": ["--older-than", "1"],
    "replay_dead_letters": ["--all"],
    "reset_second_factor": ["somebody", "--reason", "lost"],
    "revoke_api_key": ["key"],
    "simulate": ["--seeds", "1"],
}


class Blocker:
    """Runs commands with the program tests/system/blocked_commands.py."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._start()

    def _start(self) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.system.blocked_commands"],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def interrupted(
        self, arguments: list[str], number: signal.Signals, folder: Path, module: str | None = None
    ) -> tuple[int, str]:
        """Exit code and standard error of a command that gets the signal while it blocks."""
        try:
            return self._interrupted(arguments, number, folder, module)
        except BaseException:
            # The program may still wait for this command: its answers would be taken for those of the next test's.
            self.popen.kill()
            self.popen.wait(30)
            self._start()
            raise

    def _interrupted(
        self, arguments: list[str], number: signal.Signals, folder: Path, module: str | None
    ) -> tuple[int, str]:
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        asked = {"arguments": arguments, "import": module, "folder": str(folder)}
        self.popen.stdin.write(json.dumps(asked) + "\n")
        self.popen.stdin.flush()
        pid = int(self.popen.stdout.readline())
        until(lambda: (folder / "out").exists() and (folder / "out").read_text() == "blocked\n", "the command to block")
        os.kill(pid, number)
        code = int(self.popen.stdout.readline())
        assert (folder / "out").read_text() == "blocked\n"
        return code, (folder / "errors").read_text()


@pytest.fixture(scope="module")
def blocker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blocker]:
    made = Blocker({**os.environ, "DATA_DIR": str(tmp_path_factory.mktemp("data"))})
    yield made
    assert made.popen.stdin is not None
    made.popen.stdin.close()
    made.popen.wait(30)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("command", own_commands())
def test_a_signal_ends_a_blocked_command_with_one_sentence(
    command: str, number: signal.Signals, blocker: Blocker, tmp_path: Path
) -> None:
    code, said = blocker.interrupted([command, *NEEDED.get(command, [])], number, tmp_path)
    if command in SERVICES:
        assert (code, said) == (0, "")
    else:
        assert code == 128 + number
        assert said.removeprefix("CommandError: ") == f"Stopped by {number.name}.\n"


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("command", ["submit", "run_engine"])
@pytest.mark.parametrize(
    "module", ["django.core.management", "exchange_site.startup", "exchange_site.configuration.check_tags"]
)
def test_a_signal_while_a_command_loads_ends_it_with_one_sentence(
    command: str, module: str, number: signal.Signals, blocker: Blocker, tmp_path: Path
) -> None:
    code, said = blocker.interrupted([command, *NEEDED.get(command, [])], number, tmp_path, module)
    if command in SERVICES:
        assert (code, said) == (0, "")
    else:
        assert (code, said) == (
            128 + number,
            f"Stopped by {number.name}: it was starting and has done nothing.\n",
        )


def test_every_service_is_a_command() -> None:
    assert set(own_commands()) >= SERVICES


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(tmp_path: Path) -> None:
    """A shell without job control starts background jobs with SIGINT ignored."""
    commands, events = tmp_path / "commands", tmp_path / "events"
    os.mkfifo(commands)
    script = f"trap '' INT; exec {sys.executable} manage.py replay {commands} --events {events}"
    process = subprocess.Popen(["bash", "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    with process, commands.open("w") as pipe:
        process.send_signal(signal.SIGINT)
        pipe.write('{"command":"asset","symbol":"BTC","decimals":8}\n')
        pipe.close()
        _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, "")
    assert len(events.read_text().splitlines()) == 2
