"""One life of a process: `manage.py` with a command, its output in files, to be killed and stopped at will."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from scripts.smoke import ROOT

LOOK_S = 0.02
COMMAND_S = 300.0  # a command that takes longer is not coming back
_SHOWN_LINES = 3
_SNAPSHOT_BLOCKS = "500"
_RING_BLOCKS = "8192"


def settings_of(folder: Path) -> dict[str, str]:
    """What every process of a run has in common; the harness, too, which reads the store."""
    return {
        **os.environ,
        "DATA_DIR": str(folder / "engine-a"),
        "DATABASE_URL": f"sqlite:///{folder / 'store' / 'exchange.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "exchange_site.settings",
        "ENABLE_LOCAL_WAL": "true",
        "ENGINE_SNAPSHOT_BLOCKS": _SNAPSHOT_BLOCKS,
        "ENGINE_RING_BLOCKS": _RING_BLOCKS,
    }


class Failed(Exception):
    """What has to be so for the run to go on is not so: one sentence."""


@dataclass
class Life:
    """From one start to the end of it. `ready_mark` in its output says that it does its work."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    output: Path
    ready_mark: str
    is_killed: bool = False  # by us
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
                start_new_session=True,  # Ctrl-C ends the run, which then ends these
            )

    @property
    def code(self) -> int | None:
        """Its exit code; None while it is there."""
        return self._popen.poll()

    @property
    def lives(self) -> bool:
        """It is there, and goes on for all we have done."""
        return not self.is_killed and self.code is None

    @property
    def ready_s(self) -> float | None:
        """When it was first seen to be ready."""
        if self._ready_s is None and self.ready_mark in self.output.read_text(errors="replace"):
            self._ready_s = time.monotonic()
        return self._ready_s

    @property
    def is_ready(self) -> bool:
        return self.lives and self.ready_s is not None

    def kill(self) -> None:
        self.is_killed = True
        self._popen.kill()

    def freeze(self) -> None:
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    async def end(self) -> int:
        """Waits for its end; its exit code."""
        while (code := self.code) is None:
            await asyncio.sleep(LOOK_S)
        return code

    async def stop(self, within_s: float = 30.0) -> int:
        """As an operator does. Raises Failed when it does not stop."""
        self.is_killed = True
        self.thaw()
        self._popen.terminate()
        try:
            return await asyncio.wait_for(self.end(), within_s)
        except TimeoutError:
            self._popen.kill()
            raise Failed(f"{self.name} goes on {within_s:g} s after SIGTERM ({self.output.name}).") from None

    def clear(self) -> None:
        """Ends it, if it lives, and everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def last_words(self) -> str:
        lines = self.output.read_text(errors="replace").splitlines()
        return " / ".join(lines[-_SHOWN_LINES:]) or "nothing was said"

    def look_at_memory(self) -> None:
        """Notes the most that was ever resident of it."""
        with contextlib.suppress(OSError):
            found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{self._popen.pid}/status").read_text(), re.MULTILINE)
            self.peak_bytes = max(self.peak_bytes, int(found[1]) * 1024 if found else 0)


class Done(NamedTuple):
    """What came of a command."""

    code: int
    output: str
    errors: str


async def manage(environment: Mapping[str, str], *arguments: str) -> Done:
    """One `manage.py` command to its end; code -9 when it had to be killed for taking too long."""
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
        return Done(-signal.SIGKILL, "", f"{arguments[0]} had not ended after {COMMAND_S:g} s.")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Done(process.returncode or 0, output.decode(), errors.decode())
