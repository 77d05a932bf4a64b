"""Each key is replaced while the exchange trades: every answer arrives, and nothing is applied twice."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from matching.client.client import Client
from matching.core.errors import EngineUnreachable
from matching.feed.reader import Feed
from matching.storage.key_files import KeyFolder
from matching.storage.register_file import RegisterFile
from matching.transport import wire
from matching.transport.curve import Security
from matching.transport.key_register import KeyRole
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from tests.attacks.conftest import Site, until_refused
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import START_S, Process, Start
from tests.system.machines import Office, machine

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

BATCHES = 20
HALTING = {"command": "instrument_status", "symbol": "BTC-USD", "status": "cancel_only"}
COMMANDS: dict[KeyRole, dict[str, Any]] = {
    KeyRole.TRADER: {"command": "cancel_all", "account": 2},
    KeyRole.TREASURY: {"command": "deposit", "account": 2, "asset": "USD", "amount": "1", "reference": "again"},
    KeyRole.OPERATOR: HALTING,
    KeyRole.GATEWAY: {"command": "cancel_all", "account": 5},
    KeyRole.LOCAL: {"command": "cancel_all", "account": 6},
}


@pytest.mark.parametrize("role", COMMANDS)
def test_a_client_changes_its_key_and_loses_no_answer(site: Site, role: KeyRole) -> None:
    before = site.client().status()["command_sequence"]
    accounts = [2] if role is KeyRole.TRADER else []
    command, old, answered = COMMANDS[role], site.new_key(role, "alice", *accounts), 0
    with Client(site.commands, make_network=site.network(old)) as client:
        for _ in range(BATCHES):
            answered += len(client.call([command] * 5))
        new = site.new_key(role, "alice-2", *accounts)
        site.revoke(old)
        more, refused = until_refused(client, lambda _: command)
        answered += more
        assert refused.code == wire.NOT_PERMITTED
    with Client(site.commands, make_network=site.network(new)) as client:  # a client id belongs to one key
        for _ in range(BATCHES):
            answered += len(client.call([command] * 5))
    assert site.client().status()["command_sequence"] - before == answered


def test_an_observer_changes_its_key_and_misses_no_block(site: Site) -> None:
    keys = [site.new_key(KeyRole.OBSERVER, name) for name in ("screen", "screen-2")]
    found: list[int] = []
    for key in keys:
        with closing(
            Feed(site.engine.address("BLOCK"), site.engine.address("RETRANSMIT"), make_network=site.network(key))
        ) as feed:
            feed.request(len(found) + 1, site.block())
            last = site.block() + 5
            for number in range(5):
                site.assert_it_works(f"{key.name} {number}")

            def has_all(feed: Feed = feed, last: int = last) -> bool:
                found.extend(block.number for block in feed.receive(0.1, 100) if block.number == len(found) + 1)
                if len(found) < feed.newest():
                    feed.request(len(found) + 1, feed.newest())
                return len(found) == last

            until(has_all, "all blocks")
        site.revoke(key)
    assert found == list(range(1, site.block() + 1))


# Programs


@dataclass
class Market:
    """A client in a thread that deposits 1 BTC again and again, whatever happens to the engine."""

    client: Client
    stop: threading.Event = field(default_factory=threading.Event)
    sequences: list[int | None] = field(default_factory=list)
    waits: int = 0

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                (result,) = self.client.call([deposit(1, f"{len(self.sequences)}", amount="1")])
            except EngineUnreachable:
                (result,) = self._repeated()
            assert result.rejected is None
            self.sequences.append(result.command_sequence)

    def _repeated(self) -> list[Any]:
        while True:
            self.waits += 1
            try:
                return self.client.retry()
            except EngineUnreachable:
                assert not self.stop.is_set(), "the request is never answered"

    def until_it_goes_on(self, count: int = 20) -> None:
        before = len(self.sequences)
        until(lambda: len(self.sequences) >= before + count, "answers to the client", START_S)


@contextmanager
def market(engine: Process) -> Iterator[Market]:
    keys = KeyFolder(engine.data_dir / "keys")
    security = Security(keys.own_key(KeyRole.LOCAL), RegisterFile(keys).current)
    with Client(engine.address("COMMAND"), timeout_s=5, make_network=lambda: ZmqNetwork(security)) as client:
        client.call(DEFINITIONS)
        made = Market(client)
        thread = threading.Thread(target=made.run)
        thread.start()
        try:
            yield made
        finally:
            made.stop.set()
            thread.join()


def replaced(office: Office, role: KeyRole, name: str) -> str:
    """Replaces the key as docs/keys.md says. Returns the public half of the old one."""
    old = office.keys.own_key(role, name).public
    assert json.loads(office.manage("make_keys", role, name, "--replace", "--json"))["replaces"] == [old]
    return old


def status(engine: Process, keys: KeyFolder) -> dict[str, Any]:
    security = Security(keys.own_key(KeyRole.LOCAL), RegisterFile(keys).current)
    with Client(engine.address("COMMAND"), make_network=lambda: ZmqNetwork(security)) as client:
        return client.status()


def test_settlement_a_follower_and_the_engine_change_their_keys_while_a_client_trades(
    start: Start, tmp_path: Path
) -> None:
    plain = {"PLAIN_SOCKETS": "false", "ENABLE_LOCAL_WAL": "true"}
    engine = start("run_engine", **plain).wait_until_ready()
    shared = {"data_dir": engine.data_dir, **plain, **engine.stream_settings}
    database = engine.data_dir / "exchange.sqlite3"
    office = Office(engine.data_dir, database)
    office.manage("make_keys", "follower", "far", "--json")
    far = tmp_path / "far"
    far.mkdir(mode=0o700)
    machine(far, office, "root.pub", "follower-far.key")
    settlement = start("run_settlement", **shared)
    follow = ("run_engine", "--follow", engine.address("COMMAND"))
    there = {"data_dir": far, "DATABASE_URL": f"sqlite:///{database}", "PLAIN_SOCKETS": "false"}
    follower = start(*follow, **there).wait_until_ready()
    with market(engine) as trading:
        trading.until_it_goes_on()

        old = replaced(office, KeyRole.SETTLEMENT, "local")
        assert settlement.stop() == 0
        settlement = start("run_settlement", **shared)
        office.manage("revoke_key", old)
        trading.until_it_goes_on()

        old = replaced(office, KeyRole.FOLLOWER, "far")
        assert follower.stop() == 0
        machine(far, office, "follower-far.key")
        follower = start(*follow, **there).wait_until_ready()
        office.manage("revoke_key", old)
        trading.until_it_goes_on()

        old = replaced(office, KeyRole.ENGINE, "local")
        assert engine.stop() == 0
        engine = start("run_engine", **shared).wait_until_ready()
        office.manage("revoke_key", old)
        trading.until_it_goes_on()
    own = office.keys
    last = status(engine, own)
    until(lambda: status(engine, own)["ring"]["confirmed"] == last["block"], "settlement with its new key", START_S)
    until(lambda: status(follower, own)["state_hash"] == last["state_hash"], "the follower with its new key", START_S)
    assert None not in trading.sequences
    assert last["command_sequence"] == len(trading.sequences) + len(DEFINITIONS)
    verified = start("verify_settlement", **shared)
    until(lambda: verified.popen.poll() is not None, "verify_settlement", START_S)
    assert verified.stop() == 0, verified.lines + verified.errors
