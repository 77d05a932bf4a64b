"""Properties of the ScyllaDB store alone: its schema, its errors, its connection, and that no query scans."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cassandra import (
    AuthenticationFailed,
    InvalidRequest,
    OperationTimedOut,
    Unauthorized,
    Unavailable,
    UnresolvableContactPoints,
    WriteTimeout,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import OverloadedErrorMessage
from prometheus_client import REGISTRY
from pytest_django import Settings
from structlog.testing import capture_logs

from matching.core.engine import Engine
from matching.core.epochs import Epoch
from scripts.services import Running
from settlement import wiring
from settlement.audit import verify
from settlement.stores.base import StoreMisconfigured, StoreRejected, StoreUnavailable, StoreUninitialized
from settlement.stores.scylla import keys
from settlement.stores.scylla import statements as scylla_statements
from settlement.stores.scylla.connection import driver
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.errors import translated
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import OPEN_ORDERS
from settlement.stores.scylla.keys import BUCKET_SIZE, head_stamp, last_stamp, stamp
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.scylla.tables.models import MODELS
from settlement.stores.scylla.tables.schema import options_text, script, statements
from settlement.stores.sql.store import SqlStore
from tests.matching.small_exchange import until
from tests.settlement.conftest import Settle, restarted
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.rows import MOST, balance, block, day, entry, letter, order, projection, trade
from tests.settlement.test_worker import BLOCKS, LAST

SCHEMA = Path(__file__).parents[4] / "schema" / "settlement_schema.cql"
SERVERS = "ScyllaDB at a port 1"

on_cassandra = pytest.mark.services("cassandra")


@pytest.fixture
def scylla(new_scylla: Callable[[], ScyllaStore], db: None) -> ScyllaStore:
    return new_scylla()


# The schema


def test_the_written_schema_is_that_of_the_models(settings: Settings) -> None:
    assert SCHEMA.read_text() == script(settings.SCYLLA_KEYSPACE, options_text(settings.SCYLLA_REPLICATION))


@on_cassandra
def test_the_tables_are_made_by_who_finds_none_and_again_without_harm(cassandra: Running, db: None) -> None:
    access = Access((cassandra.host,), cassandra.port, f"settlement_new_{os.getpid()}")
    store = ScyllaStore(access, SqlStore())
    try:
        with pytest.raises(StoreUninitialized, match="init_store creates keyspace and tables"):
            store.ping()
        wiring.make_tables_if_missing(store)
        store.append_blocks([block(1)])
        store.init()
        wiring.make_tables_if_missing(store)
        assert store.appended().block_number == 1
    finally:
        Session(access).run_plain(f"DROP KEYSPACE {access.keyspace}")


@on_cassandra
def test_a_table_that_is_missing_is_told_with_the_remedy(cassandra: Running, db: None) -> None:
    access = Access((cassandra.host,), cassandra.port, f"settlement_half_{os.getpid()}")
    session = Session(access)
    try:
        session.run_plain(next(statements(access.keyspace, access.replication)))
        with pytest.raises(StoreUninitialized, match="init_store creates keyspace and tables"):
            ScyllaStore(access, SqlStore()).get_trade_by_id(1)
    finally:
        session.run_plain(f"DROP KEYSPACE {access.keyspace}")


def test_every_statement_names_its_partition_and_none_filters_or_counts() -> None:
    texts = [text for name, text in vars(scylla_statements).items() if name.isupper() and isinstance(text, str)]
    whole = [text for text in texts if text.startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))]
    partitions = {model.__table_name__: set(model._partition_keys) for model in MODELS}
    assert len(whole) > 50
    for text in whole:
        assert "ALLOW FILTERING" not in text
        assert "COUNT" not in text
        table = re.search(r"(?:FROM|INTO|UPDATE) (\w+)", text)
        named = set(re.findall(r"(\w+) = \?", text.partition(" WHERE ")[2])) or set(re.findall(r"\w+", text))
        assert table, text
        assert partitions[table[1]] <= named, text


def test_write_times_order_generations_then_sequences_and_stay_in_the_past() -> None:
    assert stamp(0, 1) < stamp(0, 2) < last_stamp(0) < stamp(1, 0) < stamp(1, 1)
    assert stamp(1, MOST) == last_stamp(1)
    assert head_stamp(1, 2**34 - 1) < head_stamp(2, 1)
    assert last_stamp(keys.MAX_GENERATION) < 1_795_000_000_000_000  # late in 2026, in microseconds
    assert head_stamp(keys.MAX_EPOCH, 2**34 - 1) < 1_795_000_000_000_000


# Errors

ADDRESS = ("127.0.0.1", 9042)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (NoHostAvailable("none", {ADDRESS: ConnectionShutdown("closed")}), StoreUnavailable, "does not answer: closed"),
        (NoHostAvailable("none", []), StoreUnavailable, "SCYLLA_LOCAL_DC"),
        (
            NoHostAvailable("none", {ADDRESS: AuthenticationFailed("bad")}),
            StoreMisconfigured,
            "rejects SCYLLA_USERNAME",
        ),
        (Unauthorized("no MODIFY permission"), StoreMisconfigured, "lacks a permission"),
        (OperationTimedOut(), StoreUnavailable, "in time"),
        (WriteTimeout("late", write_type=0), StoreUnavailable, "does not answer"),
        (Unavailable("too few"), StoreUnavailable, "does not answer"),
        (OverloadedErrorMessage(0, "busy", None), StoreUnavailable, "busy"),
        (UnresolvableContactPoints({}), StoreUnavailable, "check SCYLLA_HOSTS"),
        (
            InvalidRequest('code=2200 [Invalid query] message="Batch too large"'),
            StoreRejected,
            "The store rejects the statement: Batch too large.",
        ),
        (InvalidRequest('message="unconfigured table orders"'), StoreUninitialized, "init_store creates"),
        (InvalidRequest('message="Undefined column name fee in table k.t"'), StoreMisconfigured, "init_store says"),
        (InvalidRequest('message="Unknown identifier fee"'), StoreMisconfigured, "init_store says"),
        (InvalidRequest('message="Unrecognized name fee"'), StoreMisconfigured, "init_store says"),
    ],
)
def test_an_error_of_the_driver_is_classified_by_what_to_do_next(error: Exception, kind: type, says: str) -> None:
    found = translated(error, SERVERS)
    assert type(found) is kind
    assert says in str(found)
    assert "\n" not in str(found)


@on_cassandra
def test_a_server_that_is_not_there_is_unavailable(cassandra: Running, free_port: Callable[[], int]) -> None:
    store = ScyllaStore(Access((cassandra.host,), free_port(), "settlement"), SqlStore())
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            store.connect()


@on_cassandra
def test_a_number_beyond_64_bits_is_rejected(scylla: ScyllaStore) -> None:
    with pytest.raises(StoreRejected):
        scylla.insert_trade(trade(1, price=2**63))
    with pytest.raises(StoreRejected):
        scylla.append_blocks([block(1, timestamp_ns=2**63)])


@on_cassandra
def test_an_answer_is_awaited_for_the_given_time(scylla_access: Access, db: None) -> None:
    hasty = ScyllaStore(scylla_access, SqlStore(), timeout_ms=0)
    with pytest.raises(StoreUnavailable, match="does not answer in time"):
        hasty.ping()


@on_cassandra
def test_rows_and_statements_are_counted_and_slow_ones_logged(scylla_access: Access, db: None) -> None:
    def rows(table: str) -> float:
        return REGISTRY.get_sample_value("settlement_db_inserts_total", {"table": table}) or 0.0

    def requests() -> float:
        return REGISTRY.get_sample_value("settlement_db_latency_ms_count") or 0.0

    before = rows("settled_trades"), rows("ledger_events"), requests()
    store = ScyllaStore(scylla_access, SqlStore(), slow_query_ms=-1, shard=10**6)
    with capture_logs() as logs:
        store.insert_batch(projection(1, trades=[trade(1), trade(2)], ledger_events=[entry(1)]))
    assert (rows("settled_trades"), rows("ledger_events")) == (before[0] + 2, before[1] + 1)
    assert requests() > before[2]
    assert {"store.slow_statement"} == {line["event"] for line in logs}


# The connection


@on_cassandra
def test_a_forked_process_makes_a_connection_of_its_own(scylla: ScyllaStore) -> None:
    scylla.append_blocks([block(1)])
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writable, str(scylla.appended().block_number).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writable)
    assert os.read(readable, 100) == b"1"
    os.close(readable)
    scylla.append_blocks([block(2)])
    assert scylla.appended().block_number == 2


# Lookups


@on_cassandra
@pytest.mark.parametrize("threads", [1, 4])
def test_a_login_that_is_refused_for_a_while_does_not_end_the_connection_permanently(
    scylla_access: Access, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """As when a quorum of the nodes that hold the roles is away: the driver never tries that node again by itself."""
    monkeypatch.setattr(driver, "_SILENT_S", 0.5)
    session = Session(replace(scylla_access, timeout_ms=2000 + threads))  # so that the connection is this test's own
    query = "SELECT shard FROM settlement_checkpoints WHERE shard = ? AND stage = ?"
    assert session.rows(query, (10**6, "appended")) == []
    lost = session.open()
    refusals = list[str]()

    def refuse(*arguments: Any, **options: Any) -> Any:
        refusals.append("")
        raise AuthenticationFailed("Unable to perform authentication: Cannot achieve consistency level LOCAL_ONE")

    def answers() -> bool:
        try:
            return session.rows(query, (10**6, "appended")) == []
        except StoreUnavailable:
            return False

    with monkeypatch.context() as patched:
        patched.setattr(lost.session.cluster.connection_class, "factory", refuse)
        for pool in lost.session._pools.values():
            for connection in pool.get_connections():
                connection.defunct(ConnectionShutdown("cut"))
        lost.session.cluster.control_connection._connection.defunct(ConnectionShutdown("cut"))
        until(lambda: not answers(), "the loss to be noticed")
        until(lambda: not answers() and len(refusals) > 4, "another connection to be tried, and refused")
        assert session.open() is lost
    with ThreadPoolExecutor(threads) as pool:
        everyone = [pool.submit(until, answers, "an answer on another connection") for _ in range(threads)]
        for one in everyone:
            one.result(60)
    assert session.open() is not lost
    until(lambda: lost.session.is_shutdown, "the old connection to be given up")
    session.query_id("SELECT stage FROM settlement_checkpoints WHERE shard = ? AND stage = ?")


@on_cassandra
def test_the_ledger_by_sequence_is_read_once_a_bucket_and_sees_what_is_written_later(scylla: ScyllaStore) -> None:
    scylla.append_blocks([block(1, last_event_sequence=3 * BUCKET_SIZE)])
    scylla.insert_batch(projection(1, ledger_events=[entry(n) for n in range(5, 2 * BUCKET_SIZE, 997)]))
    asked: list[str] = []
    rows = scylla._session.many

    def noting(statement: str, parameters: object) -> object:
        asked.append(statement)
        return rows(statement, parameters)  # type: ignore[arg-type]

    scylla._session.many = noting  # type: ignore[assignment, method-assign]
    found = [
        e.event_sequence for first in range(0, BUCKET_SIZE, 1000) for e in scylla.get_ledger_events(first, first + 999)
    ]
    assert found == [n for n in range(5, 2 * BUCKET_SIZE, 997) if n < BUCKET_SIZE]
    assert len(asked) == 1
    scylla.insert_ledger_events([entry(7)])
    assert [e.event_sequence for e in scylla.get_ledger_events(0, 10)] == [5, 7]


@on_cassandra
def test_buckets_whose_orders_are_all_closed_are_not_looked_at_for_open_ones(scylla: ScyllaStore) -> None:
    for bucket in range(12):
        opened = [order(bucket * BUCKET_SIZE + n) for n in (1, 2)]
        scylla.insert_batch(projection(3 * bucket + 1, orders=opened))
        closed = [row._replace(status="filled", updated_sequence=row.order_id + 5) for row in opened]
        scylla.insert_batch(projection(3 * bucket + 2, orders=closed[: 1 if bucket in (3, 7) else 2]))
    scylla.insert_batch(projection(90, orders=[order(12 * BUCKET_SIZE + 1)]))
    scylla.insert_batch(projection(91, orders=[order(13 * BUCKET_SIZE + 1)]))
    assert [row.order_id for row in scylla.open_orders()] == [
        3 * BUCKET_SIZE + 2,
        7 * BUCKET_SIZE + 2,
        12 * BUCKET_SIZE + 1,
        13 * BUCKET_SIZE + 1,
    ]
    kept = set(restarted(scylla)._index.walk(OPEN_ORDERS))  # type: ignore[attr-defined]
    assert {3, 7, 12, 13} <= kept
    assert len(kept) < 8


@on_cassandra
def test_a_bucket_is_not_pruned_while_a_dead_letter_may_bring_orders_into_it(scylla: ScyllaStore) -> None:
    scylla.insert_batch(projection(1, orders=[order(1)]))
    scylla.put_dead_letter(letter(2))
    for number, order_id in enumerate((1, BUCKET_SIZE + 1, 2 * BUCKET_SIZE + 1, 3 * BUCKET_SIZE + 1), 3):
        scylla.insert_batch(projection(number, orders=[order(order_id, status="filled", updated_sequence=order_id)]))
    scylla.insert_rows(projection(2, orders=[order(2, updated_sequence=2)]))
    assert [found.order_id for found in scylla.open_orders()] == [2]


@on_cassandra
def test_an_epoch_that_write_times_cannot_hold_is_refused_in_a_sentence(scylla: ScyllaStore) -> None:
    with pytest.raises(StoreRejected, match="Epoch 65537 cannot begin"):
        scylla.begin_epoch(Epoch(keys.MAX_EPOCH + 1, 1, 0, "A", "", "", "", 1))
    assert (scylla.appended().block_number, scylla.epochs()) == (0, [])


@on_cassandra
def test_an_account_is_paged_through_months_parts_and_assets(scylla: ScyllaStore) -> None:
    month_ns = 31 * 86_400 * 10**9
    entries = [entry(n * 700_000, asset=("BTC", "USD")[n % 2], timestamp_ns=n * month_ns) for n in range(1, 9)]
    trades = [trade(n * 700_000, timestamp_ns=n * month_ns) for n in range(1, 9)]
    orders = [order(n * 700_000, placed_at_ns=n * month_ns) for n in range(1, 9)]
    balances = [balance(1, "BTC"), balance(1, "USD")]
    scylla.insert_batch(projection(1, ledger_events=entries, trades=trades, orders=orders, balances=balances))
    assert scylla.get_ledger_events_by_account(1, 3) == entries[:-4:-1]
    assert scylla.get_ledger_events_by_account(1, 9, before=entries[3][:2]) == entries[2::-1]
    assert scylla.get_ledger_events_by_account(1, 2, asset="USD") == [entries[6], entries[4]]
    assert scylla.get_trades_by_account(1, 3, before=trades[5].trade_id) == trades[4:1:-1]
    assert scylla.get_orders_by_account(1, 9, before=orders[2].order_id) == orders[1::-1]
    assert scylla.get_trades_by_sequence_range(0, MOST, 100) == trades
    assert scylla.newest_trades(2, symbol="BTC-USD") == trades[:-3:-1]


@on_cassandra
def test_shards_of_one_keyspace_do_not_see_each_other(new_scylla: Callable[[], ScyllaStore], db: None) -> None:
    one, other = new_scylla(), new_scylla()
    for store in (one, other):
        store.append_blocks([block(1)])
        store.insert_batch(projection(1, trades=[trade(3)], balances=[balance(1)], days=[day(3, 3)]))
    one.drop_projections()
    assert one.get_trade_by_id(3) is None
    assert other.get_trade_by_id(3) == trade(3)
    assert list(other.balances()) == [balance(1)]


@on_cassandra
def test_verification_names_rows_that_were_changed_and_finds_nothing_else(
    scylla: ScyllaStore, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(scylla, feed_of(clock, BLOCKS))
    report = verify.verify(scylla, folder, Engine())
    assert (report.differences, report.to_block) == ([], LAST)
    first = scylla.get_trades_by_sequence_range(0, MOST, 1)[0]
    owner = next(iter(scylla.balances()))
    scylla.insert_rows(projection(trades=[first._replace(price=MOST)], balances=[owner._replace(available=MOST)]))
    scylla.insert_ledger_events([entry(first.trade_id, 9)])
    names = {f"{found.what} {found.key}" for found in verify.verify(scylla, folder, Engine()).differences}
    trade_id = first.trade_id
    assert names == {f"trade {trade_id}", f"balance {owner.account}:{owner.asset}", f"ledger entry {trade_id}:9"}
