"""Base classes of services, and of running servers that tests can stop, pause and kill."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from exchange_site.operations.free_addresses import HOST, NoFreePort, are_free, free_ports
from scripts.services.errors import ServiceError
from scripts.services.packages import CONFIG, file_lock
from scripts.services.processes import birth, family, signal_all

LOOK_S = 0.05
_ANSWER_S = 2.0
_STOP_S = 60.0
_SHOWN_LINES = 15
_NOTE = "service.json"


def shared_folder() -> Path:
    """Folder for data, logs and state of the servers of `make services`, shared by all clones of this account.

    Not root's home: it is closed to the account that PostgreSQL runs under.
    """
    if state := os.environ.get("XDG_STATE_HOME"):
        return Path(state) / "open-exchange-services"
    if os.geteuid() == 0:
        return Path("/var/lib/open-exchange-services")
    return Path.home() / ".local" / "state" / "open-exchange-services"


class Service(ABC):
    """A real server or program that tests need and that is not a Python package."""

    name: str

    @abstractmethod
    def missing(self) -> str | None:
        """Why tests cannot use it, None if they can."""

    @abstractmethod
    def install(self) -> None:
        """Install its missing programs."""

    def start(self) -> None:  # noqa: B027  (a program that tests start themselves has nothing to start)
        """Start the server and return once it answers; do nothing if it runs."""

    def stop(self) -> None:  # noqa: B027
        """Stop the server; do nothing if it does not run."""


@dataclass
class Running:
    """A server's process. Its data in `folder` survive restarts."""

    server: "Server"
    folder: Path
    port: int
    pid: int
    born: int
    host: str = HOST
    child: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    """Set only in the process that started the server, as only the parent can read its exit status."""

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def is_alive(self) -> bool:
        if self.child is not None:
            self.child.poll()
        return birth(self.pid) == self.born

    def stop(self) -> None:
        """Stop it with its usual signal; kill it if that takes over a minute. Do nothing if it has ended."""
        self.resume()
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            if self.is_alive:
                os.kill(self.pid, self.server.stop_signal)
        if not _comes_true(lambda: not self.is_alive):
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the server and all its child processes. Returns once all have ended."""
        self.freeze()  # so that it starts no more children meanwhile
        members = {pid: birth(pid) for pid in family(self.pid)} if self.is_alive else {}
        signal_all(members, signal.SIGKILL)
        if not _comes_true(lambda: not any(born and birth(pid) == born for pid, born in members.items())):
            raise ServiceError(f"{self.server.name}: a process of {', '.join(map(str, members))} does not end")
        if self.child is not None:
            self.child.wait()  # its number is free again: PostgreSQL looks whether somebody has it

    def freeze(self) -> None:
        """Pause the server: its connections stay open, but it does nothing."""
        if self.is_alive:
            signal_all(family(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        if self.is_alive:
            signal_all(family(self.pid), signal.SIGCONT)

    def restart(self) -> "Running":
        """Start it again with the same data, options and port."""
        return self.server.launch(self.folder, self.port)

    def last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])


class Server(Service):
    """A server on loopback. Tests that stop, freeze or kill it launch their own."""

    default_port: int
    ports = 1  # 2: it takes the port after its own, too
    start_limit_s = 60.0
    stop_signal = signal.SIGTERM
    account: str | None = None  # the account that root runs it under

    @abstractmethod
    def command(self, folder: Path, port: int) -> list[str]:
        """The command line. Creates configuration and data folder."""

    @abstractmethod
    def answers(self, port: int) -> bool:
        """Whether the server serves clients; may raise OSError while it does not listen."""

    # the shared one

    def missing(self) -> str | None:
        return None if self.running() else "does not run"

    def running(self) -> Running | None:
        """The server that `make services` started, if it runs."""
        return self.running_in(shared_folder() / self.name)

    def start(self) -> None:
        """Start at the usual port if it is free, with an empty data folder."""
        folder = shared_folder() / self.name
        with file_lock(shared_folder() / f"{self.name}.lock"):
            if self.running():
                return
            if folder.exists():
                shutil.rmtree(folder)
            usual = are_free(self.default_port, self.ports)
            self.launch(folder, self.default_port if usual else self._free_port())

    def stop(self) -> None:
        """Stop the server; its log is kept."""
        if running := self.running():
            running.stop()
            shutil.rmtree(running.folder / "data")

    # anyone's

    def launch(self, folder: Path, port: int | None = None) -> Running:
        """Start a server in `folder` with the data there, and return once it answers.

        Without `port`: the one that it had in this folder, else a free one.
        """
        port = port or self._earlier_port(folder) or self._free_port()
        if not are_free(port, self.ports):
            raise ServiceError(f"{self.name}: port {port} or the one after it is in use; free it, or choose another")
        data = folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        if identity := self.identity():
            shutil.chown(data, identity["user"])
            data.chmod(0o700)
        command = self.command(folder, port)
        with (folder / "log.txt").open("ab") as log:
            child = subprocess.Popen(
                command,
                cwd=data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal is not meant for it
                **identity,
            )
        running = Running(self, folder, port, child.pid, birth(child.pid) or 0, child=child)
        note = {"port": port, "pid": running.pid, "born": running.born}
        (folder / _NOTE).write_text(json.dumps(note) + "\n")
        self._await(running)
        return running

    def _free_port(self) -> int:
        """The first of as many as it needs."""
        try:
            return free_ports(self.ports)[0]
        except NoFreePort as error:
            raise ServiceError(f"{self.name}: {error}") from error

    def identity(self) -> dict[str, Any]:
        """Arguments for `subprocess` to run as the server's account instead of root."""
        if self.account is None or os.geteuid() != 0:
            return {}
        try:
            pwd.getpwnam(self.account)
        except KeyError:
            raise ServiceError(f"{self.name}: there is no account {self.account}; its package makes it") from None
        return {"user": self.account, "group": self.account, "extra_groups": []}

    def fill(self, template: str, folder: Path, **values: object) -> Path:
        """Copies config/TEMPLATE to `folder` and fills in its $names."""
        source = CONFIG / template
        target = folder / source.name
        target.write_text(Template(source.read_text()).substitute(values))
        return target

    def _await(self, running: Running) -> None:
        deadline = time.monotonic() + self.start_limit_s
        while running.is_alive and time.monotonic() < deadline:
            try:
                if self.answers(running.port):
                    return
            except OSError:
                pass  # not yet
            time.sleep(LOOK_S)
        ended = not running.is_alive
        running.kill()
        how = "ended" if ended else f"did not answer within {self.start_limit_s:g} s"
        raise ServiceError(f"{self.name} {how}; the last lines of its log ({running.log}):\n{running.last_lines()}")

    def _earlier_port(self, folder: Path) -> int | None:
        note = _read_note(folder)
        return note["port"] if note else None

    def running_in(self, folder: Path) -> Running | None:
        """The server that this or another process launched in `folder`, if it runs."""
        note = _read_note(folder)
        if note is None or birth(note["pid"]) != note["born"]:
            return None
        return Running(self, folder, note["port"], note["pid"], note["born"])


def _comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _STOP_S
    while not (is_true := condition()) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return is_true


def _read_note(folder: Path) -> dict[str, int] | None:
    try:
        note: dict[str, int] = json.loads((folder / _NOTE).read_text())
    except (OSError, ValueError):
        return None
    return note


def ask(port: int, request: bytes) -> bytes:
    """Send one request to a server on loopback. Returns the first bytes of its answer."""
    with socket.create_connection((HOST, port), timeout=_ANSWER_S) as connection:
        return converse(connection, request)


def converse(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    return connection.recv(4096)
