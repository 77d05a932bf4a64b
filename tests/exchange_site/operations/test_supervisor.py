"""The supervisor of several programs: starts and stops them in order, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from back_office.program_states import ProgramState, Status
from exchange_site.operations import child_process, supervisor
from exchange_site.operations.child_process import Line, Program
from exchange_site.operations.supervisor import ProcfileError, read_procfile, supervise
from scripts.services.processes import birth, family
from tests.matching.small_exchange import until

pytestmark = pytest.mark.processes

SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("goodbye", flush=True), sys.exit(0)))
print("ready", flush=True)
while True: time.sleep(0.05)  # not pause(): a signal that comes just before it would wait for another one
"""
STUBBORN = """
import signal
for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
while True: signal.pause()
"""
WITH_CHILD = """
import subprocess, sys, signal
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("child", child.pid, flush=True)
signal.pause()
"""
WITH_PID = "import os, signal; print(os.getpid(), flush=True); signal.pause()"


def python(name: str, code: str) -> Program:
    return Program(name, (sys.executable, "-c", code))


class Lines:
    """Collects messages, and sends this process a signal once all awaited messages have arrived."""

    def __init__(self, *awaited: str, send: signal.Signals = signal.SIGTERM) -> None:
        self.all: list[str] = []
        self._awaited = list(awaited)
        self._send = send
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        with self._lock:
            self.all.append(line)
            if self._awaited:
                self._awaited = [text for text in self._awaited if text not in line]
                if not self._awaited:
                    os.kill(os.getpid(), self._send)


def await_gone(pid: int) -> None:
    until(lambda: birth(pid) is None, f"process {pid} to end")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_programs_stop_in_reverse_order(stop: signal.Signals) -> None:
    said = Lines("settlement | ready", "engine     | ready", send=stop)

    status = supervise([python("settlement", SLEEPER), python("engine", SLEEPER)], os.environ, said)

    assert status == 0
    assert said.all[-2:] == ["engine     | goodbye", "settlement | goodbye"]


def test_signal_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in supervisor.STOP_SIGNALS]

    supervise([python("a", "")], os.environ, Lines(), may_end={"a"})

    assert [signal.getsignal(number) for number in supervisor.STOP_SIGNALS] == before


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three restarts in a row, each of them at once."""
    monkeypatch.setattr(supervisor, "PAUSES_S", (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("end", ["ended with status 3", "ended with status 0"])
def test_all_programs_are_stopped_if_one_ends_again_and_again(end: str) -> None:
    said = Lines()

    status = supervise([python("stays", SLEEPER), python("ends", f"raise SystemExit({end[-1]})")], os.environ, said)

    assert status == 1
    assert said.all.count(f"ends {end}; starting it again") == 3
    assert f"ends {end}, after 3 restarts in a row; stopping the others" in said.all


def test_a_killed_program_is_started_again_and_the_others_are_left_alone() -> None:
    killed: list[int] = []
    states: list[Sequence[ProgramState]] = []
    finish = Lines(send=signal.SIGTERM)

    def kill_once(line: Line) -> None:
        if line.program == "killed":
            killed.append(int(line.text))
            if len(killed) == 1:
                os.kill(killed[0], signal.SIGKILL)

    def note(now: Sequence[ProgramState]) -> None:
        states.append(now)
        if [state.status for state in now] == [Status.RUNNING, Status.RUNNING] and now[1].restarts:
            os.kill(os.getpid(), signal.SIGTERM)

    status = supervise([python("stays", SLEEPER), python("killed", WITH_PID)], os.environ, finish, kill_once, note=note)

    assert status == 0
    assert finish.all.count("killed was ended by signal 9 (Killed); starting it again") == 1
    assert not [line for line in finish.all if line.startswith("stays ")]
    stays, again = states[-1]
    assert (stays.restarts, stays.last_end, stays.last_end_at) == (0, "", None)
    assert (again.restarts, again.last_end) == (1, "was ended by signal 9 (Killed)")
    assert Status.RESTARTING in [now[1].status for now in states]


@pytest.mark.usefixtures("no_pauses")
def test_what_a_dead_program_left_behind_is_killed_before_it_starts_again() -> None:
    said = Lines()

    supervise([python("parent", f"{WITH_CHILD.replace('signal.pause()', 'sys.exit(1)', 2)}")], os.environ, said)

    children = [int(line.split()[-1]) for line in said.all if "child" in line]
    assert len(children) == 4
    for child in children:
        await_gone(child)


@pytest.mark.usefixtures("no_pauses")
def test_a_program_that_ran_for_long_starts_a_new_row_of_restarts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program that ends ten times is started ten times if each run counts as long."""
    monkeypatch.setattr(supervisor, "STEADY_S", 0.0)
    count = tmp_path / "count"
    code = (
        f"import pathlib; file = pathlib.Path({str(count)!r})\n"
        "runs = len(file.read_text()) if file.exists() else 0\n"
        "file.write_text('x' * (runs + 1)); raise SystemExit(3 if runs < 10 else 0)"
    )

    assert supervise([python("a", code)], os.environ, Lines(), may_end={"a"}) == 0

    assert len(count.read_text()) == 11


def test_a_program_that_cannot_run_with_its_settings_is_not_started_again() -> None:
    said = Lines()

    status = supervise([python("stays", SLEEPER), python("a", "raise SystemExit(2)")], os.environ, said)

    assert status == 1
    assert "a ended with status 2: it cannot run with these settings; stopping the others" in said.all
    assert not [line for line in said.all if "starting it again" in line]


@pytest.mark.usefixtures("no_pauses")
def test_a_restarted_program_that_cannot_run_is_tried_again(tmp_path: Path) -> None:
    """Such as a settlement that finds the lease of its killed predecessor."""
    first = tmp_path / "first"
    code = f"import pathlib, sys; f = pathlib.Path({str(first)!r}); sys.exit(2 if f.exists() else f.touch() or 1)"
    said = Lines()

    assert supervise([python("a", code)], os.environ, said) == 1

    assert said.all[-1] == "a ended with status 2, after 3 restarts in a row; stopping the others"


def test_a_program_that_may_end_is_not_started_again_and_the_others_continue() -> None:
    said = Lines()
    states: list[Sequence[ProgramState]] = []

    def note(now: Sequence[ProgramState]) -> None:
        states.append(now)
        if now[1].status == Status.ENDED:
            os.kill(os.getpid(), signal.SIGTERM)

    assert supervise([python("stays", SLEEPER), python("demo", "")], os.environ, said, may_end={"demo"}, note=note) == 0

    assert "demo has ended; the others continue" in said.all
    assert [(state.status, state.restarts) for state in states[-1]] == [(Status.RUNNING, 0), (Status.ENDED, 0)]


def test_a_stop_signal_is_obeyed_while_a_program_waits_for_its_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PAUSES_S", (3600.0,))
    said = Lines("starting it again in 3600 s")

    assert supervise([python("stays", SLEEPER), python("a", "raise SystemExit(1)")], os.environ, said) == 0


def test_a_command_that_has_disappeared_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(supervisor, "PAUSES_S", (0.0, 0.0))
    command = tmp_path / "program"
    command.write_text("#!/bin/sh\nrm $0\nexit 1\n")
    command.chmod(0o700)
    said = Lines()

    assert supervise([Program("a", (str(command),))], os.environ, said) == 1

    assert any(line.startswith("a cannot be started: ") and line.endswith("starting it again") for line in said.all)
    assert said.all[-1].endswith("after 2 restarts in a row; stopping the others")


def test_a_program_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "PATIENCE_S", 0.2)
    said = Lines("stubborn   | ready")

    assert supervise([python("stubborn", STUBBORN)], os.environ, said) == 0

    assert said.all[-1] == "stubborn does not end; killing it"


class Insistent(Lines):
    """Sends the signal a second time while the supervisor waits for the program that ignores it."""

    again: threading.Timer | None = None

    def __call__(self, line: str) -> None:
        super().__call__(line)
        if not self._awaited and self.again is None:
            self.again = threading.Timer(0.2, os.kill, (os.getpid(), self._send))
            self.again.start()


def test_a_second_signal_kills_programs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SECOND_SIGNAL_S", 0.0)
    monkeypatch.setattr(child_process, "PATIENCE_S", 120.0)
    said = Insistent("stubborn   | ready", send=signal.SIGINT)

    assert supervise([python("stubborn", STUBBORN)], os.environ, said) == 0

    assert said.again is not None
    said.again.join()
    assert said.all[-1] == "stubborn does not end; killing it"


def test_processes_that_a_program_leaves_behind_are_killed() -> None:
    said = Lines("child")

    supervise([python("parent", WITH_CHILD)], os.environ, said)

    await_gone(int(said.all[-1].split()[-1]))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_programs_end_even_if_the_supervisor_is_killed() -> None:
    code = (
        "import os, sys\n"
        "from exchange_site.operations.child_process import Program\n"
        "from exchange_site.operations.supervisor import supervise\n"
        f"program = Program('a', (sys.executable, '-c', {WITH_PID!r}))\n"
        "supervise([program], os.environ, lambda line: print(line, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "starting a\n"
        pid = int(killed.stdout.readline().split()[-1])
        killed.kill()

    await_gone(pid)


def test_a_missing_command_stops_the_programs_already_started() -> None:
    before = family(os.getpid())

    with pytest.raises(FileNotFoundError):
        supervise([python("a", SLEEPER), Program("b", ("no-such-program",))], os.environ, Lines())

    assert set(family(os.getpid())) <= set(before)


def test_output_that_is_not_utf_8_is_shown() -> None:
    said = Lines()

    broken = python("a", "import sys; sys.stdout.buffer.write(b'\\xff\\xfe broken')")
    supervise([broken], os.environ, said, may_end={"a"})

    assert any("broken" in line for line in said.all)


def test_each_line_is_passed_on_with_its_program_and_its_stream() -> None:
    shown: list[Line] = []
    code = "import sys; print('result'); print('trouble', file=sys.stderr)"

    supervise([python("a", code)], os.environ, Lines(), shown.append, may_end={"a"})

    assert sorted(shown, key=str) == [Line("a", "result", is_error=False), Line("a", "trouble", is_error=True)]


def test_an_endless_line_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "LONGEST_LINE_BYTES", 10)
    shown: list[Line] = []

    supervise([python("a", "print('x' * 25, end='')")], os.environ, Lines(), shown.append, may_end={"a"})

    assert [line.text for line in shown] == ["x" * 10, "x" * 10, "x" * 5]


@pytest.fixture
def procfile(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "Procfile").write_text(text)
        return tmp_path / "Procfile"

    return write


def test_a_procfile_is_read_in_order(procfile: Callable[[str], Path]) -> None:
    file = procfile("# comment\n\nweb: gunicorn --bind '127.0.0.1:1' site\nengine-2: python manage.py run_engine\n")

    assert read_procfile(file) == [
        Program("web", ("gunicorn", "--bind", "127.0.0.1:1", "site")),
        Program("engine-2", ("python", "manage.py", "run_engine")),
    ]


@pytest.mark.parametrize("line", ["web", "web:", ": gunicorn", "we b: x"])
def test_an_invalid_line_of_the_procfile_is_named(procfile: Callable[[str], Path], line: str) -> None:
    with pytest.raises(ProcfileError, match="is not `name: command`"):
        read_procfile(procfile(line))


def test_our_procfile_starts_programs_after_those_they_depend_on() -> None:
    names = [program.name for program in read_procfile(Path("Procfile"))]

    assert names == ["settlement", "engine", "gateway", "actions", "web", "worker", "demo"]
