"""A temporary exchange for a benchmark: real processes on free ports, with a temporary DATA_DIR."""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from exchange_site.operations import readiness
from exchange_site.operations.free_addresses import ZMQ_SETTINGS, NoFreePort, free_addresses
from matching.client.connection import Connection
from matching.commandline.interruption import signals_deferred
from matching.commandline.own_keys import LOCAL_KEY, network_in
from matching.transport.network import ZmqNetwork
from matching.transport.wire import STATUS

READY_S = 180.0  # a first start compiles the kernel
TIMEOUT_S = 600.0  # a slow store may need minutes to project
STOP_S = 20.0
_POLL_S = 0.02
_READY_POLL_S = 1.0
RUN_SETTLEMENT = "manage.py", "run_settlement"
APPEND_ONLY = "-m", "benchmarks.append_only"
_APPENDED = "settlement_blocks_appended_total"
_LAG = "settlement_projection_lag"


class BenchError(Exception):
    """A benchmark failed. Its text is one sentence, after the last lines of the failed process's output."""


@dataclass
class Exchange:
    """Running processes by name, and their environment."""

    environment: dict[str, str]
    folder: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def make_network(self) -> ZmqNetwork:
        """With the key that may do everything, or without keys. Raises KeysUnusable."""
        if self.environment["PLAIN_SOCKETS"] == "true":
            return ZmqNetwork()
        return network_in(Path(self.environment["DATA_DIR"]), LOCAL_KEY)()

    def start(self, name: str, *arguments: str) -> None:
        with signals_deferred(), self._log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def prepare(self) -> None:
        """Creates tables and keys and compiles the kernel."""
        self.start("prepare_run", "manage.py", "prepare_run")
        try:
            failed = self.processes["prepare_run"].wait(READY_S)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"The benchmark's tables were not made within {READY_S:g} s.") from error
        if failed:
            raise BenchError(f"{self._last_output('prepare_run')}: the benchmark's tables could not be made.")
        del self.processes["prepare_run"]

    def wait_until_ready(self) -> None:
        urls = {
            name: f"http://{self.environment[setting]}/health/ready"
            for name, setting in (("engine", "ENGINE_HTTP_ADDRESS"), ("settlement", "SETTLEMENT_HTTP_ADDRESS"))
            if name in self.processes
        }
        deadline_s = time.monotonic() + READY_S
        while silent := readiness.wait_until_ready(urls, _READY_POLL_S):
            self.check()
            if time.monotonic() > deadline_s:
                words = "\n".join(self._last_output(name) for name in silent)
                raise BenchError(f"{words}: {' and '.join(silent)} did not become ready within {READY_S:g} s.")

    def check(self) -> None:
        """Raises BenchError if a process has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise BenchError(f"{self._last_output(name)}: {name} ended with status {process.returncode}.")

    def wait_until_confirmed(self, connection: Connection, block: int) -> None:
        """Waits until settlement has confirmed this block to the engine."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while connection.ask(STATUS)["ring"]["confirmed"] < block:
            self._wait(deadline_s, f"block {block} was not confirmed")

    def wait_until_projected(self, block: int) -> None:
        """Waits until all tables are up to date with this block."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while (found := self._settlement())[_APPENDED] < block or found[_LAG] > 0:
            self._wait(deadline_s, f"block {block} was not projected")

    def projected_blocks(self) -> int:
        """The newest block that all tables have, if settlement has been running since the first one."""
        found = self._settlement()
        return int(found[_APPENDED] - found[_LAG])

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds used so far by each process; empty on systems without /proc."""
        used = {}
        for name, process in self.processes.items():
            stat = Path(f"/proc/{process.pid}/stat")
            if stat.exists():
                fields = stat.read_text().rpartition(")")[2].split()
                used[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return used

    def stop(self) -> None:
        """Stops the processes in reverse order of their start; kills those that do not end in time."""
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _settlement(self) -> dict[str, float]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.environment['SETTLEMENT_HTTP_ADDRESS']}/metrics", timeout=10) as page:
            text = page.read().decode()
        return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}

    def _wait(self, deadline_s: float, what: str) -> None:
        self.check()
        if time.monotonic() > deadline_s:
            raise BenchError(f"After {TIMEOUT_S:g} s {what}.")
        time.sleep(_POLL_S)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _last_output(self, name: str) -> str:
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-5:])


@contextmanager
def exchange(
    parent: Path | None, store: Mapping[str, str], *, is_plain: bool, settlement: Sequence[str] = RUN_SETTLEMENT
) -> Iterator[Exchange]:
    """Starts settlement, engine and echo server in a temporary folder, below `parent` if it is given.

    `store`: settings that select settlement's store. `is_plain`: its sockets use no keys. `settlement`: the arguments
    of its program; without any none runs, and the engine halts once its ring is full. The database is the embedded one,
    and DATABASE_URL is ignored. Raises BenchError.
    """
    with tempfile.TemporaryDirectory(prefix="exchange-bench-", dir=parent, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        plain = {"PLAIN_SOCKETS": str(is_plain).lower()}
        running = Exchange({**_environment(folder / "data"), **store, **plain}, folder)
        try:
            running.prepare()
            if settlement:
                running.start("settlement", *settlement)
            running.start("engine", "manage.py", "run_engine")
            running.start("echo", "-m", "benchmarks.bare_echo", running.environment["BARE_ECHO_ADDRESS"])
            running.wait_until_ready()
            yield running
        finally:
            running.stop()


def _environment(data_dir: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    try:
        addresses = free_addresses(zmq=(*ZMQ_SETTINGS, "BARE_ECHO_ADDRESS"))
    except NoFreePort as error:
        raise BenchError(str(error)) from error
    return {**kept, **addresses, "DATA_DIR": str(data_dir), "LOG_LEVEL": "WARNING", "PYTHONUNBUFFERED": "1"}
