"""Machines with keys: folders of one machine, or of several, that share a database and have addresses of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from matching.client.client import Client
from matching.core.errors import EngineUnreachable
from matching.storage.key_files import KeyFolder
from matching.storage.key_making import make_key
from matching.storage.local_keys import make_local_keys
from matching.storage.register_file import RegisterFile
from matching.transport.curve import Security
from matching.transport.key_register import KeyRole
from matching.transport.network import ZmqNetwork
from tests.matching.small_exchange import order, until
from tests.system.conftest import DATABASE, ROOT, START_S, Process, Start
from tests.system.namespaces import Namespaces

PORTS = {"COMMAND": 5701, "BLOCK": 5702, "RETRANSMIT": 5703}
ROUND = [order(1, "sell", "100.00", "0.01"), order(2, "buy", "100.00", "0.01")]
PATIENCE_S = 120.0
Value = TypeVar("Value")


class Office:
    """The machine with the root key, which runs no service."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder = folder
        self._environment = {
            **os.environ,
            "DATA_DIR": str(folder),
            "DATABASE_URL": f"sqlite:///{database}",
            "PLAIN_SOCKETS": "false",
        }

    @property
    def keys(self) -> KeyFolder:
        return KeyFolder(self.folder / "keys")

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


def machine(folder: Path, office: Office, *names: str) -> KeyFolder:
    """A machine that got these files of the office before its first start."""
    keys = KeyFolder(folder / "keys")
    with keys.locked():
        for name in names:
            (keys.folder / name).write_bytes((office.keys.folder / name).read_bytes())
            (keys.folder / name).chmod(0o600)
    return keys


class Site:
    """Machines a and b have engines, e another follower, c settlement, d a gateway. The database is on all of them."""

    def __init__(self, machines: Namespaces, start: Start, folder: Path, empty_store: Path) -> None:
        self.machines = machines
        self.office = Office(folder / "office", folder / DATABASE)
        (folder / DATABASE).write_bytes(empty_store.read_bytes())
        self._start = start
        self._folder = folder
        self.settings: dict[str, str] = {}  # of all processes
        self._make_keys()

    def _make_keys(self) -> None:
        self.office.folder.mkdir(mode=0o700)
        keys = self.office.keys
        make_local_keys(keys)
        for role, name in (("engine", "a"), ("engine", "b"), ("follower", "e"), ("settlement", "c"), ("gateway", "d")):
            make_key(keys, KeyRole(role), name)
        files = {
            "a": ["engine-a.key"],
            "b": ["engine-b.key", "operator-local.key"],
            "c": ["settlement-c.key"],
            "d": ["gateway-d.key", "treasury-local.key", "operator-local.key"],
            "e": ["follower-e.key"],
        }
        for name, own in files.items():
            (self._folder / name).mkdir(mode=0o700)
            machine(self._folder / name, self.office, "root.pub", *own)
        # The engine of machine a brings the register into the store; machine d has neither engine nor settlement.
        for name in "ad":
            machine(self._folder / name, self.office, "register.json")

    def addresses(self, name: str) -> dict[str, str]:
        return {f"ENGINE_{kind}_ADDRESS": f"tcp://{self.machines.host(name)}:{port}" for kind, port in PORTS.items()}

    def commands(self, name: str) -> str:
        return self.addresses(name)["ENGINE_COMMAND_ADDRESS"]

    def run(self, on: str, *arguments: str, engine: str = "") -> Process:
        """Runs a command on a machine. `engine`: the machine of the engine whose addresses it uses, else its own."""
        return self._start(
            *arguments,
            data_dir=self._folder / on,
            prefix=self.machines.prefix(on),
            DATABASE_URL=f"sqlite:///{self._folder / DATABASE}",
            PLAIN_SOCKETS="false",
            **self.addresses(engine or on),
            **self.settings,
        )

    def assert_verified(self, trades: int) -> None:
        verified = self.run("c", "verify_settlement", "--json")
        until(lambda: verified.popen.poll() is not None, "verify_settlement", START_S)
        assert verified.stop() == 0, verified.lines + verified.errors
        assert f'"trades": {trades}' in "".join(verified.lines)

    def client(self, role: KeyRole, address: str) -> Client:
        """To be called in a thread of machine d."""
        keys = machine(self._folder / "d", self.office)
        security = Security(keys.own_key(role, "d" if role is KeyRole.GATEWAY else "local"), RegisterFile(keys).current)
        return Client(address, timeout_s=PATIENCE_S, make_network=lambda: ZmqNetwork(security))


class Gateway:
    """Trades from machine d. Every call is answered, or the test fails."""

    def __init__(self, site: Site, engines: str, thread: ThreadPoolExecutor) -> None:
        self._site = site
        self._engines = engines
        self._thread = thread
        self.trades = 0
        self.client = self.do(lambda: site.client(KeyRole.GATEWAY, engines))

    def do(self, work: Callable[[], Value]) -> Value:
        return self.begin(work).result(2 * PATIENCE_S)

    def begin(self, work: Callable[[], Value]) -> Future[Value]:
        return self._thread.submit(work)

    def call_as(self, role: KeyRole, commands: list[dict[str, Any]]) -> None:
        def call() -> None:
            with self._site.client(role, self._engines) as client:
                assert [result.rejected for result in client.call(commands)] == [None] * len(commands)

        self.do(call)

    def trade(self, rounds: int = 20) -> None:
        for _ in range(rounds):
            results = self.client.call(ROUND)
            assert [result.rejected for result in results] == [None, None]
            self.trades += 1

    def status(self, name: str) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            with self._site.client(KeyRole.GATEWAY, self._site.commands(name)) as client:
                return client.status()

        return self.do(ask)

    def is_at(self, name: str, number: int) -> bool:
        try:
            return bool(self.status(name)["block"] == number)
        except EngineUnreachable:
            return False


@contextmanager
def gateway(site: Site, engines: str) -> Iterator[Gateway]:
    """A gateway on machine d. `engines`: command addresses, separated by commas."""
    with site.machines.thread("d") as thread:
        made = Gateway(site, engines, thread)
        try:
            yield made
        finally:
            made.do(made.client.close)


def is_settled(trading: Gateway, name: str) -> bool:
    status = trading.status(name)
    return bool(status["ring"]["confirmed"] == status["block"])
