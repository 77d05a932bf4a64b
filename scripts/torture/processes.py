"""Runs `manage.py` commands as processes that can be killed and paused, with their output in files."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from scripts.smoke import ROOT

POLL_S = 0.02
COMMAND_S = 300.0  # a command that takes longer hangs
_SHOWN_LINES = 3
_SNAPSHOT_BLOCKS = "500"
_RING_BLOCKS = "8192"


def settings_of(folder: Path) -> dict[str, str]:
    """Environment of all processes of a run and of the harness itself, which reads the store."""
    return {
        **os.environ,
        "DATA_DIR": str(folder / "engine-a"),
        "DATABASE_URL": f"sqlite:///{folder / 'store' / 'exchange.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "exchange_site.settings",
        "ENABLE_LOCAL_WAL": "true",
        "PLAIN_SOCKETS": "false",
        "ENGINE_SNAPSHOT_BLOCKS": _SNAPSHOT_BLOCKS,
        "ENGINE_RING_BLOCKS": _RING_BLOCKS,
    }


class Failed(Exception):
    """A precondition for continuing the run is not met. The text is one sentence."""


async def comes_true(condition: Callable[[], object], within_s: float, poll_s: float = POLL_S) -> bool:
    """Waits until the condition holds, for at most `within_s`. Returns whether it holds."""
    deadline_s = time.monotonic() + within_s
    while not (holds := bool(condition())) and time.monotonic() < deadline_s:
        await asyncio.sleep(poll_s)
    return holds


@dataclass
class ProcessRun:
    """One run of a process. It is ready when `ready_mark` appears in its output."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    output: Path
    ready_mark: str
    is_killed: bool = False  # by the harness
    began_s: float = field(default_factory=time.monotonic)
    peak_bytes: int = 0
    _ready_s: float | None = None

    def __post_init__(self) -> None:
        with self.output.open("wb") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "manage.py", *self.arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must reach the harness only, which then stops them
            )

    @property
    def code(self) -> int | None:
        """Exit code, None while the process runs."""
        return self._popen.poll()

    @property
    def is_running(self) -> bool:
        """Whether the process runs and was not killed."""
        return not self.is_killed and self.code is None

    @property
    def ready_s(self) -> float | None:
        """Time when the process was first seen ready, None before."""
        if self._ready_s is None and self.ready_mark in self.output.read_text(errors="replace"):
            self._ready_s = time.monotonic()
        return self._ready_s

    @property
    def is_ready(self) -> bool:
        return self.is_running and self.ready_s is not None

    def kill(self) -> None:
        self.is_killed = True
        self._popen.kill()

    def freeze(self) -> None:
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    async def end(self) -> int:
        """Waits for the end. Returns the exit code."""
        while (code := self.code) is None:
            await asyncio.sleep(POLL_S)
        return code

    async def stop(self, within_s: float = 30.0) -> int:
        """Sends SIGTERM and waits. Raises Failed if the process does not stop."""
        self.is_killed = True
        self.thaw()
        self._popen.terminate()
        try:
            return await asyncio.wait_for(self.end(), within_s)
        except TimeoutError:
            self._popen.kill()
            raise Failed(f"{self.name} was still running {within_s:g} s after SIGTERM ({self.output.name}).") from None

    def clear(self) -> None:
        """Kills the process, if it runs, and all its child processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def last_output(self) -> str:
        lines = self.output.read_text(errors="replace").splitlines()
        return " / ".join(lines[-_SHOWN_LINES:]) or "no output"

    def record_memory(self) -> None:
        """Records the peak of its resident memory."""
        with contextlib.suppress(OSError):
            found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{self._popen.pid}/status").read_text(), re.MULTILINE)
            self.peak_bytes = max(self.peak_bytes, int(found[1]) * 1024 if found else 0)


class Done(NamedTuple):
    """Result of a command."""

    code: int
    output: str
    errors: str


async def manage(environment: Mapping[str, str], *arguments: str) -> Done:
    """Runs a `manage.py` command. Exit code -9 if it was killed after COMMAND_S."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        *arguments,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), COMMAND_S)
    except TimeoutError:
        return Done(-signal.SIGKILL, "", f"{arguments[0]} was still running after {COMMAND_S:g} s.")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Done(process.returncode or 0, output.decode(), errors.decode())
