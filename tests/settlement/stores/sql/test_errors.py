"""Classification of database errors by their codes; a real database raises them where possible."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, InternalError, OperationalError, connections
from pytest_django import DjangoDbBlocker

from settlement.errors import StoreReplaced
from settlement.stores.base import Store, StoreMisconfigured, StoreUnavailable, StoreUninitialized
from settlement.stores.sql.errors import first_line, is_damaged, is_transient, unavailable_sentence
from settlement.stores.sql.store import SqlStore
from tests.settlement.file_stores import ALIAS, store_in
from tests.settlement.rows import block


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.sqlite3"


@pytest.fixture
def sql(file: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[SqlStore]:
    """With a block, and it waits for no lock."""
    with store_in(file, django_db_blocker, timeout_ms=1, init_command="PRAGMA journal_mode=WAL") as store:
        store.append_blocks([block(1)])
        yield store


def appended(store: Store) -> int:
    return store.appended().block_number


def raw(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None)


# A real SQLite


def test_a_lock_that_another_process_holds_is_transient(sql: SqlStore, file: Path) -> None:
    with closing(raw(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            sql.append_blocks([block(2)])
        assert appended(sql) == 1
        other.execute("ROLLBACK")
    sql.append_blocks([block(2)])
    assert appended(sql) == 2


def test_a_full_disk_is_transient_and_leaves_no_rows(sql: SqlStore) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
    large = block(2, data=bytes(1 << 20))
    with pytest.raises(StoreUnavailable, match="full"):
        sql.append_blocks([large])
    assert appended(sql) == 1
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1000000")
    sql.append_blocks([large])
    assert appended(sql) == 2


def test_nothing_is_written_to_a_missing_database_file(sql: SqlStore, file: Path) -> None:
    """SQLite would, and with the file all of it would be lost; or it would make an empty one."""
    elsewhere = file.with_name("elsewhere")
    file.rename(elsewhere)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="is missing: restore it"):
            sql.append_blocks([block(2)])
    assert not file.exists()
    elsewhere.rename(file)
    assert appended(sql) == 1
    sql.append_blocks([block(2)])
    with closing(raw(file)) as other:
        assert other.execute("SELECT MAX(number) FROM engine_blocks").fetchone() == (2,)


def test_a_database_file_that_was_replaced_is_opened_again(sql: SqlStore, file: Path) -> None:
    with closing(raw(file)) as source, closing(raw(file.with_name("copy"))) as copy:
        source.backup(copy)
    sql.append_blocks([block(2)])
    for name in file.parent.glob(f"{file.name}-*"):
        name.unlink()
    file.with_name("copy").replace(file)
    assert appended(sql) == 1
    with pytest.raises(StoreReplaced, match="ends with block 1"):
        sql.append_blocks([block(3)])


def test_a_folder_instead_of_the_database_file_is_transient(sql: SqlStore, file: Path) -> None:
    elsewhere = file.with_name("elsewhere")
    file.rename(elsewhere)
    file.mkdir()
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        sql.append_blocks([block(2)])
    file.rmdir()
    elsewhere.rename(file)
    sql.append_blocks([block(2)])
    assert appended(sql) == 2


def test_a_file_that_is_no_database_does_not_pass(sql: SqlStore, file: Path) -> None:
    sql.close()
    for name in file.parent.glob(f"{file.name}-*"):
        name.unlink()
    file.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreMisconfigured, match=rf"The database {file} is damaged.*not a database\. Keep a copy"):
        sql.append_blocks([block(2)])


def test_missing_tables_do_not_pass_and_name_the_remedy(sql: SqlStore, file: Path) -> None:
    with closing(raw(file)) as other:
        other.execute("DROP TABLE engine_blocks")
    with pytest.raises(StoreUninitialized, match="init_store creates the tables"):
        sql.append_blocks([block(2)])


def test_missing_columns_do_not_pass_and_name_the_remedy(sql: SqlStore, file: Path) -> None:
    with closing(raw(file)) as other:
        other.execute("ALTER TABLE engine_blocks RENAME COLUMN trade_count TO trades")
    with pytest.raises(StoreUninitialized, match="init_store creates the tables"):
        sql.append_blocks([block(2)])
    with pytest.raises(StoreUninitialized, match="init_store creates the tables"):
        sql.get_block(1)


def test_a_read_only_database_is_transient(sql: SqlStore) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("PRAGMA query_only = 1")  # as root, who may write every file, sees a read-only one
    with pytest.raises(StoreUnavailable, match="readonly"):
        sql.append_blocks([block(2)])


def test_a_lock_is_waited_for_up_to_the_time_out(sql: SqlStore) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (1,)


# Codes


def wrapped(kind: type[DatabaseError | InterfaceError], cause: Exception) -> DatabaseError | InterfaceError:
    """As Django raises what a driver raised."""
    error = kind(*cause.args)
    error.__cause__ = cause
    return error


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("as SQLite says")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_BUSY_SNAPSHOT,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY_DBMOVED,
        sqlite3.SQLITE_NOMEM,
    ],
)
def test_codes_of_sqlite_that_pass(code: int) -> None:
    assert is_transient(wrapped(OperationalError, of_sqlite(code)))


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISMATCH,
    ],
)
def test_codes_of_sqlite_that_do_not_pass(code: int) -> None:
    assert not is_transient(wrapped(OperationalError, of_sqlite(code)))


@pytest.mark.parametrize(
    "state",
    ["08006", "08001", "40001", "40P01", "53100", "53200", "53300", "55P03", "57014", "57P01", "57P03", "58030"],
)
def test_states_of_postgresql_that_pass(state: str) -> None:
    error = psycopg.errors.lookup(state)("as PostgreSQL says")
    assert is_transient(wrapped(OperationalError, error))
    assert is_transient(wrapped(InternalError, error))


@pytest.mark.parametrize("state", ["22003", "22021", "23502", "23505", "42P01", "42703", "42501", "XX001", "54000"])
def test_states_of_postgresql_that_do_not_pass(state: str) -> None:
    error = psycopg.errors.lookup(state)("as PostgreSQL says")
    assert not is_transient(wrapped(OperationalError, error))
    assert not is_transient(wrapped(IntegrityError, error))


@pytest.mark.parametrize("state", ["XX000", "XX001", "XX002"])
def test_damage_that_postgresql_reports_is_not_caused_by_the_rows(state: str) -> None:
    assert is_damaged(wrapped(InternalError, psycopg.errors.lookup(state)("as PostgreSQL says")))


@pytest.mark.parametrize("state", ["22003", "23505", "42P01", "53100"])
def test_what_else_postgresql_refuses_is_no_damage(state: str) -> None:
    assert not is_damaged(wrapped(OperationalError, psycopg.errors.lookup(state)("as PostgreSQL says")))


def test_a_lost_connection_has_no_code_and_is_transient() -> None:
    assert is_transient(wrapped(OperationalError, psycopg.OperationalError("connection refused")))
    assert is_transient(wrapped(InterfaceError, psycopg.InterfaceError("the connection is closed")))


def test_a_damaged_text_does_not_pass() -> None:
    assert not is_transient(wrapped(OperationalError, sqlite3.OperationalError("Could not decode to UTF-8 column")))


def test_a_message_is_the_first_line_of_the_databases_error() -> None:
    assert first_line(OperationalError("it is full\nDETAIL: row 5")) == "it is full."
    assert first_line(OperationalError()) == "OperationalError."


@pytest.mark.parametrize(
    "message",
    [
        'FATAL:  password authentication failed for user "clerk"',
        "fe_sendauth: no password supplied",
        'FATAL:  role "nobody" does not exist',
        'FATAL:  database "nowhere" does not exist',
        'FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "clerk", database "exchange", no encryption',
        'FATAL:  role "clerk" is not permitted to log in',
        'FATAL:  permission denied for database "exchange"',
    ],
)
def test_a_rejected_login_names_the_setting_and_is_transient(message: str) -> None:
    error = OperationalError(f'connection failed: connection to server at "127.0.0.1", port 5432 failed: {message}')
    assert is_transient(error)
    assert unavailable_sentence(error).startswith(
        "The database server rejects the login (check user, password and database name"
    )
    assert "DATABASE_URL" in unavailable_sentence(error)
    assert message in unavailable_sentence(error)


@pytest.mark.parametrize("message", ["Connection refused", "FATAL:  the database system is starting up"])
def test_a_stopped_server_does_not_answer(message: str) -> None:
    assert unavailable_sentence(OperationalError(message)) == f"The database does not answer: {message}."
