"""Lines that `make run` shows on the terminal, and lines that only go to files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from exchange_site.management.commands import run_exchange
from exchange_site.operations import readiness, supervisor
from exchange_site.operations.child_process import Line
from exchange_site.operations.program_logs import SHOWN_CHARACTERS, ProgramLogs

ROUTINE = "timestamp='2026-01-01T00:00:00Z' level='info' event='block settled' logger='settlement.worker'"
ROUTINE_AS_JSON = '{"event": "block settled", "level": "info", "timestamp": "2026-01-01T00:00:00Z"}'
WARNING = ROUTINE.replace("'info'", "'warning'")

Open = Callable[..., ProgramLogs]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def open_logs(tmp_path: Path, said: list[str]) -> Iterator[Open]:
    opened: list[ProgramLogs] = []

    def open_one(*, max_bytes: int = 10_000, kept: int = 2, verbose: bool = False) -> ProgramLogs:
        logs = ProgramLogs(tmp_path / "logs", max_bytes=max_bytes, kept=kept, say=said.append, verbose=verbose)
        logs.open("engine")
        opened.append(logs)
        return logs

    yield open_one
    for logs in opened:
        logs.close()


@pytest.mark.parametrize("line", [Line("engine", ROUTINE, True), Line("engine", ROUTINE_AS_JSON, True)])
def test_routine_lines_go_to_the_file_only(open_logs: Open, said: list[str], tmp_path: Path, line: Line) -> None:
    open_logs()(line)
    assert said == []
    assert (tmp_path / "logs" / "engine.log").read_text() == line.text + "\n"


def test_standard_output_of_a_program_goes_to_the_file_only(open_logs: Open, said: list[str], tmp_path: Path) -> None:
    open_logs()(Line("engine", "leader at block 0", is_error=False))
    assert said == []
    assert (tmp_path / "logs" / "engine.log").read_text() == "leader at block 0\n"


@pytest.mark.parametrize("text", [WARNING, "CommandError: No engine answers.", "Traceback (most recent call last):"])
def test_warnings_and_errors_go_to_terminal_and_file(
    open_logs: Open, said: list[str], tmp_path: Path, text: str
) -> None:
    open_logs()(Line("engine", text, is_error=True))
    assert said == [f"engine     | {text}"]
    assert (tmp_path / "logs" / "engine.log").read_text() == text + "\n"


def test_a_long_line_is_cut_and_names_the_file_with_the_full_line(
    open_logs: Open, said: list[str], tmp_path: Path
) -> None:
    text = WARNING + "x" * 100_000
    open_logs()(Line("engine", text, is_error=True))
    assert len(said[0]) < SHOWN_CHARACTERS + 100 + len(str(tmp_path))
    assert said[0].endswith(f"(the full line is in {tmp_path}/logs/engine.log)")
    assert (tmp_path / "logs" / "engine.log").read_text() == text + "\n"


def test_verbose_shows_everything(open_logs: Open, said: list[str]) -> None:
    logs = open_logs(verbose=True)
    logs(Line("engine", ROUTINE, is_error=True))
    logs(Line("engine", "leader at block 0", is_error=False))
    assert said == [f"engine     | {ROUTINE}", "engine     | leader at block 0"]


def test_files_are_bounded_in_size_and_number(open_logs: Open, tmp_path: Path) -> None:
    logs = open_logs(max_bytes=1000, kept=2)
    for number in range(200):
        logs(Line("engine", f"{number:050}", is_error=True))
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["engine.log", "engine.log.1", "engine.log.2"]
    assert all(file.stat().st_size <= 1000 for file in files)
    assert files[0].read_text().endswith(f"{199:050}\n")


def test_a_file_that_cannot_be_written_is_reported_once_and_stops_nothing(
    open_logs: Open, said: list[str], tmp_path: Path
) -> None:
    logs = open_logs(max_bytes=100)
    (tmp_path / "logs" / "engine.log").unlink()
    (tmp_path / "logs").rmdir()
    for _ in range(3):
        logs(Line("engine", ROUTINE, is_error=True))
    path = tmp_path / "logs" / "engine.log"
    assert said == [f"{path} cannot be written: lines will be missing from it."]


@pytest.fixture
def programs(data_dir: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Procfile with one program that writes a line of each kind and says that it cannot run."""
    log_line = f"import sys; print({ROUTINE!r}, file=sys.stderr); print({WARNING!r}, file=sys.stderr); print('done')"
    (tmp_path / "program.py").write_text(f"{log_line}; sys.exit(2)")
    (tmp_path / "Procfile").write_text(f"engine: python {tmp_path}/program.py\n")
    settings.BASE_DIR = tmp_path
    monkeypatch.setattr(run_exchange, "refuse_ports_in_use", lambda: None)
    monkeypatch.setattr(run_exchange, "call_command", lambda *arguments: None)
    monkeypatch.setattr(readiness, "wait_until_ready", lambda parts: [])


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("verbose", [False, True])
def test_the_terminal_shows_program_starts_login_and_warnings(
    data_dir: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verbose: bool
) -> None:
    with pytest.raises(CommandError, match=f"see the end of its log in {data_dir}/logs"):
        call_command("run_exchange", verbose=verbose)
    shown = capfd.readouterr()
    lines = shown.err.splitlines()
    assert lines[0] == "starting engine"
    assert f"engine     | {WARNING}" in lines
    assert (f"engine     | {ROUTINE}" in lines) is verbose
    assert ("engine     | done" in lines) is verbose
    assert sorted((data_dir / "logs" / "engine.log").read_text().splitlines()) == sorted([ROUTINE, WARNING, "done"])


def test_the_welcome_message_names_the_log_files(data_dir: Path) -> None:
    assert f"{data_dir}/logs/NAME.log" in readiness.welcome()


def test_a_log_folder_that_cannot_be_created_is_one_sentence(
    programs: None, data_dir: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_dir / "file").touch()
    settings.PROGRAM_LOG_FOLDER = data_dir / "file" / "logs"
    monkeypatch.setattr(supervisor, "supervise", lambda *arguments: pytest.fail("it started"))
    with pytest.raises(CommandError) as refused:
        call_command("run_exchange")
    assert refused.value.returncode == 2
