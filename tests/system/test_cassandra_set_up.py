"""Missing ScyllaDB server, keyspace or table: one sentence that says what to do, and doing it helps."""

from collections.abc import Callable, Iterator

import pytest

from scripts.services import Running
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.session import Session
from tests.system.cassandra_exchange import Exchange, new_keyspace, on, refused, waited
from tests.system.conftest import Start
from tests.system.test_postgres import ends_well
from tests.system.test_settlement_kills import market

pytestmark = [pytest.mark.processes, pytest.mark.services("cassandra"), pytest.mark.timeout(600)]

NO_TABLES = "manage.py init_store creates keyspace and tables"
PAUSE_S = 0.1


@pytest.fixture
def access(cassandra: Running) -> Iterator[Access]:
    """A keyspace for this test on the shared Cassandra, not created yet."""
    access = Access((cassandra.host,), cassandra.port, new_keyspace())
    yield access
    Session(access).run_plain(f"DROP KEYSPACE IF EXISTS {access.keyspace}")


def test_an_unreachable_server_is_reported_without_retries(
    start: Start, cassandra: Running, free_port: Callable[[], int]
) -> None:
    settings = {**on(cassandra, "nowhere"), "SCYLLA_PORT": str(free_port())}
    sentence = f"ScyllaDB at 127.0.0.1 port {settings['SCYLLA_PORT']} does not answer: Connection refused."
    commands = (["run_settlement"], ["verify_settlement"], ["get_trade", "1"], ["init_store"])
    for process in [start(*command, **settings) for command in commands]:
        refused(process, sentence)
        assert not waited(process)


def test_a_missing_keyspace_is_reported_and_init_store_creates_it(
    start: Start, cassandra: Running, access: Access
) -> None:
    settings = on(cassandra, access.keyspace)
    for process in [start(*command, **settings) for command in (["verify_settlement"], ["get_trade", "1"])]:
        refused(process, NO_TABLES)
    for _ in range(2):
        ends_well(start, "init_store", **settings)
    ends_well(start, "verify_settlement", **settings)
    refused(start("get_trade", "1", **settings), "There is no settled trade 1.", code=1)


def test_a_dropped_table_stops_settlement_and_can_be_created_and_filled_again(
    start: Start, cassandra: Running, access: Access
) -> None:
    exchange = Exchange(start, on(cassandra, access.keyspace))
    with market(exchange.engine, seed=23, pause_s=PAUSE_S):
        exchange.settles_some()
        Session(access).run_plain(f"DROP TABLE {access.keyspace}.settled_trades")
        refused(exchange.settlement, NO_TABLES)
        refused(start("run_settlement", **exchange.shared), NO_TABLES)
    assert exchange.dead_letters() == 0
    ends_well(start, "init_store", **exchange.shared)
    ends_well(start, "rebuild_projections", **exchange.shared)
    exchange.settle()
    exchange.ends_in_order()
