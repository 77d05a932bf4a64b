"""Engines, settlement and a gateway on machines of their own, with keys: traded, cut off, healed and promoted."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from matching.client.client import Client
from matching.core.errors import EngineUnreachable
from matching.storage.key_making import make_key
from matching.storage.local_keys import make_local_keys
from matching.storage.register_file import RegisterFile
from matching.transport.curve import Security
from matching.transport.key_register import KeyRole
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit, order, until
from tests.system.conftest import DATABASE, START_S, Process, Start
from tests.system.machines import Office, machine
from tests.system.namespaces import Namespaces, namespaces

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

PORTS = {"COMMAND": 5701, "BLOCK": 5702, "RETRANSMIT": 5703}
ROUND = [order(1, "sell", "100.00", "0.01"), order(2, "buy", "100.00", "0.01")]
PATIENCE_S = 120.0
Value = TypeVar("Value")


class Site:
    """Machines a and b have engines, e another follower, c settlement, d a gateway. The database is on all of them."""

    def __init__(self, machines: Namespaces, start: Start, folder: Path, empty_store: Path) -> None:
        self.machines = machines
        self.office = Office(folder / "office", folder / DATABASE)
        (folder / DATABASE).write_bytes(empty_store.read_bytes())
        self._start = start
        self._folder = folder
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
        )

    def client(self, role: KeyRole, address: str) -> Client:
        """To be called in a thread of machine d."""
        keys = machine(self._folder / "d", self.office)
        security = Security(keys.own_key(role, "d" if role is KeyRole.GATEWAY else "local"), RegisterFile(keys).current)
        return Client(address, timeout_s=PATIENCE_S, make_network=lambda: ZmqNetwork(security))


@pytest.fixture
def site(start: Start, tmp_path: Path, empty_store: Path) -> Iterator[Site]:
    with namespaces("abcde") as machines:
        yield Site(machines, start, tmp_path, empty_store)


class Gateway:
    """Trades from machine d. Every call is answered, or the test fails."""

    def __init__(self, site: Site, thread: ThreadPoolExecutor) -> None:
        self._site = site
        self._thread = thread
        self.trades = 0
        self.client = self.do(lambda: site.client(KeyRole.GATEWAY, site.commands("a")))

    def do(self, work: Callable[[], Value]) -> Value:
        return self.begin(work).result(2 * PATIENCE_S)

    def begin(self, work: Callable[[], Value]) -> Future[Value]:
        return self._thread.submit(work)

    def call_as(self, role: KeyRole, commands: list[dict[str, Any]]) -> None:
        def call() -> None:
            with self._site.client(role, self._site.commands("a")) as client:
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
def gateway(site: Site) -> Iterator[Gateway]:
    with site.machines.thread("d") as thread:
        made = Gateway(site, thread)
        try:
            yield made
        finally:
            made.do(made.client.close)


@pytest.mark.acceptance("machines with keys trade, are cut off, healed and promoted, and nothing is lost")
def test_machines_are_cut_off_healed_and_promoted_and_nothing_is_lost(site: Site) -> None:
    leader = site.run("a", "run_engine").wait_until_ready()
    site.run("c", "run_settlement", engine="a")
    site.run("b", "run_engine", "--follow", site.commands("a")).wait_until_ready()
    second = site.run("e", "run_engine", "--follow", site.commands("a")).wait_until_ready()
    with gateway(site) as trading:
        trading.call_as(KeyRole.OPERATOR, list(DEFINITIONS))
        trading.call_as(KeyRole.TREASURY, [deposit(1, "btc"), deposit(2, "usd", "USD", "1000000")])
        trading.do(trading.trade)

        site.machines.cut("c")
        trading.do(trading.trade)
        assert not is_settled(trading, "a"), "settlement is cut off"
        site.machines.heal("c")
        until(lambda: is_settled(trading, "a"), "settlement after the cut", START_S)

        last = trading.status("a")["block"]
        until(lambda: trading.is_at("b", last) and trading.is_at("e", last), "the followers", PATIENCE_S)
        site.machines.cut("a")
        waiting = trading.begin(trading.trade)
        until(lambda: is_promoted(site, "b"), "the promotion", START_S)
        waiting.result(PATIENCE_S)
        until(lambda: leader.popen.poll() is not None, "the end of the engine that was replaced", PATIENCE_S)

        site.machines.heal("a")
        second.stop()
        for name in "ae":
            site.run(name, "run_engine", "--follow", site.commands("b")).wait_until_ready()
        trading.do(trading.trade)
        last = trading.status("b")["block"]
        until(lambda: trading.is_at("a", last) and trading.is_at("e", last), "the followers", PATIENCE_S)
        assert len({trading.status(name)["state_hash"] for name in "abe"}) == 1
        until(lambda: is_settled(trading, "b"), "settlement", START_S)
        assert trading.trades == 80
    verified = site.run("c", "verify_settlement", "--json")
    until(lambda: verified.popen.poll() is not None, "verify_settlement", START_S)
    assert verified.stop() == 0, verified.lines + verified.errors
    assert '"trades": 80' in "".join(verified.lines)


def is_promoted(site: Site, name: str) -> bool:
    """Asks the follower to lead. It refuses only as long as it has heard from the leader a moment ago."""
    promotion = site.run(name, "promote_engine", "--address", site.commands(name), "--key", "operator-local")
    until(lambda: promotion.popen.poll() is not None, "the answer to the promotion", START_S)
    if promotion.stop() == 0:
        return True
    assert "The leader is alive" in "".join(promotion.errors)
    return False


def is_settled(trading: Gateway, name: str) -> bool:
    status = trading.status(name)
    return bool(status["ring"]["confirmed"] == status["block"])
