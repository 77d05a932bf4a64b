"""The SQL store's database connection: times and counts statements, translates errors into those of the contract."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from settlement import metrics
from settlement.stores.base import StoreMisconfigured, StoreRejected, StoreUnavailable, StoreUninitialized
from settlement.stores.base.columns import ColumnTable
from settlement.stores.sql import postgres_copy
from settlement.stores.sql.errors import (
    first_line,
    is_damaged,
    is_misconfigured,
    is_transient,
    is_uninitialized,
    restore_sentence,
    unavailable_sentence,
)
from settlement.stores.sql.postgres_copy import MIN_ROWS
from settlement.stores.sql.statements import Bulk
from settlement.stores.timing import StatementTimes

log = structlog.get_logger(__name__)

Row = tuple[Any, ...]

_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",  # readers are not blocked while settlement writes
    "PRAGMA synchronous=FULL",  # a confirmed block survives a power failure; in WAL mode NORMAL does not guarantee it
    "PRAGMA wal_autocheckpoint=8000",  # pages: pages that change often are copied into the database less often
    "PRAGMA cache_size=-65536",  # KiB: settlement writes to random places of the indexes
)

_DURABLE_IN_POSTGRESQL = (  # overrides "off" of role or database; the other values are all durable
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)

_IN_MEMORY = ":memory:"
_READ_ONLY_IN_POSTGRESQL = "SET default_transaction_read_only = on"

_STATEMENT_TIMEOUT_FACTOR = 10
"""The statement time-out as a multiple of the lock time-out."""


class Session:
    """Runs statements on one database alias. As always in Django, each thread has its own connection."""

    def __init__(
        self,
        alias: str,
        slow_query_ms: float,
        timeout_ms: int | None = None,
        evidence_of_loss: Callable[[], Path | None] = lambda: None,
        *,
        is_read_only: bool = False,
    ) -> None:
        """`timeout_ms` is the lock time-out; None: that of the connection's settings.

        `evidence_of_loss`: a file which shows that the store existed (`settlement.earlier_store`), for messages.
        `is_read_only`: changes nothing in the database, also no setting of its file. See `read_only`.
        """
        self.alias = alias
        self._evidence_of_loss = evidence_of_loss
        self._is_read_only = is_read_only
        self._times = StatementTimes(slow_query_ms)
        self._timeout_ms = timeout_ms
        self._tuned = threading.local()
        self._had_file = False

    def open(self) -> BaseDatabaseWrapper:
        """Opens the connection and applies settlement's settings. Raises StoreUnavailable."""
        connection = connections[self.alias]
        # Pragmas are not allowed inside a transaction, so a caller's transaction runs with the settings it has.
        if connection.in_atomic_block:
            return connection
        file = self._file_of(connection)
        with self.translating():
            connection.ensure_connection()
            if getattr(self._tuned, "connection", None) is not connection.connection:
                with connection.cursor() as cursor:
                    for setting in self._settings_of(connection):
                        cursor.execute(setting)
                self._tuned.connection = connection.connection
                self._tuned.file = file
                self._had_file = file is not None
        return connection

    @property
    def vendor(self) -> str:
        """ "sqlite" or "postgresql"."""
        return connections[self.alias].vendor

    @property
    def has_one_writer(self) -> bool:
        """Whether only one transaction of the database can write, and it is not this thread's."""
        connection = connections[self.alias]
        return bool(connection.vendor == "sqlite" and not connection.in_atomic_block)

    def _settings_of(self, connection: BaseDatabaseWrapper) -> list[str]:
        timeout_ms = self._timeout_ms
        if self._is_read_only:
            return [] if connection.vendor == "sqlite" else [_READ_ONLY_IN_POSTGRESQL]
        if connection.vendor == "sqlite":
            return ([f"PRAGMA busy_timeout={timeout_ms}"] if timeout_ms is not None else []) + [*_SQLITE_PRAGMAS]
        if timeout_ms is None:
            return [_DURABLE_IN_POSTGRESQL]
        statement_ms = timeout_ms * _STATEMENT_TIMEOUT_FACTOR
        return [_DURABLE_IN_POSTGRESQL, f"SET lock_timeout = {timeout_ms}", f"SET statement_timeout = {statement_ms}"]

    def _file_of(self, connection: BaseDatabaseWrapper) -> tuple[int, int] | None:
        """Device and inode of SQLite's database file; None for another database.

        SQLite continues to write to a file that was deleted or replaced, and those writes would be lost. Therefore a
        connection to such a file is closed. Raises StoreUnavailable if the file has disappeared, StoreMisconfigured if
        it was never there.
        """
        name = str(connection.settings_dict["NAME"])
        if connection.vendor != "sqlite" or name == _IN_MEMORY or "mode=memory" in name or self._is_read_only:
            return None
        try:
            status = os.stat(name)
        except OSError as error:
            connection.close()
            metrics.DB_ERRORS.labels("unavailable").inc()
            if self._had_file:
                raise StoreUnavailable(f"The database file {name} is missing: restore it.") from error
            raise StoreMisconfigured(self._missing_sentence(name)) from error
        file = status.st_dev, status.st_ino
        if connection.connection is not None and getattr(self._tuned, "file", file) != file:
            log.warning("store.database_file_replaced", file=name)
            connection.close()
        return file

    def _missing_sentence(self, name: str) -> str:
        if evidence := self._evidence_of_loss():
            return restore_sentence(f"The database file {name} is missing", evidence)
        return f"The database file {name} does not exist: manage.py init_store creates it."

    def create_file(self) -> None:
        """Creates an empty database if there is none and it is a file. Raises StoreUnavailable."""
        connection = connections[self.alias]
        try:
            connection.prepare_database()
        except OSError as error:
            name = connection.settings_dict["NAME"]
            raise StoreUnavailable(f"The database file {name} cannot be created: {error.strerror}.") from error

    def close(self) -> None:
        connections[self.alias].close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction, durable when the block ends. Raises StoreUnavailable, StoreRejected."""
        self.open()
        with self.translating(), transaction.atomic(using=self.alias):
            yield

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._statement(statement) as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()  # type: ignore[no-any-return]

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Returns the number of rows that were changed."""
        with self._statement(statement) as cursor:
            cursor.execute(statement, parameters)
            return cursor.rowcount  # type: ignore[no-any-return]

    def write(self, table: str, statement: str | Bulk, rows: Sequence[Sequence[Any]]) -> None:
        """Writes rows with one value for each column of the statement. Columns stay columns (`lists_of`)."""
        if not rows:
            return
        row_by_row = statement if isinstance(statement, str) else statement.row_by_row
        with self._statement(row_by_row) as cursor:
            if isinstance(statement, Bulk) and len(rows) >= MIN_ROWS and cursor.db.vendor == "postgresql":
                postgres_copy.write(cursor.db, statement, rows)
            elif isinstance(rows, ColumnTable):
                cursor.executemany(row_by_row, zip(*rows.lists, strict=True))
            else:
                cursor.executemany(row_by_row, rows)
        metrics.DB_INSERTS.labels(table).inc(len(rows))

    @contextmanager
    def _statement(self, statement: str) -> Iterator[Any]:
        connection = self.open()
        began = time.perf_counter()
        with self.translating(), connection.cursor() as cursor:
            yield cursor
        self._times.note(statement, began)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Translates the database's exceptions into StoreUnavailable or StoreRejected."""
        try:
            yield
        except OverflowError as error:  # for an integer beyond 64 bits
            raise self._rejected(error) from error
        except DatabaseError as error:
            if not is_transient(error):
                raise self._rejected(error) from error
            metrics.DB_ERRORS.labels("unavailable").inc()
            log.warning("store.request_failed", error=first_line(error))
            connections[self.alias].close_if_unusable_or_obsolete()
            raise StoreUnavailable(unavailable_sentence(error)) from error

    def _rejected(self, error: Exception) -> StoreRejected:
        metrics.DB_ERRORS.labels("rejected").inc()
        if is_uninitialized(error):
            if (evidence := self._evidence_of_loss()) and self._is_empty():
                name = connections[self.alias].settings_dict["NAME"]
                return StoreMisconfigured(restore_sentence(f"The database {name} has no tables", evidence))
            return StoreUninitialized(
                f"The database rejects the statement (manage.py init_store creates the tables): {first_line(error)}"
            )
        if is_damaged(error):
            name = connections[self.alias].settings_dict["NAME"]
            return StoreMisconfigured(
                f"The database {name} is damaged, so nothing more is written to it: {first_line(error)} Keep a copy of "
                "it, repair it or restore a backup, run verify_settlement, then start again."
            )
        if is_misconfigured(error):
            return StoreMisconfigured(
                "The database rejects the statement (correct the permissions of DATABASE_URL's user, or the tables): "
                f"{first_line(error)}"
            )
        return StoreRejected(f"The database rejects the statement: {first_line(error)}")

    def _is_empty(self) -> bool:
        """Whether the database has no table at all; not if only those of a newer version are missing."""
        try:
            return not connections[self.alias].introspection.table_names()
        except DatabaseError:
            return False
