"""The SQL store on a real PostgreSQL: its query plans and its errors."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count

import psycopg
import pytest
from django.apps import apps
from django.db import connections

from scripts.services import Postgres, Running, Server
from settlement.stores.base import (
    StoreMisconfigured,
    StoreRejected,
    StoreUnavailable,
    StoreUninitialized,
)
from settlement.stores.sql import statements
from settlement.stores.sql.store import SqlStore
from tests.matching.small_exchange import until
from tests.settlement.rows import DAY, balance, block, day, entry, order, projection, trade
from tests.settlement.stores.sql.postgres.conftest import ALIAS, Raw, elsewhere, raw, sessions, waits_for_a_lock
from tests.settlement.stores.sql.test_store import READS, WHOLE_TABLE

pytestmark = pytest.mark.services("postgres")
KEYS = {
    "GET_ORDERS": "(1), (2)",
    "GET_TRANSFERS": "(1), (2)",
    "GET_BALANCES": "(1, 'a'), (2, 'b')",
    "GET_CANDLES": "('a', 1), ('b', 2)",
}


# Tables and rows


def test_every_table_of_the_models_is_there(sql: SqlStore, other: Raw) -> None:
    made = {name for (name,) in other.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert {model._meta.db_table for model in apps.get_models() if model._meta.managed} <= made


@pytest.mark.parametrize("name", [name for name in READS if name not in WHOLE_TABLE])
def test_no_lookup_reads_a_whole_table_or_sorts(name: str, postgres: Running, with_tables: str) -> None:
    statement = str(getattr(statements, name)).replace("KEYS", KEYS.get(name, ""))
    marks = count(1)
    numbered = re.sub("%s", lambda mark: f"${next(marks)}", statement)
    nothing = ", ".join(["NULL"] * (next(marks) - 1))
    with closing(raw(postgres, with_tables)) as other:
        # Of an empty table the planner would rather read all; this is what it can do without.
        other.execute("SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off")
        other.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE lookup AS {numbered}".encode())
        plan = other.execute(f"EXPLAIN EXECUTE lookup{f'({nothing})' if nothing else ''}".encode())
        steps = [str(row[0]) for row in plan]
    assert any("Index" in step for step in steps), steps
    assert not any(re.search(r"Seq Scan|\bSort\b", step) for step in steps), steps


def test_any_text_and_any_absence_comes_back_as_it_was(sql: SqlStore) -> None:
    texts = [None, "", "NULL", "{a,b}", 'say "x"', "back\\slash", "it's", "é – 中", "a,b", "%s", "line\nbreak"]
    orders = [order(number, client_order_id=text) for number, text in enumerate(texts, 1)]
    entries = [entry(1, leg) for leg in range(3)]
    sql.insert_batch(projection(1, orders=orders, ledger_events=entries, days=[day(1, 2)]))
    assert sorted(sql.get_orders(range(1, len(texts) + 1))) == orders
    assert sql.get_ledger_events(1, 1) == entries


def test_a_text_that_postgresql_cannot_keep_is_rejected_with_its_batch(sql: SqlStore) -> None:
    with pytest.raises(StoreRejected, match="NUL"):
        sql.insert_batch(projection(1, trades=[trade(1)], orders=[order(1, client_order_id="\0")]))
    assert sql.get_trade_by_id(1) is None


def test_a_number_beyond_64_bits_is_rejected(sql: SqlStore) -> None:
    with pytest.raises(StoreRejected, match=r"bigint|out of range"):
        sql.insert_batch(projection(1, balances=[balance(1), balance(2**63)]))


def test_an_older_row_does_not_overwrite_a_newer_one(sql: SqlStore) -> None:
    sql.insert_batch(projection(1, balances=[balance(1, available=7, sequence=9), balance(2, sequence=1)]))
    sql.insert_batch(projection(1, balances=[balance(1, available=3, sequence=8), balance(2, sequence=2)]))
    assert list(sql.balances()) == [balance(1, available=7, sequence=9), balance(2, sequence=2)]


# Errors


def test_a_session_that_the_server_ended_is_unavailable_and_the_next_call_works(sql: SqlStore, other: Raw) -> None:
    for pid in sessions(other):
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(StoreUnavailable, match=r"^The database does not answer: .*\.$") as refusal:
        sql.append_blocks([block(2)])
    assert "\n" not in str(refusal.value)
    sql.append_blocks([block(2)])
    assert sql.appended().block_number == 2


def test_of_a_transaction_whose_session_was_ended_nothing_stays(sql: SqlStore, other: Raw) -> None:
    with other.transaction():
        other.execute("LOCK TABLE engine_blocks IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            append = pool.submit(elsewhere, sql, lambda store: store.append_blocks([block(2)]))
            until(lambda: waits_for_a_lock(other), "the other to wait for the table")
            for pid in sessions(other):
                other.execute("SELECT pg_terminate_backend(%s)", [pid])
            assert isinstance(append.result(10), StoreUnavailable)
    sql.close()
    assert sql.appended().block_number == 1
    assert [row.number for row in sql.blocks(1)] == [1]


def test_a_lock_is_waited_for_up_to_the_time_out(sql: SqlStore, other: Raw) -> None:
    sql.close()
    hasty = SqlStore(ALIAS, timeout_ms=50)
    with other.transaction():
        other.execute("SELECT * FROM settlement_checkpoints FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            hasty.append_blocks([block(2)])
    hasty.append_blocks([block(2)])
    assert hasty.appended().block_number == 2


def test_a_statement_that_takes_too_long_is_unavailable(sql: SqlStore, other: Raw) -> None:
    other.execute("ALTER TABLE trading_days RENAME TO kept")
    columns = f"DATE '{DAY}' AS day, 1 AS first_trade_id, 2 AS last_trade_id"
    other.execute(f"CREATE VIEW trading_days AS SELECT {columns} FROM pg_sleep(60)")
    sql.close()
    hasty = SqlStore(ALIAS, timeout_ms=10)
    with pytest.raises(StoreUnavailable, match="statement timeout"):
        hasty.trading_day(DAY)
    assert hasty.appended().block_number == 1


@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE settled_trades RENAME TO elsewhere", "ALTER TABLE settled_trades RENAME buyer_fee TO fee"],
)
def test_missing_tables_and_columns_are_reported_with_what_to_do(sql: SqlStore, other: Raw, change: str) -> None:
    other.execute(change)
    with pytest.raises(StoreUninitialized, match="init_store creates the tables"):
        sql.get_trade_by_id(1)


def test_a_missing_permission_is_no_fault_of_the_rows(sql: SqlStore, other: Raw, database: str) -> None:
    other.execute(f"CREATE ROLE {database}_reader")
    other.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {database}_reader")
    try:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(f"SET ROLE {database}_reader")
        with pytest.raises(
            StoreMisconfigured, match=r"correct the permissions of DATABASE_URL.*permission denied for table"
        ):
            sql.insert_trade(trade(1))
    finally:
        sql.close()
        other.execute(f"DROP OWNED BY {database}_reader")
        other.execute(f"DROP ROLE {database}_reader")


def test_an_empty_database_is_reported_with_what_to_do(
    postgres: Running, database: str, other: Raw, use: Callable[..., None]
) -> None:
    other.execute("DROP SCHEMA public CASCADE")
    with pytest.raises(StoreUninitialized, match="init_store creates the tables"):
        SqlStore(ALIAS).append_blocks([block(1)])


def test_a_read_only_database_is_transient(sql: SqlStore, other: Raw, database: str) -> None:
    other.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    sql.close()
    with pytest.raises(StoreUnavailable, match="read-only transaction"):
        sql.append_blocks([block(2)])
    with closing(sql):
        assert sql.appended().block_number == 1
    other.execute("SET default_transaction_read_only = off")
    other.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    sql.append_blocks([block(2)])
    assert sql.appended().block_number == 2


def test_a_database_that_is_not_there_is_one_sentence(postgres: Running, use: Callable[..., None]) -> None:
    use(postgres, "nowhere")
    with pytest.raises(StoreUnavailable, match=r'database "nowhere" does not exist\.$') as refusal:
        SqlStore(ALIAS).connect()
    assert "\n" not in str(refusal.value)


def test_an_unreachable_server_is_one_sentence(
    postgres: Running, use: Callable[..., None], free_port: Callable[[], int]
) -> None:
    use(postgres, "postgres", PORT=str(free_port()))
    with pytest.raises(StoreUnavailable, match=r"(?i)connection refused\.?") as refusal:
        SqlStore(ALIAS).connect()
    assert "\n" not in str(refusal.value)


def test_a_wrong_password_and_too_many_connections_are_one_sentence(
    launch: Callable[[Server], Running], use: Callable[..., None]
) -> None:
    few = {"max_connections": "4", "superuser_reserved_connections": "0", "max_wal_senders": "0"}
    server = launch(Postgres(password="right one", settings=few))
    use(server, "postgres", PASSWORD="wrong one")
    with pytest.raises(StoreUnavailable, match=r"login .*DATABASE_URL.*password authentication failed") as refusal:
        SqlStore(ALIAS).connect()
    assert "wrong one" not in str(refusal.value)
    assert "\n" not in str(refusal.value)

    use(server, "postgres", PASSWORD="right one")
    del connections[ALIAS]
    address = f"host={server.host} port={server.port} user=postgres password='right one'"
    crowd = [psycopg.connect(address) for _ in range(4)]
    with pytest.raises(StoreUnavailable, match="too many clients"):
        SqlStore(ALIAS).connect()
    crowd.pop().close()
    until(lambda: elsewhere(SqlStore(ALIAS), SqlStore.connect) is None, "the place that came free")
    for connection in crowd:
        connection.close()


def test_a_server_that_was_killed_and_started_again_has_what_was_appended(
    launch: Callable[[Server], Running], use: Callable[..., None]
) -> None:
    server = launch(Postgres())
    use(server, "postgres")
    store = SqlStore(ALIAS)
    store.init()
    store.append_blocks([block(1)])
    server.kill()
    with pytest.raises(StoreUnavailable):
        store.append_blocks([block(2)])
    with pytest.raises(StoreUnavailable, match=r"(?i)refused"):
        store.append_blocks([block(2)])
    server.restart()
    assert store.appended().block_number == 1
    store.append_blocks([block(2)])
    assert store.appended().block_number == 2
