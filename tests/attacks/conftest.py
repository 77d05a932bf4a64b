"""Starts processes that use keys, and makes keys for attackers with an account on the same machine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from matching.client.client import Client
from matching.core.errors import EngineRefused
from matching.storage.key_files import KeyFolder
from matching.transport.curve import Security
from matching.transport.key_register import (
    KeyRegister,
    KeyRole,
    OwnKey,
    RegisteredKey,
    decode_signed,
    encode_signed,
    new_pair,
)
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit
from tests.system.conftest import Process, Start, empty_store, start, starting

__all__ = ["empty_store", "start"]


@dataclass
class Site:
    """A running engine with keys and BTC-USD, and its register."""

    engine: Process
    opened: ExitStack

    @property
    def keys(self) -> KeyFolder:
        return KeyFolder(self.engine.data_dir / "keys")

    @property
    def commands(self) -> str:
        return self.engine.address("COMMAND")

    def register(self) -> KeyRegister:
        document = self.keys.read_register()
        assert document is not None
        return decode_signed(document, self.keys.root_public())

    def _write(self, register: KeyRegister) -> None:
        with self.keys.locked():
            self.keys.write_register(encode_signed(register, self.keys.root_private()))

    def new_key(self, role: KeyRole, name: str, *accounts: int) -> OwnKey:
        """A key that is registered."""
        key = stranger(role, name)
        self._write(self.register().with_key(RegisteredKey(key.public, role, name, accounts)))
        return key

    def revoke(self, key: OwnKey) -> None:
        register = self.register()
        self._write(register.with_key(replace(register.keys[key.public], revoked=True)))

    def local(self, role: KeyRole = KeyRole.LOCAL) -> OwnKey:
        """The key of this role that the first start made."""
        return self.keys.own_key(role)

    def network(self, key: OwnKey) -> Callable[[], ZmqNetwork]:
        """Networks of a process with this key, which believes the true register."""
        register = self.register()
        return lambda: ZmqNetwork(Security(key, lambda: register))

    def client(self, key: OwnKey | None = None, timeout_s: float = 10.0) -> Client:
        client = Client(self.commands, timeout_s=timeout_s, make_network=self.network(key or self.local()))
        self.opened.callback(client.close)
        return client

    def status(self) -> dict[str, Any]:
        with Client(self.commands, make_network=self.network(self.local())) as client:
            return client.status()

    def block(self) -> int:
        """Number of the engine's newest block."""
        return int(self.status()["block"])

    def confirmed(self) -> int:
        """The newest block that settlement has confirmed."""
        return int(self.status()["ring"]["confirmed"])

    def assert_it_works(self, reference: str) -> None:
        assert self.client().call([deposit(1, reference)])[0].rejected is None


def until_refused(client: Client, command: Callable[[int], object]) -> tuple[int, EngineRefused]:
    """Sends one command after the other. Returns how many were answered, and the refusal of the next one."""
    for number in range(100_000):
        try:
            client.call([command(number)])
        except EngineRefused as refused:
            return number, refused
    raise AssertionError("the key was never refused")


def stranger(role: KeyRole, name: str = "stranger") -> OwnKey:
    """A key that nobody registered."""
    public, secret = new_pair()
    return OwnKey(public, secret, role, name)


@pytest.fixture
def site(start: Start) -> Iterator[Site]:
    with ExitStack() as opened:
        made = Site(start("run_engine", PLAIN_SOCKETS="false").wait_until_ready(), opened)
        made.client().call(DEFINITIONS)
        yield made


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Process]:
    """One engine with keys and BTC-USD for all tests of a file whose attacks leave it as it was."""
    with starting(tmp_path_factory.mktemp("shared"), empty_store) as start_one, ExitStack() as opened:
        engine = start_one("run_engine", PLAIN_SOCKETS="false").wait_until_ready()
        Site(engine, opened).client().call(DEFINITIONS)
        yield engine


@pytest.fixture
def shared_site(shared_engine: Process) -> Iterator[Site]:
    """The shared engine, with clients that end with the test."""
    with ExitStack() as opened:
        yield Site(shared_engine, opened)
