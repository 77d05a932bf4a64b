"""Attack 3, its aftermath: another engine had this engine's key, and settlement has settled its blocks.

The thief had the true state and made other blocks in the same epoch, each of which is what its commands give. One
command puts them away, and what the true engine has answered takes their place.
"""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from matching.core.blocks import Block
from matching.node import process
from matching.transport.key_register import KeyRole
from matching.transport.wire import Addresses
from matching.workloads.btc_usd import DEFINITIONS
from scripts.services import Running
from settlement.maintenance.kept_blocks import blocks_of, sources
from settlement.stores.base import Store
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.sql.store import SqlStore
from tests.attacks.conftest import Site
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import deposit, leader_with, services, trading, until
from tests.system.cassandra_exchange import new_keyspace, on
from tests.system.conftest import Process, Start, store_identity

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

PATIENCE_S = 240
DEPOSITS = 15

Identity = Callable[[Process], bytes]


@pytest.fixture(params=["sqlite", pytest.param("scylla", marks=pytest.mark.services("cassandra"))])
def store(request: pytest.FixtureRequest) -> tuple[dict[str, str], Identity]:
    """Settings of an empty store, and a function that reads its identity."""
    if request.param == "sqlite":
        return {}, lambda engine: store_identity(engine.data_dir)
    server: Running = request.getfixturevalue("cassandra")
    keyspace = new_keyspace()
    found: Store = ScyllaStore(Access((server.host,), server.port, keyspace), SqlStore())
    return on(server, keyspace), lambda engine: found.identity()


class ThiefsHistory(MemoryHistory):
    """The true blocks up to some point, and the identity of the true store."""

    def __init__(self, blocks: list[Block], identity: bytes) -> None:
        super().__init__(blocks)
        self._identity = identity

    def store_identity(self) -> bytes:
        return self._identity


@contextmanager
def thief(site: Site, blocks: list[Block], identity: bytes) -> Iterator[Client]:
    """An engine with the key, the addresses and the state of the true one. Gives a client of it."""
    addresses = Addresses(*(site.engine.address(name) for name in ("COMMAND", "BLOCK", "RETRANSMIT")))
    stolen = site.network(site.local(KeyRole.ENGINE))
    own = replace(services(ThiefsHistory(blocks, identity)), make_network=stolen)
    with leader_with(process.Plan(addresses, 1000, 1 << 28, 64), own):
        yield site.client()


def ended(program: Process) -> tuple[int, str]:
    """Exit code and standard error of a program that ends by itself."""
    until(lambda: program.popen.poll() is not None, f"{program.arguments[0]} to end", PATIENCE_S)
    return program.stop(), "".join(program.errors)


def is_settled(site: Site) -> bool:
    status = site.status()
    return bool(status["ring"]["confirmed"] == status["block"])


def test_blocks_of_an_engine_with_a_stolen_key_are_put_away_and_nothing_true_is_lost(
    start: Start, store: tuple[dict[str, str], Identity]
) -> None:
    settings, identity = store
    shared = {"PLAIN_SOCKETS": "false", "ENABLE_LOCAL_WAL": "true", **settings}
    with ExitStack() as opened:
        site = Site(start("run_engine", **shared).wait_until_ready(), opened)
        folder = site.engine.data_dir
        shared |= {**site.engine.stream_settings, "ENGINE_HTTP_ADDRESS": site.engine.environment["ENGINE_HTTP_ADDRESS"]}

        def run(*arguments: str) -> tuple[int, str, str]:
            program = start(*arguments, data_dir=folder, **shared)
            code, errors = ended(program)
            return code, "".join(program.lines), errors

        def settle() -> None:
            """Until settlement has everything that the engine has."""
            address = free_http_address()
            settlement = start("run_settlement", data_dir=folder, SETTLEMENT_HTTP_ADDRESS=address, **shared)
            until(lambda: is_settled(site) or settlement.popen.poll() is not None, "settlement", PATIENCE_S)
            assert settlement.stop() == 0, settlement.errors

        client = site.client()
        client.call([*DEFINITIONS, *trading(10)])
        settle()
        last_common = site.block()
        for number in range(DEPOSITS):
            assert client.call([deposit(1, f"true-{number}")])[0].rejected is None
        answered, state = site.block(), client.state()
        site.engine.stop(signal.SIGKILL)

        true_blocks = [block for source in sources(folder) for block in blocks_of(source)]
        common = [block for block in true_blocks if block.number <= last_common]
        with thief(site, common, identity(site.engine)) as stolen:
            stolen.call([deposit(7, "stolen", amount="1000000"), *trading(20)[2:]])
            wrong = site.block()
            settle()
        assert last_common < wrong

        code, _, errors = run("run_engine")
        assert (code, "This engine was replaced: its log holds block" in errors) == (1, True), errors
        code, said, _ = run("doctor", "--json")
        findings = {one["code"]: one["command"] for one in json.loads(said)["findings"]}
        first = last_common + 1
        assert (code, findings["chain_forked"]) == (1, f"manage.py quarantine_block {first} --yes")

        code, _, errors = run("quarantine_block", str(first))
        assert code == 2
        assert f"Blocks {first} to {wrong} of the store are taken out of the chain" in errors
        assert "Add --yes to do it." in errors
        code, said, errors = run("quarantine_block", str(first), "--yes", "--json")
        assert code == 0, errors
        done = json.loads(said)
        assert (done["first_block"], done["last_block"], done["replaced_to"]) == (first, wrong, answered)

        site.engine = start("run_engine", data_dir=folder, **shared).wait_until_ready()
        assert site.client().state()["balances"] == state["balances"]
        code, _, errors = run("quarantine_block", "1", "--yes")
        assert (code, "An engine runs in" in errors) == (2, True), errors
        site.client().call([deposit(1, "goes on")])
        settle()
        code, said, errors = run("verify_settlement", "--json")
        assert code == 0, errors
        verified = json.loads(said)
        assert (verified["ok"], verified["blocks"]) == (True, site.block())
        site.engine.stop()
        assert run("doctor")[0] == 0
