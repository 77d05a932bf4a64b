"""The database connection as the SQL store uses it: statements timed and counted, errors in the contract's words."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from settlement import metrics
from settlement.stores.base import StoreRejected, StoreUnavailable, StoreUninitialized

log = structlog.get_logger(__name__)

Row = tuple[Any, ...]

_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",  # readers go on while settlement writes
    "PRAGMA synchronous=FULL",  # a confirmed block survives a power cut; NORMAL would not promise that in WAL mode
    "PRAGMA wal_autocheckpoint=8000",  # pages: a page that changes often is copied into the database less often
    "PRAGMA cache_size=-65536",  # KiB: the indexes that settlement writes to are hit at random
)

_SQLITE_REFUSALS = ("no such ", "Could not decode")
"""SQLite's driver calls operational what others call a programming or a data error."""


class Session:
    """Statements on one database alias; each thread has its own connection, as Django keeps them."""

    def __init__(self, alias: str, slow_query_ms: float) -> None:
        self.alias = alias
        self._slow_query_ms = slow_query_ms
        self._tuned = threading.local()

    def open(self) -> BaseDatabaseWrapper:
        """The connection, opened and set up as settlement needs it. Raises StoreUnavailable."""
        connection = connections[self.alias]
        with self._translating("connect"):
            connection.ensure_connection()
            is_tuned = getattr(self._tuned, "connection", None) is connection.connection
            # Inside somebody else's transaction the pragmas are refused, and that somebody has set them or not.
            if not is_tuned and connection.vendor == "sqlite" and not connection.in_atomic_block:
                with connection.cursor() as cursor:
                    for pragma in _SQLITE_PRAGMAS:
                        cursor.execute(pragma)
                self._tuned.connection = connection.connection
        return connection

    def close(self) -> None:
        connections[self.alias].close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside or nothing, durable at its end. Raises StoreUnavailable, StoreRejected."""
        self.open()
        with self._translating("commit"), transaction.atomic(using=self.alias):
            yield

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._statement(statement) as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()  # type: ignore[no-any-return]

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        with self._statement(statement) as cursor:
            cursor.execute(statement, parameters)

    def write(self, table: str, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            return
        with self._statement(statement) as cursor:
            cursor.executemany(statement, rows)
        metrics.DB_INSERTS.labels(table).inc(len(rows))

    @contextmanager
    def _statement(self, statement: str) -> Iterator[Any]:
        connection = self.open()
        began = time.perf_counter()
        with self._translating(statement), connection.cursor() as cursor:
            yield cursor
        duration_ms = (time.perf_counter() - began) * 1000
        metrics.DB_LATENCY_MS.observe(duration_ms)
        if duration_ms > self._slow_query_ms:
            log.warning("slow statement", statement=statement, duration_ms=round(duration_ms, 1))

    @contextmanager
    def _translating(self, statement: str) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, DataError, ProgrammingError) as error:
            raise self._rejected(error) from error
        except OverflowError as error:  # SQLite's driver, for an integer beyond 64 bits
            raise self._rejected(error) from error
        except (OperationalError, InterfaceError, InternalError) as error:
            if any(mark in str(error) for mark in _SQLITE_REFUSALS):
                raise self._rejected(error) from error
            metrics.DB_ERRORS.labels("unavailable").inc()
            log.warning("store unavailable", statement=statement.split(" ", 1)[0], error=_sentence(error))
            connections[self.alias].close_if_unusable_or_obsolete()
            raise StoreUnavailable(f"The database does not answer: {_sentence(error)}") from error
        except DatabaseError as error:
            raise self._rejected(error) from error

    def _rejected(self, error: Exception) -> StoreRejected:
        metrics.DB_ERRORS.labels("rejected").inc()
        if "no such table" in str(error) or "does not exist" in str(error):
            return StoreUninitialized(
                f"The database refuses it (manage.py init_store makes the tables): {_sentence(error)}"
            )
        return StoreRejected(f"The database refuses it: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    """The first line of what the database said: the rest quotes statements and rows."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."
