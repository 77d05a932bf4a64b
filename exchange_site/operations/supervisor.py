"""Runs several programs as one: starts them in order, passes on their output, stops them in reverse order.

The order matters. Whoever stands later in the Procfile feeds on those before; so the demo market stops before the
engine, and the engine before settlement, which takes what the engine still has to hand over. Each program leads a
process group of its own: a Ctrl-C in the terminal reaches the supervisor alone, and what a program leaves behind
is found and ended.
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
PATIENCE_S = 20.0  # how long a program may take over its goodbye before it is killed
POLL_S = 0.1
SECOND_SIGNAL_S = 1.0
PR_SET_PDEATHSIG = 1

Say = Callable[[str], None]

LONGEST_LINE_BYTES = 1 << 16
"""A longer one is taken in parts of this length: a program must not fill the supervisor's memory."""


class ProcfileError(ValueError):
    """A line of the Procfile is not `name: command`."""


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One that a program wrote, without its end."""

    program: str
    text: str
    is_error: bool  # on standard error, where our programs log

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
    """Run until a stop signal comes (0) or one of the programs ends (1); then end the others.

    `say` writes a line of the supervisor's own, `show` takes each line that a program writes; without it they are said
    too. Both are called from several threads. Call this in the main thread: it handles signals, and the programs end
    with the thread that started them, even where the supervisor itself is killed.
    """
    show = show or (lambda line: say(str(line)))
    running: list[_Running] = []
    with _stop_signals() as received_at:
        try:
            for program in programs:
                if not received_at:
                    say(f"starting {program.name}")
                    running.append(_Running(program, environment, say, show))
            ended = _wait(running, received_at)
            if ended:
                say(f"{ended.program.name} ended with status {ended.process.returncode}; stopping the others")
            return 1 if ended else 0
        finally:
            for one in reversed(running):
                one.stop(hurry=lambda: _is_insisted(received_at))


def _is_insisted(received_at: list[float]) -> bool:
    """Whether a second signal came. One key press may arrive twice, from the terminal and from a parent: not that."""
    return bool(received_at) and received_at[-1] - received_at[0] > SECOND_SIGNAL_S


def _wait(running: "Sequence[_Running]", received_at: list[float]) -> "_Running | None":
    """The program that ended by itself, None when a signal came first."""
    while not received_at:
        for one in running:
            if one.process.poll() is not None:
                return one
        time.sleep(POLL_S)
    return None


@contextmanager
def _stop_signals() -> Iterator[list[float]]:
    """Collects the times of stop signals instead of dying of them."""
    received_at: list[float] = []

    def note(number: int, frame: FrameType | None) -> None:
        received_at.append(time.monotonic())

    before = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield received_at
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Running:
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
        """Ask the program to end, insist after PATIENCE_S or when asked to hurry, and clear its group."""
        if self.process.poll() is None:
            self.process.terminate()
            deadline = time.monotonic() + PATIENCE_S
            while self.process.poll() is None and time.monotonic() < deadline and not hurry():
                time.sleep(POLL_S / 5)
            if self.process.poll() is None:
                self._say(f"{self.program.name} does not end; killing it")
        with suppress(ProcessLookupError):  # the usual case: nothing is left of the group
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join(timeout=PATIENCE_S)


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """On Linux the kernel ends the program when the supervisor dies, however it dies."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
