"""Properties of the SQL store alone: indexes, durability, errors, metrics."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from settlement.stores.base import Order, StoreRejected, StoreUnavailable, Trade
from settlement.stores.sql import statements as sql_statements
from settlement.stores.sql.store import SqlStore
from tests.settlement.rows import balance, block, order, projection, trade

WHOLE_TABLE = {"DEFINITIONS", "DEAD_LETTERS", "EPOCHS", "COUNT_CANDLES", "COUNT_TRADING_DAYS"}
"""Small tables that are read whole, and those of which verify_settlement counts the rows."""
READS = [name for name, text in vars(sql_statements).items() if str(text).startswith(("SELECT ", "WITH "))]

sqlite_only = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="how SQLite plans, locks and is tuned")


@pytest.fixture
def sql(db: None) -> SqlStore:
    return SqlStore()


def plan(statement: str) -> list[str]:
    """SQLite's plan of one of the store's statements."""
    one = ", ".join(["%s"] * statement.count(" = wanted_"))
    statement = statement.replace("KEYS", f"({one}), ({one})")
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + statement, [1] * statement.count("%s"))
        return [row[3] for row in cursor.fetchall()]


@sqlite_only
@pytest.mark.parametrize("name", [name for name in READS if name not in WHOLE_TABLE])
def test_no_lookup_reads_a_whole_table_or_sorts(name: str, db: None) -> None:
    steps = plan(getattr(sql_statements, name))  # "wanted" and "known" are rows that the statement makes itself
    tables = [step for step in steps if re.match(r"(SEARCH|SCAN) [a-z]", step) and "wanted" not in step]
    assert tables, steps
    for step in steps:
        assert "TEMP B-TREE" not in step, steps
        is_walk = name in ("FIRST_BALANCES", "FIRST_ACCOUNT_SETTINGS", "UNRESOLVED_DEAD_LETTERS")
        walks_in_order = is_walk and "USING INDEX" in step
        assert walks_in_order or not re.match(r"SCAN (?!wanted|known)[a-z]", step), steps


@pytest.mark.django_db(transaction=True)
def test_rows_of_an_earlier_version_stay_readable() -> None:
    call_command("migrate", "settlement", "0008", verbosity=0)
    try:
        rows: dict[str, Order | Trade] = {"orders": order(7, reason="ioc"), "settled_trades": trade(9)}
        with connection.cursor() as cursor:
            for table, row in rows.items():
                names = [name for name in row._fields if name not in NEW_COLUMNS]
                marks = ", ".join(["%s"] * len(names))
                values = [getattr(row, name) for name in names]
                cursor.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)
            cursor.execute("INSERT INTO settlement_checkpoints VALUES ('projected', 5, '0000000000000001', 1)")
    finally:
        call_command("migrate", verbosity=0)  # other apps' migrations that depend on settlement's were undone, too
    store = SqlStore()
    assert store.get_orders([7]) == list(store.open_orders()) == [order(7, reason="ioc")]
    assert store.get_trade_by_id(9) == trade(9, trade_number=None)
    assert store.transfers_missing_to() == 5
    store.reset_projections(3, projection(2))
    assert store.transfers_missing_to() == 2
    store.drop_projections()
    assert store.transfers_missing_to() == 0


NEW_COLUMNS = ("trade_number", "trigger_price", "visible_quantity", "order_list_id", "triggered_at_ns")


@sqlite_only
def test_blocks_are_appended_to_a_log_that_survives_a_power_cut(transactional_db: None) -> None:
    SqlStore().append_blocks([block(1)])
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone() == (2,)  # FULL


@sqlite_only
def test_a_new_connection_is_tuned_again(transactional_db: None) -> None:
    store = SqlStore()
    store.connect()
    store.close()
    store.ping()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_autocheckpoint")
        assert cursor.fetchone() == (8000,)


@pytest.fixture
def locked(transactional_db: None) -> Iterator[None]:
    """Another connection holds the database's write lock, and nobody waits for it."""
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            inside.set()
            done.wait()
            cursor.execute("ROLLBACK")
        connections["default"].close()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 1")
    yield
    done.set()
    holder.join()
    connection.close()


@sqlite_only
def test_a_locked_database_is_unavailable_and_nothing_is_written(locked: None) -> None:
    store = SqlStore()
    before = errors("unavailable")
    with pytest.raises(StoreUnavailable, match=r"does not answer: database is locked\.$"):
        store.append_blocks([block(1)])
    assert errors("unavailable") == before + 1
    assert store.appended().block_number == 0


def test_a_row_that_the_database_refuses_is_rejected_in_one_sentence(sql: SqlStore) -> None:
    before = errors("rejected")
    nameless: Any = None
    with pytest.raises(StoreRejected) as refusal:
        sql.insert_batch(projection(1, trades=[trade(1)], orders=[order(1, symbol=nameless)]))
    assert str(refusal.value).count("\n") == 0
    assert str(refusal.value).startswith("The database rejects the statement: ")
    assert errors("rejected") == before + 1
    assert sql.get_trade_by_id(1) is None
    assert sql.projected().block_number == 0


def test_a_number_beyond_64_bits_is_rejected(sql: SqlStore) -> None:
    with pytest.raises(StoreRejected):
        sql.insert_batch(projection(1, balances=[balance(2**63)]))


def test_missing_tables_are_rejected_with_what_to_do(sql: SqlStore) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE settled_trades RENAME TO elsewhere")
    with pytest.raises(StoreRejected, match="init_store creates the tables"):
        sql.get_trade_by_id(1)


def test_rows_and_statements_are_counted(sql: SqlStore) -> None:
    trades, statements = inserts("settled_trades"), sample("settlement_db_latency_ms_count")
    sql.insert_batch(projection(1, trades=[trade(1), trade(2)]))
    assert inserts("settled_trades") == trades + 2
    assert (
        sample("settlement_db_latency_ms_count") == statements + 3
    )  # checkpoint, trades, checkpoint: no rows, no statement


def test_a_slow_statement_is_logged_with_its_duration(db: None) -> None:
    with capture_logs() as logs:
        SqlStore(slow_query_ms=-1).get_trade_by_id(1)
    (line,) = [line for line in logs if line["event"] == "store.slow_statement"]
    assert sql_statements.GET_TRADE.startswith(line["statement"].rstrip("…"))
    assert line["duration_ms"] >= 0


def errors(kind: str) -> float:
    return sample("settlement_db_errors_total", kind=kind)


def inserts(table: str) -> float:
    return sample("settlement_db_inserts_total", table=table)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0
