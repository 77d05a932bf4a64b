"""Runs the programs of a Procfile: starts them in order, passes on their output, stops them in reverse order.

A program may depend on those above it in the Procfile. So the demo market stops before the engine, and the engine
before settlement, which still receives the engine's last blocks. Each program has its own process group: Ctrl-C in the
terminal only reaches the supervisor, and processes that a program leaves behind can be killed.
"""

import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 20.0  # a program that needs longer to stop is killed
POLL_S = 0.1
SECOND_SIGNAL_S = 1.0
PR_SET_PDEATHSIG = 1

Say = Callable[[str], None]

LONGEST_LINE_BYTES = 1 << 16
"""A longer line is split into parts of this length, to bound the supervisor's memory."""


class ProcfileError(ValueError):
    """A line of the Procfile is not `name: command`."""


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a program's output, without the line break."""

    program: str
    text: str
    is_error: bool  # from standard error, where our programs log

    def __str__(self) -> str:
        return f"{self.program:<10} | {self.text}"


Show = Callable[[Line], None]


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


def supervise(programs: Sequence[Program], environment: Mapping[str, str], say: Say, show: Show | None = None) -> int:
    """Run until a stop signal arrives (returns 0) or one of the programs ends (returns 1); then stop the others.

    `say` writes messages of the supervisor, `show` gets each line of the programs' output (default: `say`). Both are
    called from several threads. Must be called in the main thread: it handles signals, and Linux ends the programs
    together with the thread that started them, even if the supervisor is killed.
    """
    show = show or (lambda line: say(str(line)))
    running: list[_Process] = []
    with _stop_signals() as received_at:
        try:
            for program in programs:
                if not received_at:
                    say(f"starting {program.name}")
                    running.append(_Process(program, environment, say, show))
            ended = _wait(running, received_at)
            if ended:
                say(f"{ended.program.name} ended with status {ended.process.returncode}; stopping the others")
            return 1 if ended else 0
        finally:
            for one in reversed(running):
                one.stop(hurry=lambda: _second_signal_arrived(received_at))


def _second_signal_arrived(received_at: list[float]) -> bool:
    """Whether a second stop signal arrived; one key press can arrive twice, from the terminal and from a parent."""
    return bool(received_at) and received_at[-1] - received_at[0] > SECOND_SIGNAL_S


def _wait(running: "Sequence[_Process]", received_at: list[float]) -> "_Process | None":
    """The program that ended by itself; None if a signal arrived first."""
    while not received_at:
        for one in running:
            if one.process.poll() is not None:
                return one
        time.sleep(POLL_S)
    return None


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


class _Process:
    """One program, its process group, and the threads that read its output."""

    def __init__(self, program: Program, environment: Mapping[str, str], say: Say, show: Show) -> None:
        self.program = program
        self._say = say
        self._show = show
        self.process = subprocess.Popen(
            program.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(output, is_error), daemon=True)
            for output, is_error in ((self.process.stdout, False), (self.process.stderr, True))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, output: IO[bytes], is_error: bool) -> None:
        for part in iter(lambda: output.readline(LONGEST_LINE_BYTES), b""):
            self._show(Line(self.program.name, part.decode(errors="replace").rstrip(), is_error))

    def stop(self, hurry: Callable[[], bool]) -> None:
        """Terminate the program, kill it after PATIENCE_S or if `hurry()`, then kill the rest of its group."""
        if self.process.poll() is None:
            self.process.terminate()
            deadline = time.monotonic() + PATIENCE_S
            while self.process.poll() is None and time.monotonic() < deadline and not hurry():
                time.sleep(POLL_S / 5)
            if self.process.poll() is None:
                self._say(f"{self.program.name} does not end; killing it")
        with suppress(ProcessLookupError):  # the usual case: no process of the group is left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join(timeout=PATIENCE_S)


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """On Linux the kernel terminates the program when the supervisor dies, even by SIGKILL."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
