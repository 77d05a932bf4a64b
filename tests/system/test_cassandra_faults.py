"""Settlement into a real Cassandra that is killed, frozen or out of disk space while commands arrive.

Each of these takes minutes. CI kills the server; `make acceptance` runs the others.
`FREEZE_S=30` sets the length of the long freeze, `KILLS=5` the number of kills.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import free_http_address
from tests.conftest import lacks
from tests.matching.small_exchange import until
from tests.system import forking_site
from tests.system.cassandra_exchange import PATIENCE_S, Exchange, OwnCassandra, refused, waited
from tests.system.conftest import Start
from tests.system.test_postgres import ends_well
from tests.system.test_settlement_kills import market
from tests.system.test_store_away import ready

pytestmark = [pytest.mark.processes, pytest.mark.services("cassandra"), pytest.mark.timeout(600)]

DISK_BYTES = 256 << 20
PAGES = ("/admin/", "/admin/trades/", "/admin/orders/", "/admin/accounts/", "/admin/blocks/")
KILLS = int(os.environ.get("KILLS", "1"))
PAUSE_S = 0.1  # so few commands that verification executes the chain again within seconds
SLOW_PAUSE_S = 0.3
FREEZE_S = float(os.environ.get("FREEZE_S", "6"))
BRIEF_FREEZES_S = (1.2, 1.5, 2.0)
"""Longer than settlement waits for an answer, so Cassandra applies writes that settlement has given up on."""


@pytest.fixture(scope="module")
def cassandra_of_ours() -> Iterator[OwnCassandra]:
    with tempfile.TemporaryDirectory(prefix="cassandra-") as folder:
        server = OwnCassandra(Path(folder))
        yield server
        server.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder for a Cassandra whose data folder is a small disk. Only root can mount it."""
    data = tmp_path / "cassandra" / "data"
    data.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(data)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        lacks("a disk to fill", "this account may not mount one, root may")
    yield data.parent
    subprocess.run(["umount", str(data)], check=True)


@pytest.mark.parametrize(
    "login", [{"SCYLLA_PASSWORD": "wrong"}, {"SCYLLA_USERNAME": "", "SCYLLA_PASSWORD": ""}], ids=["wrong", "none"]
)
def test_a_refused_login_is_reported_without_retries(
    login: dict[str, str], start: Start, cassandra_of_ours: OwnCassandra
) -> None:
    settings = {**cassandra_of_ours.settings(), **login}
    commands = (["run_engine"], ["run_settlement"], ["verify_settlement"], ["get_trade", "1"])
    for process in [start(*command, **settings) for command in commands]:
        refused(process, "rejects SCYLLA_USERNAME and SCYLLA_PASSWORD: ")
        assert not waited(process)


def test_a_cassandra_that_is_killed_under_load_loses_nothing(start: Start, cassandra_of_ours: OwnCassandra) -> None:
    server = cassandra_of_ours
    exchange = Exchange(start, server.settings())
    with market(exchange.engine, seed=21, pause_s=PAUSE_S):
        for _ in range(KILLS):
            exchange.settles_some()
            server.kill()
            exchange.notices()
            server.restart()
            exchange.recovers()
        exchange.settles_some()
    exchange.ends_in_order()


@pytest.mark.acceptance("a Cassandra that is frozen under load and answers late loses nothing")
def test_a_cassandra_that_is_frozen_under_load_loses_nothing(start: Start, cassandra_of_ours: OwnCassandra) -> None:
    server = cassandra_of_ours.running
    exchange = Exchange(start, cassandra_of_ours.settings())

    def freeze_for(seconds: float) -> None:
        server.freeze()
        down = "store_down_seconds"
        until(lambda: exchange.metric(down) >= seconds, f"an outage of {seconds:g} s", seconds + PATIENCE_S)

    try:
        with market(exchange.engine, seed=22, pause_s=PAUSE_S):
            for seconds in BRIEF_FREEZES_S:
                exchange.settles_some()
                freeze_for(seconds)
                server.resume()
                exchange.recovers()
            exchange.settles_some()
            freeze_for(FREEZE_S)
            exchange.notices()
            server.resume()
            exchange.recovers()
            exchange.settles_some()
    finally:
        server.resume()
    exchange.ends_in_order()


@pytest.mark.acceptance("a Cassandra whose disk is full loses nothing")
def test_a_cassandra_whose_disk_is_full_loses_nothing(start: Start, small_disk: Path) -> None:
    server = OwnCassandra(small_disk)
    try:
        exchange = Exchange(start, server.settings())
        with market(exchange.engine, seed=23, pause_s=PAUSE_S):
            exchange.settles_some()
            ballast = small_disk / "data" / "ballast"
            fill(ballast)
            exchange.notices()
            # The commit log is a sparse memory-mapped file: Cassandra ends when a page cannot be allocated.
            until(lambda: not server.running.is_alive, "Cassandra to end", PATIENCE_S)
            ballast.unlink()
            server.restart()
            exchange.recovers()
            exchange.settles_some()
        exchange.ends_in_order()
    finally:
        server.kill()


def fill(file: Path) -> None:
    """Writes to `file` until its disk is full."""
    with file.open("wb", buffering=0) as writing, suppress(OSError):
        while True:
            writing.write(bytes(1 << 16))


@pytest.mark.acceptance("web and background work, each forked, reconnect to a restarted Cassandra")
def test_each_forked_worker_has_its_own_connection_and_reconnects_to_a_restarted_cassandra(
    start: Start, cassandra_of_ours: OwnCassandra
) -> None:
    server = cassandra_of_ours
    address = free_http_address()
    exchange = Exchange(start, {**server.settings(), "WEB_ADDRESS": address})
    operator = {"DJANGO_SUPERUSER_USERNAME": "operator", "DJANGO_SUPERUSER_PASSWORD": forking_site.PASSWORD}
    ends_well(start, "createsuperuser", "--noinput", "--email", "", **exchange.shared, **operator)
    with market(exchange.engine, seed=24, pause_s=SLOW_PAUSE_S), ExitStack() as ends:
        exchange.settles_some()
        site = forking_site.web(exchange.settlement.environment)
        ends.callback(site.stop)
        background = forking_site.worker(exchange.settlement.environment)
        ends.callback(background.stop)
        until(lambda: ready(address)[0] == 200, "the web to be ready", PATIENCE_S)
        visitor = forking_site.Visitor(address)
        until(lambda: shows_trades(visitor) and all_connected(site, server), "both workers to connect", PATIENCE_S)
        until(lambda: exchange.runs_in_order() > 2, "background work to reconcile", PATIENCE_S)
        assert any(background.connected(server.running.port)[1:])

        server.kill()
        unready = {"store": False, "database": True}.items()
        until(lambda: unready <= ready(address)[1].items(), "the web to be unready", PATIENCE_S)
        assert ready(address)[0] == 503
        status, text = visitor.asks("/admin/trades/")
        assert (status, "does not answer" in text) == (503, True)

        server.restart()
        until(lambda: ready(address)[0] == 200, "the web to be ready again", PATIENCE_S)
        until(lambda: shows_trades(visitor) and all_connected(site, server), "both workers to go on", PATIENCE_S)
        before = exchange.runs_in_order()
        until(lambda: exchange.runs_in_order() > before + 1, "background work to go on", PATIENCE_S)
        exchange.recovers()
    assert not [line for line in site.lines + background.lines if "Traceback" in line]


def shows_trades(visitor: forking_site.Visitor) -> bool:
    with ThreadPoolExecutor(len(PAGES)) as at_once:  # sequential requests may all reach the same worker
        return [status for status, _ in at_once.map(visitor.asks, PAGES)] == [200] * len(PAGES)


def all_connected(site: forking_site.Program, server: OwnCassandra) -> bool:
    """Whether both workers are connected. Their parent must not be: the workers would share its connection."""
    parent, *workers = site.connected(server.running.port)
    assert not parent
    return workers == [True, True]
