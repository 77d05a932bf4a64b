"""Runs the programs of a Procfile: starts them in order, starts again what dies, stops them in reverse order.

A program may depend on those above it in the Procfile. So the demo market stops before the engine, and the engine
before settlement, which still receives the engine's last blocks. Each program has its own process group: Ctrl-C in the
terminal only reaches the supervisor, and processes that a program leaves behind can be killed.

    running ──ends──▶ restarting ──pause is over──▶ running
       │                                              a program of `may_end`, with status 0 ──▶ ended
       └── cannot run at its start, or RESTARTS in a row ──▶ everything stops
"""

import re
import shlex
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from back_office.program_states import ProgramState, Status
from exchange_site.operations.child_process import ChildProcess, Program, Say, Show
from exchange_site.startup import COULD_NOT_RUN

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.1
SECOND_SIGNAL_S = 1.0

PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Pause before each restart in a row; when all of them have failed, everything stops."""
STEADY_S = 60.0
"""A program that has run for this long has recovered: its next restart is the first one in a row."""
START_S = 60.0
"""A program that ends with COULD_NOT_RUN within this time of its first start has wrong settings."""

Note = Callable[[Sequence[ProgramState]], None]


class ProcfileError(ValueError):
    """A line of the Procfile is not `name: command`."""


class _CannotContinue(Exception):
    """A program does not run: everything must stop. The text says why."""


def read_procfile(file: Path) -> list[Program]:
    programs = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([A-Za-z][\w-]*):\s*(\S.*)", line)
        if not found:
            raise ProcfileError(f"{file}: {line!r} is not `name: command`")
        programs.append(Program(found[1], tuple(shlex.split(found[2]))))
    return programs


def supervise(
    programs: Sequence[Program],
    environment: Mapping[str, str],
    say: Say,
    show: Show | None = None,
    *,
    may_end: Collection[str] = (),
    note: Note = lambda states: None,
) -> int:
    """Run until a stop signal arrives (returns 0) or a program cannot be kept running (returns 1); then stop all.

    `say` writes messages of the supervisor, `show` gets each line of the programs' output (default: `say`). Both are
    called from several threads. `may_end` names the programs that are not started again after status 0; the function
    also returns 0 when nothing else is left. `note` gets the states of all programs whenever one has changed.

    Must be called in the main thread: it handles signals, and Linux ends the programs together with the thread that
    started them, even if the supervisor is killed. Raises OSError if a program cannot be started for the first time.
    """
    shown = show or (lambda line: say(str(line)))
    children = [_Supervised(one, environment, say, shown, may_end=one.name in may_end) for one in programs]
    with _stop_signals() as received_at:
        try:
            for child in children:
                if not received_at:
                    say(f"starting {child.name}")
                    child.start()
            _keep_running(children, received_at, note)
        except _CannotContinue as reason:
            say(f"{reason}; stopping the others")
            return 1
        finally:
            for child in reversed(children):
                child.stop(hurry=lambda: _second_signal_arrived(received_at))
    return 0


def _second_signal_arrived(received_at: list[float]) -> bool:
    """Whether a second stop signal arrived; one key press can arrive twice, from the terminal and from a parent."""
    return bool(received_at) and received_at[-1] - received_at[0] > SECOND_SIGNAL_S


def _keep_running(children: "Sequence[_Supervised]", received_at: list[float], note: Note) -> None:
    """Returns when a signal has arrived or every program has ended as it may. Raises _CannotContinue."""
    has_changed = True
    while not received_at:
        if has_changed:
            note([child.state() for child in children])
        if all(child.status == Status.ENDED for child in children):
            return
        time.sleep(POLL_S)
        has_changed = any(child.look() for child in children)


@contextmanager
def _stop_signals() -> Iterator[list[float]]:
    """Records the times of stop signals instead of ending the process."""
    received_at: list[float] = []

    def note(number: int, frame: FrameType | None) -> None:
        received_at.append(time.monotonic())

    before = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield received_at
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Supervised:
    """A program, its process while it runs, and how often it was started again."""

    def __init__(
        self, program: Program, environment: Mapping[str, str], say: Say, show: Show, *, may_end: bool
    ) -> None:
        self.name = program.name
        self.status = Status.RESTARTING
        self._say = say
        self._new_process: Callable[[], ChildProcess] = lambda: ChildProcess(program, environment, say, show)
        self._may_end = may_end
        self._process: ChildProcess | None = None
        self._started_s = self._restart_s = 0.0
        self._restarts = self._in_row = 0
        self._last_end = ""
        self._last_end_s: float | None = None  # since 1970

    def state(self) -> ProgramState:
        return ProgramState(self.name, self.status, self._restarts, self._last_end, self._last_end_s)

    def start(self) -> None:
        self._process = self._new_process()
        self._started_s, self.status = time.monotonic(), Status.RUNNING

    def look(self) -> bool:
        """Notes that the process has ended, or starts it again after the pause; returns whether something changed.

        Raises _CannotContinue.
        """
        if self._process is not None:
            status = self._process.status()
            if status is None:
                return False
            self._process.stop()  # what is left of its group
            self._process = None
            self._ended(status)
            return True
        if self.status == Status.ENDED or time.monotonic() < self._restart_s:
            return False
        try:
            self.start()
        except OSError as error:
            self._plan_restart(f"cannot be started: {error}")
        return True

    def _ended(self, status: int) -> None:
        how = _how(status)
        ran_s = time.monotonic() - self._started_s
        if status == 0 and self._may_end:
            self.status = Status.ENDED
            self._say(f"{self.name} has ended; the others continue")
            return
        if status == COULD_NOT_RUN and not self._restarts and ran_s < START_S:
            raise _CannotContinue(f"{self.name} {how}: it cannot run with these settings")
        if ran_s >= STEADY_S:
            self._in_row = 0
        self._plan_restart(how)

    def _plan_restart(self, how: str) -> None:
        if self._in_row == len(PAUSES_S):
            raise _CannotContinue(f"{self.name} {how}, after {self._in_row} restarts in a row")
        pause_s = PAUSES_S[self._in_row]
        self._restart_s = time.monotonic() + pause_s
        self._restarts += 1
        self._in_row += 1
        self.status = Status.RESTARTING
        self._last_end, self._last_end_s = how, time.time()
        self._say(f"{self.name} {how}; starting it again" + (f" in {pause_s:g} s" if pause_s else ""))

    def stop(self, hurry: Callable[[], bool]) -> None:
        if self._process is not None:
            self._process.stop(hurry)


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by signal {-status} ({signal.strsignal(-status)})"
