import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from settlement.stores.timing import SHOWN_CHARACTERS, StatementTimes, shortened
from tests.settlement.stores.sql.test_store import sample


def test_every_statement_is_counted_and_only_slow_ones_are_logged() -> None:
    before = sample("settlement_db_latency_ms_count")
    times = StatementTimes(slow_ms=100)
    with capture_logs() as logs:
        times.note("SELECT quick", time.perf_counter())
        times.note("SELECT slow", time.perf_counter() - 0.25)
    assert sample("settlement_db_latency_ms_count") == before + 2
    (line,) = logs
    assert (line["event"], line["statement"]) == ("store.slow_statement", "SELECT slow")
    assert 250 <= line["duration_ms"] < 10_000


def test_a_repeatedly_slow_statement_is_logged_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 50.0
    monkeypatch.setattr("settlement.stores.timing.time.perf_counter", lambda: now_s)
    times = StatementTimes(slow_ms=100)
    with capture_logs() as logs:
        for statement in ("INSERT", "INSERT", "SELECT", "INSERT"):
            times.note(statement, now_s - 1)
        now_s += 1
        for _ in range(2):
            times.note("INSERT", now_s - 1)
        now_s += 1
        times.note("INSERT", now_s - 1)
    logged = [(line["statement"], line["suppressed"]) for line in logs]
    assert logged == [("INSERT", 0), ("SELECT", 0), ("INSERT", 2), ("INSERT", 1)]


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT *\n    FROM t\tWHERE a = %s", "SELECT * FROM t WHERE a = %s"),
        ("SELECT a FROM t WHERE a IN (" + ", ".join(["%s"] * 5000) + ")", "SELECT a FROM t WHERE a IN (%s, …)"),
        ("INSERT INTO t VALUES " + ", ".join(["(%s)"] * 5000), "INSERT INTO t VALUES (%s), …"),
        ("INSERT INTO t VALUES " + ", ".join(["(%s, %s,%s)"] * 5000), "INSERT INTO t VALUES (%s, …), …"),
        (
            "INSERT INTO t VALUES " + ",".join(["(?, ?)"] * 500) + " ON CONFLICT",
            "INSERT INTO t VALUES (?, …), … ON CONFLICT",
        ),
        ("WITH k(a) AS (VALUES (%s), (%s)) SELECT %s", "WITH k(a) AS (VALUES (%s), …) SELECT %s"),
    ],
)
def test_a_statement_is_shown_in_one_line_without_its_many_places(statement: str, line: str) -> None:
    assert shortened(statement) == line


@settings(max_examples=200, deadline=None)
@given(statement=st.text() | st.lists(st.sampled_from(["%s", "(", ")", ", ", ",", "?", "\n", "x"])).map("".join))
def test_no_statement_makes_a_long_line_or_several(statement: str) -> None:
    line = shortened(statement)
    assert len(line) <= SHOWN_CHARACTERS
    assert len(line.splitlines()) <= 1


def test_a_megabyte_of_places_is_shortened_at_once() -> None:
    began_s = time.process_time()
    assert (
        shortened("INSERT INTO t VALUES " + ", ".join(["(%s, %s, %s)"] * 100_000)) == "INSERT INTO t VALUES (%s, …), …"
    )
    assert time.process_time() - began_s < 2


def test_statements_that_differ_in_how_many_values_they_take_count_as_one() -> None:
    times = StatementTimes(slow_ms=100)
    with capture_logs() as logs:
        for count in range(2, 50):
            times.note(f"SELECT a IN ({', '.join(['%s'] * count)})", time.perf_counter() - 1)
    assert [line["statement"] for line in logs] == ["SELECT a IN (%s, …)"]
