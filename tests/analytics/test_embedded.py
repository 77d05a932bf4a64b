"""DuckDB refuses files, settings and other databases by itself, and a query has limits."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from analytics import dialect, embedded
from analytics.embedded import Embedded, Limits
from analytics.errors import QueryRefused, QueryTooLarge
from analytics.period import Period
from analytics.sources import Rows, Source
from settlement.stores.base import Store

LIMITS = Limits(seconds=20, memory_mb=200)
NO_ROWS = Rows({"trades": [pa.table({"price": pa.array([1, 2], pa.int64())})]}, 0, 0, [])
PAIRS = " CROSS JOIN ".join(f"orders AS o{number}" for number in range(9))


@pytest.fixture
def locked() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(":memory:")
    embedded._open(connection, NO_ROWS, LIMITS)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "ATTACH '/tmp/analytics-attack.db'",
        "COPY (SELECT 1) TO '/tmp/analytics-attack.csv'",
        "EXPORT DATABASE '/tmp/analytics-attack'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE SECRET s (TYPE s3)",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "PRAGMA threads = 8",
        "SELECT * FROM NO_ROWS",
        "SELECT getenv('HOME')",
    ],
)
def test_the_locked_database_refuses_what_passes_the_parser(locked: duckdb.DuckDBPyConnection, statement: str) -> None:
    with pytest.raises(duckdb.Error):
        locked.execute(statement).fetchall()


def test_the_locked_database_still_reads_its_tables(locked: duckdb.DuckDBPyConnection) -> None:
    assert locked.execute("SELECT sum(price), ndv(price), 1 // 0 FROM trades").fetchall() == [(3, 2, None)]


def ask(store: Store, tree: exp.Query, limits: Limits = LIMITS) -> list[dict[str, Any]]:
    source = Source(store, lambda: None, max_rows=1000)
    with Embedded(source, limits).ask(tree, Period()) as answer:
        return [row for batch in answer.batches for row in batch.to_pylist()]


def test_a_query_that_takes_too_long_is_interrupted(settled: Store) -> None:
    tree = dialect.parse(f"SELECT count(*) FROM {PAIRS} WHERE o0.account + o8.account = -1")
    with pytest.raises(QueryTooLarge, match=r"The query took longer than the 0\.5 s that it may take"):
        ask(settled, tree, LIMITS._replace(seconds=0.5))


def test_reading_an_answer_is_interrupted_too(settled: Store) -> None:
    tree = dialect.parse(f"SELECT o0.account FROM {PAIRS}")
    with pytest.raises(QueryTooLarge, match="The query took longer than"):
        ask(settled, tree, LIMITS._replace(seconds=0.5))


def test_rows_of_the_store_count_against_the_time(settled: Store) -> None:
    with pytest.raises(QueryTooLarge, match="The query took longer than the 0 s"):
        ask(settled, dialect.parse("SELECT count(*) FROM trades"), LIMITS._replace(seconds=0))


def test_a_query_that_needs_too_much_memory_fails_and_writes_no_files(settled: Store) -> None:
    tree = dialect.parse(
        f"SELECT o0.order_id, o1.order_id, o2.order_id, o3.order_id, o4.order_id FROM {PAIRS} ORDER BY 1"
    )
    with pytest.raises(QueryTooLarge, match="needs more memory than the 50 MB that it may use"):
        ask(settled, tree, LIMITS._replace(memory_mb=50))


def test_an_unknown_column_is_refused_with_one_sentence(settled: Store) -> None:
    with pytest.raises(QueryRefused) as refusal:
        ask(settled, dialect.parse("SELECT prise FROM trades"))
    assert "\n" not in str(refusal.value)
    assert "prise" in str(refusal.value)


def test_a_sum_that_exceeds_128_bits_is_refused(settled: Store) -> None:
    large = "CAST(9223372036854775807 AS LARGEINT)"
    with pytest.raises(QueryRefused, match="cannot be run"):
        ask(settled, dialect.parse(f"SELECT {large} * {large} * {large}"))


def test_a_tree_that_names_a_file_finds_no_table(settled: Store) -> None:
    """Even if the dialect's checks were left out."""
    tree = sqlglot.parse_one("SELECT * FROM read_text('/etc/passwd')", read="duckdb")
    assert isinstance(tree, exp.Query)
    with pytest.raises(QueryRefused, match="Permission Error"):
        ask(settled, tree)
