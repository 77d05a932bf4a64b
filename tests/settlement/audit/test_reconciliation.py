"""Compares the engine's live state with the store, also if the store is behind or ahead of it."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError, connection
from structlog.testing import capture_logs

from matching.core.engine import Engine
from matching.core.errors import EngineUnreachable
from matching.node.status import state_of
from settlement.alarms import records
from settlement.alarms.rules import Kind
from settlement.audit import reconciliation
from settlement.audit.reconciliation import MAX_STORED_DIFFERENCES, reconcile_and_store
from settlement.errors import NotReady
from settlement.models import ReconciliationRun
from settlement.stores.base import Checkpoint, Store, StoreUnavailable
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.conftest import ON_SQL, Settle
from tests.settlement.fakes import FakeClock, feed_of, note_calls

COMMANDS = list(random_commands(5, 300, instruments=2, accounts=4, wild=False))
CHAIN = chain_of(COMMANDS, 16)
BLOCKS = CHAIN.blocks
LAST = BLOCKS[-1].number


def state(engine: Engine) -> dict[str, Any]:
    """The answer of an engine, as a client decodes it."""
    return json.loads(json.dumps(state_of(engine)))  # type: ignore[no-any-return]


STATE = state(CHAIN.engine)


@pytest.fixture
def settled(store: Store, settle: Settle, clock: FakeClock) -> Store:
    settle(store, feed_of(clock, BLOCKS))
    return store


def differing(store: Store, clock: FakeClock, answer: dict[str, Any] = STATE) -> list[str]:
    report = reconciliation.reconcile(answer, store, clock, deadline_s=1)
    assert report.ok is not bool(report.differences)
    return [f"{found.what} {found.key}" for found in report.differences]


def test_engine_and_store_agree(settled: Store, clock: FakeClock) -> None:
    report = reconciliation.reconcile(STATE, settled, clock, deadline_s=1)
    assert report.ok
    assert report.block == LAST
    assert report.balances == len(STATE["balances"]) > 8
    assert report.open_orders == len(STATE["open_orders"]) + len(STATE["pending_orders"])
    assert min(len(STATE["open_orders"]), len(STATE["pending_orders"]), report.account_settings) > 2
    assert report.changed_since == 0


def test_an_empty_engine_and_an_empty_store_agree(store: Store, clock: FakeClock) -> None:
    assert differing(store, clock, state(Engine())) == []


@pytest.mark.parametrize("number", range(5, LAST, 4))
def test_a_store_with_later_blocks_is_compared_as_of_the_engines_block(
    settled: Store, clock: FakeClock, number: int
) -> None:
    engine = Engine()
    for block in BLOCKS[:number]:
        engine.follow(block)
    report = reconciliation.reconcile(state(engine), settled, clock, deadline_s=1)
    assert report.differences == []
    assert report.open_orders + report.changed_since == engine.open_order_count


@pytest.mark.parametrize("field", ["balances", "open_orders", "pending_orders"])
def test_a_balance_or_order_that_one_side_lacks_is_named(settled: Store, clock: FakeClock, field: str) -> None:
    rows = STATE[field]
    shorter = {**STATE, field: rows[1:]}
    name = f"balance {rows[0][0]}:{rows[0][1]}" if field == "balances" else f"order {rows[0][0]}"
    assert differing(settled, clock, shorter) == [name]
    place = {"balances": 2, "open_orders": 6, "pending_orders": 5}[field]
    changed = [*rows[0][:place], rows[0][place] + 1, *rows[0][place + 1 :]]
    assert differing(settled, clock, {**STATE, field: [changed, *rows[1:]]}) == [name]
    assert len(differing(settled, clock, {**STATE, field: [*rows, [10**9, *rows[0][1:]]]})) == 1


def test_an_account_setting_that_one_side_lacks_is_named(settled: Store, clock: FakeClock) -> None:
    rows = STATE["account_settings"]
    name = "account setting " + ":".join(map(str, rows[0][:3]))
    assert differing(settled, clock, {**STATE, "account_settings": rows[1:]}) == [name]
    other = {**STATE, "account_settings": [*rows, [10**9, "status", "", "frozen", None, None]]}
    assert differing(settled, clock, other) == [f"account setting {10**9}:status:"]


@ON_SQL
def test_a_changed_balance_and_a_changed_order_of_the_store_are_named(settled: Store, clock: FakeClock) -> None:
    order_id = STATE["open_orders"][0][0]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE balances SET locked = locked + 1 WHERE account = 1 AND asset = 'BTC'")
        cursor.execute("UPDATE orders SET remaining = remaining + 1 WHERE order_id = %s", [order_id])
    assert sorted(differing(settled, clock)) == ["balance 1:BTC", f"order {order_id}"]


def test_another_chain_is_named(settled: Store, clock: FakeClock) -> None:
    assert differing(settled, clock, {**STATE, "state_hash": "0" * 16}) == [f"block {LAST}"]


def test_it_waits_for_the_projection(settled: Store, clock: FakeClock) -> None:
    behind = iter([Checkpoint(LAST - 2, 0, 1)] * 3)
    projected = settled.projected
    settled.projected = lambda: next(behind, None) or projected()  # type: ignore[method-assign]
    assert differing(settled, clock) == []


def test_a_missing_projection_is_an_error_after_the_deadline(settled: Store, clock: FakeClock) -> None:
    with pytest.raises(NotReady, match="check that settlement is running"):
        differing(settled, clock, {**STATE, "block": LAST + 1})


def test_projections_that_are_dropped_meanwhile_are_no_difference(settled: Store, clock: FakeClock) -> None:
    note_calls(settled, "get_block", settled.drop_projections)  # as `rebuild_projections` in another process
    with pytest.raises(NotReady, match=f"projection went from block {LAST} back to block 0"):
        reconcile_and_store(lambda: STATE, lambda: settled, clock=clock, deadline_s=1, source="schedule")
    (row,) = ReconciliationRun.objects.all()
    assert (row.difference_count, row.ok) == (0, False)
    assert "rebuild_projections is done" in (row.error or "")
    assert raised() is None


WORSE = {**STATE, "balances": STATE["balances"][1:]}


def unreachable_engine() -> dict[str, Any]:
    raise EngineUnreachable("No engine answers at tcp://127.0.0.1:5701.")


Run = Callable[[Callable[[], dict[str, Any]]], None]


@pytest.fixture
def run(settled: Store, clock: FakeClock) -> Run:
    """run(ask): a scheduled run, which may fail."""

    def once(ask: Callable[[], dict[str, Any]]) -> None:
        with suppress(EngineUnreachable):
            reconcile_and_store(ask, lambda: settled, clock=clock, deadline_s=1, source="schedule")

    return once


def raised() -> tuple[str, str] | None:
    """(severity, message)"""
    alarm = records.raised_alarms([Kind.RECONCILIATION]).first()
    return (alarm.severity, alarm.message) if alarm else None


def test_every_run_is_recorded(settled: Store, clock: FakeClock) -> None:
    reconcile_and_store(lambda: STATE, lambda: settled, clock=clock, deadline_s=1, source="command")
    reconcile_and_store(lambda: WORSE, lambda: settled, clock=clock, deadline_s=1, source="schedule")
    worse, good = ReconciliationRun.objects.all()
    assert (good.ok, good.block_number, good.difference_count) == (True, LAST, 0)
    assert (good.source, good.error) == ("command", None)
    assert (worse.ok, worse.difference_count, worse.source) == (False, 1, "schedule")
    assert worse.report["differences"][0]["what"] == "balance"


def test_a_run_keeps_its_first_differences_and_the_number_of_all(settled: Store, clock: FakeClock) -> None:
    many = [*STATE["balances"], *([10**9 + extra, "BTC", 1, 0] for extra in range(MAX_STORED_DIFFERENCES + 5))]
    report = reconcile_and_store(
        lambda: {**STATE, "balances": many}, lambda: settled, clock=clock, deadline_s=1, source="command"
    )
    (kept,) = ReconciliationRun.objects.all()
    assert kept.difference_count == report.difference_count == len(report.differences) == MAX_STORED_DIFFERENCES + 5
    assert len(kept.report["differences"]) == MAX_STORED_DIFFERENCES


def test_a_run_that_could_not_run_is_kept_with_the_reason(settled: Store, clock: FakeClock) -> None:
    def closed() -> Store:
        raise StoreUnavailable("The database does not answer: it is locked.")

    for ask, store in (
        (unreachable_engine, lambda: settled),
        (lambda: STATE, closed),
        (lambda: {**STATE, "block": 10**6}, lambda: settled),
    ):
        with pytest.raises((EngineUnreachable, StoreUnavailable, NotReady)):
            reconcile_and_store(ask, store, clock=clock, deadline_s=1, source="schedule")
    behind, locked, unreachable = ReconciliationRun.objects.all()
    assert unreachable.error == "No engine answers at tcp://127.0.0.1:5701."
    assert locked.error == "The database does not answer: it is locked."
    assert "check that settlement is running" in (behind.error or "")
    assert {(row.ok, row.difference_count, row.report == {}) for row in (behind, locked, unreachable)} == {
        (False, 0, True)
    }


def test_a_run_that_cannot_be_kept_is_a_line_in_the_log(
    settled: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(self: ReconciliationRun) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(ReconciliationRun, "save", locked)
    with capture_logs() as lines:
        assert reconcile_and_store(lambda: STATE, lambda: settled, clock=clock, deadline_s=1, source="schedule").ok
    assert lines == [
        {
            "event": "settlement.database_write_failed",
            "log_level": "error",
            "task": "reconciliation",
            "error": "database is locked",
        }
    ]


def test_differences_are_an_alarm_until_a_run_finds_none(run: Run) -> None:
    run(lambda: STATE)
    assert raised() is None
    run(lambda: WORSE)
    assert raised() == (
        "critical",
        f"1 difference between the engine's live state and the store at block {LAST}: see the newest "
        "reconciliation for details, then run manage.py verify_settlement to find out whether the store is wrong.",
    )
    for _ in range(5):
        run(unreachable_engine)
    assert (raised() or "")[0] == "critical"
    run(lambda: STATE)
    assert raised() is None


def test_three_runs_in_a_row_that_could_not_run_are_an_alarm(run: Run) -> None:
    run(unreachable_engine)
    run(unreachable_engine)
    run(lambda: STATE)
    run(unreachable_engine)
    run(unreachable_engine)
    assert raised() is None
    run(unreachable_engine)
    assert raised() == (
        "warning",
        "Engine and store could not be compared 3 times in a row: No engine answers at tcp://127.0.0.1:5701.",
    )
    run(lambda: WORSE)
    assert (raised() or "")[0] == "critical"


def test_an_alarm_is_logged_when_it_is_raised_and_when_it_clears(run: Run) -> None:
    with capture_logs() as lines:
        for state in (WORSE, WORSE, STATE, STATE):
            run(lambda state=state: state)  # type: ignore[misc]
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("alarm.critical", "error"),
        ("alarm.cleared", "info"),
    ]


def test_old_runs_are_deleted_except_those_with_differences(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "MAX_RUNS_WITHOUT_DIFFERENCES", 3)
    for number in range(1, 9):
        found = int(number in (2, 7))
        ReconciliationRun.objects.create(
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            block_number=number,
            ok=not found,
            difference_count=found,
            report={},
        )
    assert reconciliation.delete_old_runs() == 4
    assert reconciliation.delete_old_runs() == 0
    assert [row.block_number for row in ReconciliationRun.objects.all()] == [8, 7, 6, 2]
