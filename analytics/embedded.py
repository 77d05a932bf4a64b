"""Runs a query in DuckDB, inside this process: in memory, with limits, and without access to anything outside.

`analytics.dialect` has refused what is not a SELECT over the known tables. DuckDB's own locks are the second wall:
no files, no extensions, no other databases, no objects of this process, and settings that cannot be changed any more.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import duckdb
import pyarrow as pa
from sqlglot import exp

from analytics import dialect
from analytics.errors import QueryRefused, QueryTooLarge
from analytics.period import Period
from analytics.sources import Rows, Source

_BATCH_ROWS = 65_536
_SETTINGS = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET error_on_division_by_zero = false",  # as in StarRocks: the result is NULL
    "SET temp_directory = ''",  # what does not fit into the memory fails, and writes nothing to disk
)
_LOCKS = ("SET enable_external_access = false", "SET lock_configuration = true")


class Limits(NamedTuple):
    seconds: float
    memory_mb: int
    threads: int = 2


class Answer(NamedTuple):
    """`batches` can be read once, and only inside of the `with` block."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    rows: Rows


class Embedded:
    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits

    @contextmanager
    def ask(self, tree: exp.Query, period: Period) -> Iterator[Answer]:
        """The answer to a query without parameters. Its time ends with the block.

        Raises QueryRefused, QueryTooLarge, the errors of the store and of the archive; all but the errors of the store
        and the archive also while the batches are read.
        """
        deadline = _Deadline(self._limits.seconds)
        sql = dialect.for_duckdb(tree)
        rows = self._source.read(sorted(dialect.tables_of(tree)), period, deadline.check)
        connection = duckdb.connect(":memory:")
        try:
            _open(connection, rows, self._limits)
            with deadline.interrupting(connection):
                with _translated(self._limits):
                    reader = connection.sql(sql).to_arrow_reader(_BATCH_ROWS)
                yield Answer(reader.schema, _read(reader, self._limits), rows)
        finally:
            connection.close()


def _open(connection: duckdb.DuckDBPyConnection, rows: Rows, limits: Limits) -> None:
    """Makes the tables and macros, then locks the database."""
    connection.execute(f"SET memory_limit = '{limits.memory_mb}MB'")
    connection.execute(f"SET threads = {limits.threads}")
    for statement in _SETTINGS:
        connection.execute(statement)
    for name, body in dialect.MACROS.items():
        connection.execute(f"CREATE MACRO {name}{body}")
    for name, parts in rows.parts.items():
        for number, part in enumerate(parts):
            connection.register(f"{name}_{number}", part)
        selects = " UNION ALL ".join(f"SELECT * FROM {name}_{number}" for number in range(len(parts)))
        connection.execute(f"CREATE TEMP VIEW {name} AS {selects}")
    for statement in _LOCKS:
        connection.execute(statement)


def _read(reader: pa.RecordBatchReader, limits: Limits) -> Iterator[pa.RecordBatch]:
    with _translated(limits):
        yield from reader


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = time.monotonic() + seconds

    def check(self) -> None:
        if time.monotonic() > self._ends:
            raise QueryTooLarge(_too_slow(self._seconds))

    @contextmanager
    def interrupting(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        timer = threading.Timer(max(0.0, self._ends - time.monotonic()), connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # it must not touch a connection that is closed


@contextmanager
def _translated(limits: Limits) -> Iterator[None]:
    """Translates DuckDB's errors. Arrow's reader passes them on as OSError, of which only the text is left."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        text = str(error)
        if isinstance(error, duckdb.InterruptException) or text.startswith("INTERRUPT Error"):
            raise QueryTooLarge(_too_slow(limits.seconds)) from error
        if isinstance(error, duckdb.OutOfMemoryException) or text.startswith("Out of Memory Error"):
            raise QueryTooLarge(
                f"The query needs more memory than the {limits.memory_mb} MB that it may use: ask for fewer days or "
                "groups."
            ) from error
        raise QueryRefused(f"The query cannot be run: {_reason(text)}.") from error


def _too_slow(seconds: float) -> str:
    return f"The query took longer than the {seconds:g} s that it may take: ask for fewer days."


def _reason(text: str) -> str:
    """The first line, without what DuckDB suggests."""
    return (text.splitlines() or ["no reason was given"])[0].split("Did you mean")[0].strip().rstrip(".!")
