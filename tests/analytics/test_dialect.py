"""What a query may be: one SELECT over the known tables that means the same in StarRocks and in DuckDB."""

import random

import pytest

from analytics import catalog, dialect
from analytics.errors import QueryRefused

WRITES = [
    "INSERT INTO trades SELECT * FROM trades",
    "DELETE FROM trades",
    "UPDATE trades SET price = 1",
    "DROP TABLE trades",
    "CREATE TABLE x AS SELECT 1",
    "WITH gone AS (DELETE FROM trades) SELECT * FROM gone",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE trades",
    "SELECT * FROM trades FOR UPDATE",
    "ATTACH '/tmp/other.db'",
    "COPY trades TO '/tmp/trades.csv'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "SET memory_limit = '100GB'",
    "RESET lock_configuration",
    "CALL pragma_version()",
    "EXPORT DATABASE '/tmp/all'",
    "SHOW TABLES",
    "DESCRIBE trades",
    "EXPLAIN ANALYZE SELECT 1",
    "VACUUM",
    "KILL 7",
    "",
    ";",
    "-- nothing",
]
OTHER_TABLES = [
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_parquet('s3://bucket/x')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM files('path' = 's3://bucket/x', 'format' = 'parquet')",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM default_catalog.exchange.trades",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM python_arrow_scan()",
    "SELECT * FROM (SELECT * FROM pragma_version())",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "SELECT * FROM trades WHERE price IN (SELECT 1 FROM read_text('/etc/passwd'))",
    "WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x",
    "SELECT * FROM trades, LATERAL unnest(split(symbol, '-'))",
    "SELECT * FROM (VALUES (1), (2)) AS x",
]
OTHER_MEANINGS = [
    "SELECT dayofweek(day) FROM trades",
    "SELECT dayofweek_iso(day) FROM trades",
    "SELECT week(day) FROM trades",
    "SELECT datediff(day, '2026-01-01') FROM trades",
    "SELECT date_diff('day', day, day) FROM trades",
    "SELECT timestampdiff(DAY, day, day) FROM trades",
    "SELECT date_add('2026-01-01', INTERVAL 1 DAY) FROM trades",
    "SELECT days_add(day, 1) FROM trades",
    "SELECT day + INTERVAL 1 DAY FROM trades",
    "SELECT percentile_cont(price, 0.5) FROM trades",
    "SELECT percentile_disc(price, 0.5) FROM trades",
    "SELECT from_unixtime(timestamp_ns DIV 1000000000) FROM trades",
    "SELECT now()",
    "SELECT current_timestamp()",
    "SELECT rand()",
    "SELECT length(symbol) FROM trades",
    "SELECT group_concat(symbol) FROM trades",
    "SELECT * FROM trades WHERE symbol REGEXP 'B.*'",
    "SELECT price / 2 FROM trades",
    "SELECT sum(price) / count(*) FROM trades",
    "SELECT CAST(price AS DECIMAL(38, 0)) / 3 FROM trades",
]
OF_THE_SERVER = [
    "SELECT getenv('HOME')",
    "SELECT current_setting('memory_limit')",
    "SELECT query('SELECT 1')",
    "SELECT version()",
    "SELECT user()",
    "SELECT @@version",
    "SELECT @x",
    "SELECT sleep(60)",
    "SELECT arrow_scan(1, 2, 3)",
    "SELECT trades.getenv('HOME') FROM trades",
    "SELECT CAST(symbol AS JSON) FROM trades",
    "SELECT TRY_CAST(symbol AS INT) FROM trades",
    "SELECT [1, 2]",
]


@pytest.mark.parametrize("text", [*WRITES, *OTHER_TABLES, *OTHER_MEANINGS, *OF_THE_SERVER])
def test_anything_else_is_refused_with_one_sentence(text: str) -> None:
    with pytest.raises(QueryRefused) as refusal:
        dialect.bind(dialect.parse(text), {})
    sentence = str(refusal.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 250


@pytest.mark.parametrize("text", WRITES)
def test_a_statement_that_is_no_select_is_refused_as_such(text: str) -> None:
    with pytest.raises(QueryRefused, match="Only one SELECT is allowed: the tables can be read and not changed"):
        dialect.parse(text)


@pytest.mark.parametrize("depth", [101, 150, 300, 1000, 4000])
def test_a_deeply_nested_query_is_refused_and_crashes_nothing(depth: int) -> None:
    for text in ("SELECT " + "(" * depth + "1" + ")" * depth, "SELECT 1" + " + 1" * depth):
        with pytest.raises(QueryRefused):
            dialect.parse(text)


def test_a_nested_query_is_transpiled() -> None:
    text = dialect.for_duckdb(dialect.bind(dialect.parse("SELECT :x" + " + 1" * 90), {"x": 1}))
    assert text == "SELECT 1" + " + 1" * 90


def test_a_long_query_is_refused() -> None:
    with pytest.raises(QueryRefused, match="at most 20000 characters"):
        dialect.parse("SELECT 1 -- " + "x" * 20_000)


def test_a_placeholder_without_a_number_is_refused() -> None:
    with pytest.raises(QueryRefused, match="The query needs a number for :x, and there is none"):
        dialect.bind(dialect.parse("SELECT :x"), {"y": 1})


def test_functions_that_duckdb_lacks_are_macros_and_the_rest_is_transpiled() -> None:
    text = "SELECT symbol, SUM(IF(price > :x, 1, 0)), NDV(buyer), price DIV 5 FROM `trades` GROUP BY 1, 4 ORDER BY 1"
    tree = dialect.bind(dialect.parse(text), {"x": 7})
    assert dialect.for_duckdb(tree) == (
        "SELECT symbol, SUM(CASE WHEN price > 7 THEN 1 ELSE 0 END), NDV(buyer), price // 5 "
        'FROM "trades" GROUP BY 1, 4 ORDER BY 1 NULLS FIRST'
    )
    assert "IF(price > 7, 1, 0)" in dialect.for_starrocks(tree)
    assert dialect.tables_of(tree) == {"trades"}


def test_damaged_queries_are_refused_and_raise_nothing_else(seed: int) -> None:
    draw = random.Random(seed)
    pieces = [
        "(",
        ")",
        ",",
        "'",
        "`",
        "--",
        "/*",
        ";",
        ":x",
        "@x",
        "@@x",
        "?",
        "${",
        "::",
        "\\",
        "\0",
        "é",
        "[",
        "{",
        "->",
    ]
    pieces += [
        "NULL",
        "CASE",
        "SELECT",
        "FROM",
        "INTERVAL",
        "OVER",
        "b'",
        "x'zz'",
        "1e999",
        "LIMIT -1",
        "WITH",
        "PIVOT",
    ]
    refused = 0
    for _ in range(200):
        words = draw.choice(list(catalog.named_queries().values())).text.split(" ")
        for _ in range(draw.randint(1, 4)):
            words[draw.randrange(len(words))] = draw.choice(pieces)
        try:
            tree = dialect.parse(" ".join(words))
            dialect.for_duckdb(dialect.bind(tree, {"from_ns": 0, "to_ns": 1, "bucket_ns": 1, "account": 1}))
        except QueryRefused:
            refused += 1
    assert refused > 100
