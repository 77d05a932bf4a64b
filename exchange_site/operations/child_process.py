"""One program as a child process: its process group, and the threads that read its output."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

PATIENCE_S = 20.0  # a program that needs longer to stop is killed
POLL_S = 0.02
PR_SET_PDEATHSIG = 1

Say = Callable[[str], None]

LONGEST_LINE_BYTES = 1 << 16
"""A longer line is split into parts of this length, to bound the supervisor's memory."""


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


class ChildProcess:
    """Must be created by the main thread: Linux ends the program together with the thread that started it."""

    def __init__(self, program: Program, environment: Mapping[str, str], say: Say, show: Show) -> None:
        """Raises OSError if the program cannot be started."""
        self._program = program
        self._say = say
        self._show = show
        self._process = subprocess.Popen(
            program.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(output, is_error), daemon=True)
            for output, is_error in ((self._process.stdout, False), (self._process.stderr, True))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, output: IO[bytes], is_error: bool) -> None:
        for part in iter(lambda: output.readline(LONGEST_LINE_BYTES), b""):
            self._show(Line(self._program.name, part.decode(errors="replace").rstrip(), is_error))

    def status(self) -> int | None:
        """Exit status, -N if signal N ended it; None while it runs."""
        return self._process.poll()

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Terminate the program, kill it after PATIENCE_S or if `hurry()`, then kill the rest of its group."""
        if self._process.poll() is None:
            self._process.terminate()
            deadline = time.monotonic() + PATIENCE_S
            while self._process.poll() is None and time.monotonic() < deadline and not hurry():
                time.sleep(POLL_S)
            if self._process.poll() is None:
                self._say(f"{self._program.name} does not end; killing it")
        with suppress(ProcessLookupError):  # the usual case: no process of the group is left
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join(timeout=PATIENCE_S)


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """On Linux the kernel terminates the program when the supervisor dies, even by SIGKILL."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
