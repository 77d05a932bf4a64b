"""The SQL store on a real PostgreSQL: its plans, its locks, its errors, and two settlements at once."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import connections
from pytest_django import DjangoDbBlocker

from scripts.services import Postgres, Running, Server
from settlement.errors import StoreReplaced
from settlement.stores.base import (
    Fenced,
    Outrun,
    StoreError,
    StoreMisconfigured,
    StoreRejected,
    StoreUnavailable,
    StoreUninitialized,
)
from settlement.stores.sql import statements
from settlement.stores.sql.store import SqlStore
from tests.matching.small_exchange import until
from tests.settlement.rows import DAY, balance, block, day, entry, epoch, order, projection, trade
from tests.settlement.stores.sql.test_store import READS, WHOLE_TABLE

pytestmark = pytest.mark.services("postgres")

ALIAS = "of_this_test"
ROUNDS = 30
KEYS = {"GET_ORDERS": "(1), (2)", "GET_BALANCES": "(1, 'a'), (2, 'b')", "GET_CANDLES": "('a', 1), ('b', 2)"}
_names = count(1)

Raw = psycopg.Connection[tuple[Any, ...]]


def raw(server: Running, database: str = "postgres") -> Raw:
    """Another client, without a transaction around its statements."""
    return psycopg.connect(host=server.host, port=server.port, user="postgres", dbname=database, autocommit=True)


@pytest.fixture
def use(django_db_blocker: DjangoDbBlocker) -> Iterator[Callable[..., None]]:
    """use(server, database, **more) makes that database the one behind ALIAS."""

    def use_one(server: Running, database: str, **more: Any) -> None:
        connections.settings[ALIAS] = {
            **connections["default"].settings_dict,
            "ENGINE": "django.db.backends.postgresql",
            "NAME": database,
            "HOST": server.host,
            "PORT": str(server.port),
            "USER": "postgres",
            "OPTIONS": {},
            **more,
        }

    with django_db_blocker.unblock():
        yield use_one
        if ALIAS in connections.settings:
            connections[ALIAS].close()
            del connections[ALIAS]
            del connections.settings[ALIAS]


@pytest.fixture(scope="module")
def with_tables(postgres: Running, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A database with every table, to be copied."""
    name = f"tables_{os.getpid()}"
    with closing(raw(postgres)) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        settings = connections["default"].settings_dict
        connections.settings[name] = {**settings, "ENGINE": "django.db.backends.postgresql", "OPTIONS": {}}
        connections.settings[name] |= {"NAME": name, "HOST": postgres.host, "PORT": postgres.port, "USER": "postgres"}
        with django_db_blocker.unblock():
            made = SqlStore(name)
            made.init()
            made.close()
        del connections[name]
        del connections.settings[name]
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres: Running, with_tables: str, use: Callable[..., None]) -> Iterator[str]:
    """The name of an empty one of this test's own, behind ALIAS."""
    name = f"{with_tables}_{next(_names)}"
    with closing(raw(postgres)) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {with_tables}")
        use(postgres, name)
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def other(postgres: Running, database: str) -> Iterator[Raw]:
    """Another client of that database."""
    with closing(raw(postgres, database)) as connection:
        yield connection


@pytest.fixture
def sql(database: str) -> SqlStore:
    store = SqlStore(ALIAS)
    store.append_blocks([block(1)])
    return store


def sessions(other: Raw) -> list[int]:
    """Process ids of everybody else's."""
    rows = other.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return [pid for (pid,) in rows]


def waits_for_a_lock(other: Raw) -> bool:
    """Anybody. (pg_stat_activity would not do: it stands still within a transaction.)"""
    return other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


def elsewhere(store: SqlStore, call: Callable[[SqlStore], None]) -> StoreError | None:
    """Makes the call on another thread's connection; what it raised."""
    try:
        call(store)
    except StoreError as error:
        return error
    finally:
        store.close()
    return None


# Tables and rows


def test_every_table_of_the_models_is_there(sql: SqlStore, other: Raw) -> None:
    made = {name for (name,) in other.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert {model._meta.db_table for model in apps.get_models()} <= made


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
def test_missing_tables_and_columns_are_told_with_what_to_do(sql: SqlStore, other: Raw, change: str) -> None:
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


def test_an_empty_database_is_told_with_what_to_do(
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


# What was confirmed


@pytest.mark.parametrize("timeout_ms", [None, 5000])
@pytest.mark.parametrize(
    ("said", "holds"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply"), ("on", "on")]
)
def test_blocks_are_on_disk_before_they_are_confirmed_whatever_the_database_says(
    other: Raw, database: str, said: str, holds: str, timeout_ms: int | None
) -> None:
    other.execute(f"ALTER DATABASE {database} SET synchronous_commit = {said}")
    store = SqlStore(ALIAS, timeout_ms=timeout_ms)
    store.append_blocks([block(1)])
    assert commits_of(ALIAS) == holds


def test_blocks_are_on_disk_before_they_are_confirmed_whatever_the_role_says(
    postgres: Running, other: Raw, database: str, use: Callable[..., None]
) -> None:
    role = f"{database}_hasty"
    other.execute(f"CREATE ROLE {role} SUPERUSER LOGIN")
    other.execute(f"ALTER ROLE {role} SET synchronous_commit = off")
    try:
        use(postgres, database, USER=role)
        store = SqlStore(ALIAS)
        for number in (1, 2):
            store.append_blocks([block(number)])
            assert commits_of(ALIAS) == "on"
            store.close()  # the next connection is another one
    finally:
        other.execute(f"DROP ROLE {role}")


def commits_of(alias: str) -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        return str(cursor.fetchone()[0])


def test_a_standby_that_lacks_the_last_blocks_is_told_by_the_next_append(
    postgres: Running, sql: SqlStore, database: str
) -> None:
    """As after a failover to an asynchronous standby: the older database answers under the same name."""
    older = f"{database}_older"
    sql.append_blocks([block(2)])
    sql.close()
    with closing(raw(postgres)) as admin:
        admin.execute(f"CREATE DATABASE {older} TEMPLATE {database}")
        sql.append_blocks([block(3), block(4)])
        sql.close()
        admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
        admin.execute(f"ALTER DATABASE {older} RENAME TO {database}")
    assert sql.epochs() == []  # what meets the change first
    with pytest.raises(StoreReplaced, match="Block 5 was about to be stored, but the store ends with block 2"):
        sql.append_blocks([block(5)])
    assert [row.number for row in sql.blocks(1)] == [1, 2]


# Two at once


def test_an_epoch_waits_for_blocks_that_are_being_appended(sql: SqlStore, other: Raw) -> None:
    with ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute("SELECT * FROM settlement_checkpoints FOR UPDATE")
            begin = pool.submit(elsewhere, sql, lambda store: store.begin_epoch(epoch(2, 2, 2**64 - 1)))
            until(lambda: waits_for_a_lock(other), "the epoch to wait")
            other.execute("UPDATE settlement_checkpoints SET block_number = 2 WHERE stage = 'appended'")
        assert isinstance(begin.result(10), Outrun)
    assert sql.epochs() == []


def test_blocks_wait_for_an_epoch_that_is_being_begun_and_are_fenced(sql: SqlStore, other: Raw) -> None:
    with ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute(statements.LOCK_CHECKPOINT.encode(), ["appended"])
            append = pool.submit(elsewhere, sql, lambda store: store.append_blocks([block(2)]))
            until(lambda: waits_for_a_lock(other), "the blocks to wait")
            values = [*epoch(2, 2)]
            values[2] = f"{values[2]:016x}"
            other.execute(statements.PUT_EPOCH.encode(), values)
        assert isinstance(append.result(10), Fenced)
    assert sql.appended().block_number == 1


@pytest.mark.parametrize("isolation", [None, *psycopg.IsolationLevel])
def test_of_a_block_and_an_epoch_that_rule_each_other_out_one_comes_about(
    postgres: Running, database: str, use: Callable[..., None], isolation: psycopg.IsolationLevel | None
) -> None:
    use(postgres, database, OPTIONS={} if isolation is None else {"isolation_level": isolation})
    store = SqlStore(ALIAS)
    barrier = threading.Barrier(2)

    def race(call: Callable[[SqlStore], None]) -> StoreError | None:
        """As settlement and engines do, they ask again when the store could not say."""
        barrier.wait(10)
        while isinstance(error := elsewhere(store, call), StoreUnavailable):
            assert "serialize" in str(error)
        return error

    with ThreadPoolExecutor(2) as pool:
        for number in range(1, ROUNDS + 1):
            height = store.appended().block_number + 1
            row, begins = block(height, epoch=number - 1), epoch(number, height, store.appended().hash)
            append = pool.submit(race, lambda store, row=row: store.append_blocks([row]))  # type: ignore[misc]
            begin = pool.submit(race, lambda store, begins=begins: store.begin_epoch(begins))  # type: ignore[misc]
            refusals = (type(append.result(30)), type(begin.result(30)))
            assert refusals in ((Fenced, type(None)), (type(None), Outrun))
            if refusals[0] is not Fenced:  # the next round's blocks are of the epoch before it
                store.begin_epoch(begins._replace(first_block=height + 1, prev_hash=row.hash))
    assert len(store.epochs()) == ROUNDS


def test_two_that_append_at_once_leave_every_block(sql: SqlStore) -> None:
    rows = [block(number) for number in range(2, 60)]

    def append(store: SqlStore) -> None:
        for row in rows:
            store.append_blocks([row])

    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(elsewhere, [sql, sql], [append, append])] == [None, None]
    assert [*sql.blocks(2)] == rows
