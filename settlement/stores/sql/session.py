"""The database connection as the SQL store uses it: statements timed and counted, errors in the contract's words."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from settlement import metrics
from settlement.stores.base import StoreMisconfigured, StoreRejected, StoreUnavailable, StoreUninitialized
from settlement.stores.sql.errors import (
    is_damaged,
    is_misconfigured,
    is_transient,
    is_uninitialized,
    sentence,
    why_away,
)
from settlement.stores.sql.statements import Bulk
from settlement.stores.timing import StatementTimes

log = structlog.get_logger(__name__)

Row = tuple[Any, ...]

_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",  # readers go on while settlement writes
    "PRAGMA synchronous=FULL",  # a confirmed block survives a power cut; NORMAL would not promise that in WAL mode
    "PRAGMA wal_autocheckpoint=8000",  # pages: a page that changes often is copied into the database less often
    "PRAGMA cache_size=-65536",  # KiB: the indexes that settlement writes to are hit at random
)

_DURABLE_IN_POSTGRESQL = (  # whatever role and database say; what waits for standbys in some way stays as it is
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)

_STATEMENTS_IN_A_LOCK = 10
"""A statement may take so many times longer than a lock is waited for."""


class Session:
    """Statements on one database alias; each thread has its own connection, as Django keeps them."""

    def __init__(self, alias: str, slow_query_ms: float, timeout_ms: int | None = None) -> None:
        """`timeout_ms` is how long a lock is waited for; None: as the connection's settings say."""
        self.alias = alias
        self._times = StatementTimes(slow_query_ms)
        self._timeout_ms = timeout_ms
        self._tuned = threading.local()
        self._had_file = False

    def open(self) -> BaseDatabaseWrapper:
        """The connection, opened and set up as settlement needs it. Raises StoreUnavailable."""
        connection = connections[self.alias]
        # Inside a transaction pragmas are refused; who began it has set them, or has not.
        if connection.in_atomic_block:
            return connection
        file = self._file_of(connection)
        with self.translating("connect"):
            connection.ensure_connection()
            if getattr(self._tuned, "connection", None) is not connection.connection:
                with connection.cursor() as cursor:
                    for setting in self._settings_of(connection):
                        cursor.execute(setting)
                self._tuned.connection = connection.connection
                self._tuned.file = file or self._file_of(connection)
                self._had_file = self._tuned.file is not None
        return connection

    def _settings_of(self, connection: BaseDatabaseWrapper) -> list[str]:
        timeout_ms = self._timeout_ms
        if connection.vendor == "sqlite":
            return ([f"PRAGMA busy_timeout={timeout_ms}"] if timeout_ms is not None else []) + [*_SQLITE_PRAGMAS]
        if timeout_ms is None:
            return [_DURABLE_IN_POSTGRESQL]
        statement_ms = timeout_ms * _STATEMENTS_IN_A_LOCK
        return [_DURABLE_IN_POSTGRESQL, f"SET lock_timeout = {timeout_ms}", f"SET statement_timeout = {statement_ms}"]

    def _file_of(self, connection: BaseDatabaseWrapper) -> tuple[int, int] | None:
        """Which file SQLite's database is, None where there is none.

        SQLite goes on writing to a file that was removed or replaced, and all of it would be lost. So a connection to
        such a file is closed, and where it is missing none is opened, for that would make an empty one. Raises
        StoreUnavailable.
        """
        if connection.vendor != "sqlite":
            return None
        name = str(connection.settings_dict["NAME"])
        try:
            status = os.stat(name)
        except OSError as error:
            if self._had_file:
                connection.close()
                metrics.DB_ERRORS.labels("unavailable").inc()
                raise StoreUnavailable(f"The database file {name} is gone: put it back.") from error
            return None
        file = status.st_dev, status.st_ino
        if connection.connection is not None and getattr(self._tuned, "file", file) != file:
            log.warning("another file is in the place of the database")
            connection.close()
        return file

    def close(self) -> None:
        connections[self.alias].close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside or nothing, durable at its end. Raises StoreUnavailable, StoreRejected."""
        self.open()
        with self.translating("commit"), transaction.atomic(using=self.alias):
            yield

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._statement(statement) as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()  # type: ignore[no-any-return]

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        with self._statement(statement) as cursor:
            cursor.execute(statement, parameters)

    def write(self, table: str, statement: str | Bulk, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        row_by_row = statement if isinstance(statement, str) else statement.row_by_row
        with self._statement(row_by_row) as cursor:
            if isinstance(statement, Bulk) and cursor.db.vendor == "postgresql":
                cursor.execute(statement.by_column, [list(column) for column in zip(*rows, strict=True)])
            else:
                cursor.executemany(row_by_row, rows)
        metrics.DB_INSERTS.labels(table).inc(len(rows))

    @contextmanager
    def _statement(self, statement: str) -> Iterator[Any]:
        connection = self.open()
        began = time.perf_counter()
        with self.translating(statement), connection.cursor() as cursor:
            yield cursor
        self._times.note(statement, began)

    @contextmanager
    def translating(self, statement: str) -> Iterator[None]:
        """What the database raises inside, as StoreUnavailable or StoreRejected."""
        try:
            yield
        except OverflowError as error:  # SQLite's driver, for an integer beyond 64 bits
            raise self._rejected(error) from error
        except DatabaseError as error:
            if not is_transient(error):
                raise self._rejected(error) from error
            metrics.DB_ERRORS.labels("unavailable").inc()
            log.warning("store unavailable", statement=statement.split(" ", 1)[0], error=sentence(error))
            connections[self.alias].close_if_unusable_or_obsolete()
            raise StoreUnavailable(why_away(error)) from error

    def _rejected(self, error: Exception) -> StoreRejected:
        metrics.DB_ERRORS.labels("rejected").inc()
        if is_uninitialized(error):
            return StoreUninitialized(
                f"The database refuses it (manage.py init_store makes the tables): {sentence(error)}"
            )
        if is_damaged(error):
            name = connections[self.alias].settings_dict["NAME"]
            return StoreMisconfigured(
                f"The database {name} is damaged, so nothing more is written to it: {sentence(error)} Keep a copy of "
                "it, repair it or put back a sound one, run verify_settlement, then start again."
            )
        if is_misconfigured(error):
            return StoreMisconfigured(
                f"The database refuses it (mend DATABASE_URL's permissions or tables): {sentence(error)}"
            )
        return StoreRejected(f"The database refuses it: {sentence(error)}")
