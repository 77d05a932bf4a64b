import time

import pytest
from structlog.testing import capture_logs

from settlement.stores.timing import StatementTimes
from tests.settlement.stores.sql.test_store import sample


def test_every_statement_is_counted_and_only_slow_ones_are_told() -> None:
    before = sample("settlement_db_latency_ms_count")
    times = StatementTimes(slow_ms=100)
    with capture_logs() as logs:
        times.note("SELECT quick", time.perf_counter())
        times.note("SELECT slow", time.perf_counter() - 0.25)
    assert sample("settlement_db_latency_ms_count") == before + 2
    (line,) = logs
    assert (line["event"], line["statement"]) == ("slow statement", "SELECT slow")
    assert 250 <= line["duration_ms"] < 10_000


def test_a_statement_that_is_slow_again_and_again_is_told_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
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
    told = [(line["statement"], line["more_before"]) for line in logs]
    assert told == [("INSERT", 0), ("SELECT", 0), ("INSERT", 2), ("INSERT", 1)]
