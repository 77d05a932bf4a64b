"""schema/analytics_schema.sql: its tables have the archive's columns, its views the figures of the named queries.

It is parsed as StarRocks' SQL, except two things that the parser does not know: bitmaps, and how a column aggregates.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from analytics import catalog
from analytics.dialect import MACROS
from analytics.period import Period
from analytics.sources import Part, Source
from analytics.tables import NAMES, TABLES
from settlement.stores.base import Store
from tests.analytics.random_market import FIGURES, facts

SCHEMA = Path(__file__).parents[2] / "schema" / "analytics_schema.sql"
UNKNOWN_TO_THE_PARSER = re.compile(r"BITMAP BITMAP_UNION|(?<=BIGINT) (?:MIN|MAX)(?= NOT NULL)")
KEYS = {
    "trades": ["day", "shard", "trade_id"],
    "ledger_events": ["day", "shard", "event_sequence", "leg"],
    "orders": ["order_id"],
    "assets": ["symbol"],
    "instruments": ["symbol"],
}
OF_BITMAPS = {
    "to_bitmap": "(x) AS [x]",
    "bitmap_union": "(x) AS list_sort(list_distinct(flatten(list(x))))",
}


def statements() -> list[exp.Create]:
    text = UNKNOWN_TO_THE_PARSER.sub(
        lambda found: "VARBINARY" if "BITMAP" in found[0] else "", SCHEMA.read_text(encoding="utf-8")
    )
    return [tree for tree in sqlglot.parse(text, read="starrocks") if isinstance(tree, exp.Create)]


TABLES_MADE = {tree.this.this.name: tree for tree in statements() if tree.kind == "TABLE"}
VIEWS = {tree.this.name: tree for tree in statements() if tree.kind == "VIEW"}


def test_every_statement_is_parsed_as_one_of_starrocks() -> None:
    assert len(statements()) == SCHEMA.read_text(encoding="utf-8").count("\nCREATE ")
    assert set(TABLES_MADE) == {*NAMES, "trading_days"}
    names = ("volume", "accounts", "active_accounts", "placed_orders", "self_trades_prevented")
    assert set(VIEWS) == {f"{name}_by_{bucket}" for name in names for bucket in catalog.BUCKETS_NS}


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_the_columns_of_the_arrow_schema(name: str) -> None:
    schema = next(table.schema for table in TABLES if table.name == name)
    made = {column.name: (column.args["kind"].sql(), is_optional(column)) for column in columns_of(name)}
    assert made == {field.name: (type_of(field.type), field.nullable) for field in schema}


@pytest.mark.parametrize("name", NAMES)
def test_the_primary_key_comes_first_and_is_never_null(name: str) -> None:
    """As StarRocks demands; a column that partitions must be in the key."""
    (key,) = TABLES_MADE[name].find_all(exp.PrimaryKey)
    assert [column.name for column in key.expressions] == KEYS[name]
    first = columns_of(name)[: len(KEYS[name])]
    assert [column.name for column in first] == KEYS[name]
    assert not any(is_optional(column) for column in first)


def columns_of(name: str) -> list[exp.ColumnDef]:
    return list(TABLES_MADE[name].find_all(exp.ColumnDef))


def is_optional(column: exp.ColumnDef) -> bool:
    (constraint,) = column.find_all(exp.NotNullColumnConstraint)
    return bool(constraint.args.get("allow_null"))


def type_of(kind: pa.DataType) -> str:
    if pa.types.is_date(kind):
        return "DATE"
    if pa.types.is_boolean(kind):
        return "BOOLEAN"
    return "BIGINT" if pa.types.is_integer(kind) else "VARCHAR(64)"


@pytest.fixture
def views(market: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """The views, computed by DuckDB. A bitmap is a list there."""
    connection = duckdb.connect(":memory:")
    parts: dict[str, list[Part]] = Source(market, lambda: None, max_rows=1_000_000).read(NAMES, Period()).parts
    for name, tables in parts.items():
        connection.register(name, pa.concat_tables(tables))
    for name, body in {**MACROS, **OF_BITMAPS}.items():
        connection.execute(f"CREATE MACRO {name}{body}")
    for name, tree in VIEWS.items():
        connection.execute(f"CREATE TABLE {name} AS {tree.expression.sql(dialect='duckdb')}")
    yield connection
    connection.close()


def test_the_views_have_the_figures_of_the_queries(market: Store, views: duckdb.DuckDBPyConnection) -> None:
    for bucket, bucket_ns in catalog.BUCKETS_NS.items():
        known = facts(market, Period(), bucket_ns, account=3)

        def rows(text: str, bucket: str = bucket) -> list[tuple[object, ...]]:
            return views.execute(text.replace("BY_BUCKET", f"by_{bucket}")).fetchall()

        volume = rows(
            "SELECT bucket_ns, v.symbol, trades, volume, amount * quote_unit "
            "FROM volume_BY_BUCKET v JOIN instruments i ON i.symbol = v.symbol ORDER BY 1, 2"
        )
        assert volume == FIGURES["volume"](known)
        fees = rows("SELECT bucket_ns, symbol, base_fees, quote_fees FROM volume_BY_BUCKET ORDER BY 1, 2")
        assert fees == [(*row[:2], *row[4:]) for row in FIGURES["fees"](known)]
        spread = rows("SELECT bucket_ns, symbol, bought, sold FROM volume_BY_BUCKET ORDER BY 1, 2")
        assert spread == [row[:4] for row in FIGURES["spread"](known)]
        shares = rows(
            "SELECT bucket_ns, symbol, account, maker_lots, taker_lots FROM accounts_BY_BUCKET ORDER BY 1, 2, 3"
        )
        assert shares == [row[:5] for row in FIGURES["maker_taker"](known)]
        prevented = rows(
            "SELECT bucket_ns, symbol, orders, len(accounts) FROM self_trades_prevented_BY_BUCKET ORDER BY 1, 2"
        )
        assert prevented == FIGURES["self_trades_prevented"](known)
        orders = rows("SELECT bucket_ns, symbol, orders FROM placed_orders_BY_BUCKET ORDER BY 1, 2")
        assert orders == [row[:3] for row in FIGURES["order_to_trade"](known) if row[2]]
        traders = rows(
            "SELECT bucket_ns, len(bitmap_union(traders)) FROM active_accounts_BY_BUCKET GROUP BY 1 ORDER BY 1"
        )
        assert traders == [row[:2] for row in FIGURES["active_accounts"](known) if row[1]]
        changes: dict[object, list[int]] = defaultdict(lambda: [0, 0])
        for _, symbol, base, quote in rows(
            "SELECT bucket_ns, symbol, base_change, quote_change FROM accounts_BY_BUCKET WHERE account = 3"
        ):
            changes[symbol][0] += int(str(base))
            changes[symbol][1] += int(str(quote))
        last = {row[1]: [row[2], row[3]] for row in FIGURES["account_profit"](known)}
        assert dict(changes) == last
