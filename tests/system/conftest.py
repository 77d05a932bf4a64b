"""Starts real processes on free ports, each with its own DATA_DIR, and stops them at the end of the test."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import ZMQ_SETTINGS, free_addresses
from tests.matching.small_exchange import until

ROOT = Path(__file__).resolve().parent.parent.parent
DATABASE = "exchange.sqlite3"
START_S = 180.0  # a first start compiles the kernel
STOP_S = 20.0


@dataclass
class Process:
    """A running `manage.py` command. `lines` is its standard output, `errors` its standard error."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    prefix: tuple[str, ...] = ()
    """What comes before the command line, such as `ip netns exec NAME`."""
    program: Path = ROOT
    """The folder with `manage.py`, of this version or an earlier one."""

    def __post_init__(self) -> None:
        self.popen = subprocess.Popen(
            [*self.prefix, sys.executable, "manage.py", *self.arguments],
            cwd=self.program,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=into.extend, args=(source,))
            for source, into in ((self.popen.stdout, self.lines), (self.popen.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def data_dir(self) -> Path:
        return Path(self.environment["DATA_DIR"])

    def address(self, name: str) -> str:
        return self.environment[f"ENGINE_{name}_ADDRESS"]

    @property
    def stream_settings(self) -> dict[str, str]:
        """Addresses of this engine, as settings of a process that connects to it."""
        return {name: self.environment[name] for name in ZMQ_SETTINGS}

    def wait_until_ready(self) -> "Process":
        """Waits for the first line of output, which an engine prints when it takes commands."""
        until(lambda: self.lines or self.popen.poll() is not None, "the first line of output", START_S)
        assert self.lines, "".join(self.errors)
        return self

    def memory_bytes(self) -> int:
        """Resident memory of the running process."""
        pages = int(Path(f"/proc/{self.popen.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """CPU seconds that the running process has used: its progress, also on a busy machine."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime

    def wait_for_cpu(self, used_s: float) -> None:
        """Waits until the process has used `used_s` of CPU time, or has ended."""
        until(lambda: self.cpu_s() >= used_s or self.popen.poll() is not None, f"{used_s:g} s of CPU time", START_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal and waits until the process has ended. Returns its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            return self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise
        finally:
            for reader in self._readers:
                reader.join()


def store_identity(data_dir: Path) -> bytes:
    """Of the SQLite store in this folder, once an engine or settlement has started on it."""
    with closing(sqlite3.connect(data_dir / DATABASE)) as database:
        ((identity,),) = database.execute("SELECT identity FROM store_identities").fetchall()
    return bytes.fromhex(identity)


Start = Callable[..., Process]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with all tables and no rows, made once and copied by `start`."""
    folder = tmp_path_factory.mktemp("empty-store")
    made = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env={**os.environ, "DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return folder / DATABASE


@contextmanager
def starting(below: Path, empty_store: Path) -> Iterator[Start]:
    """Starts `manage.py` with these arguments. Keywords are settings; `data_dir` shares another process's folder."""
    started: list[Process] = []

    def start_one(
        *arguments: str,
        data_dir: Path | None = None,
        prefix: tuple[str, ...] = (),
        program: Path = ROOT,
        **settings: str,
    ) -> Process:
        folder = data_dir or below / f"data-{len(started)}"
        if not folder.exists():
            folder.mkdir(mode=0o700)
            shutil.copy(empty_store, folder)
        environment = {
            **os.environ,
            "DATA_DIR": str(folder),
            "ENABLE_LOCAL_WAL": "false",
            **free_addresses(http=["ENGINE_HTTP_ADDRESS"]),
            **settings,
        }
        started.append(Process(arguments, environment, prefix=prefix, program=program))
        return started[-1]

    yield start_one
    for process in started:
        process.stop()


@pytest.fixture
def start(tmp_path: Path, empty_store: Path) -> Iterator[Start]:
    """Starts processes that end with the test."""
    with starting(tmp_path, empty_store) as start_one:
        yield start_one
