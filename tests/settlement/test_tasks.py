"""Background tasks, called as Celery's worker calls them."""

from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError
from structlog.testing import capture_logs

from settlement import tasks, wiring
from settlement.audit import reconciliation
from settlement.errors import CannotRun, NotReady
from settlement.models import ReconciliationRun
from settlement.stores.base import NOTHING_YET


@pytest.fixture
def no_store_yet() -> Iterator[None]:
    """The process's store is not opened yet, and not the next test's."""
    tasks._store.cache_clear()
    yield
    tasks._store.cache_clear()


def test_a_reconciliation_asks_the_leader_of_the_connected_store(
    db: None, no_store_yet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    monkeypatch.setattr(wiring, "engines", lambda open_store: f"engines of {open_store().epochs()}")
    monkeypatch.setattr(reconciliation, "run", lambda *arguments: runs.append(arguments))
    tasks.reconcile("operator")
    ((engines, open_store, _, source),) = runs
    assert (engines, source) == ("engines of []", "operator")
    assert open_store().projected() == NOTHING_YET
    assert open_store() is open_store()


def test_a_reconciliation_that_fails_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise NotReady("Settlement is at block 3.")

    monkeypatch.setattr(wiring, "engines", lambda _: "")
    monkeypatch.setattr(reconciliation, "run", fail)
    with capture_logs() as lines:
        tasks.reconcile()
    (line,) = lines
    assert (line["event"], line["error"]) == ("settlement.reconciliation_failed", "Settlement is at block 3.")


def test_an_operator_is_told_that_the_broker_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OperationalError

    monkeypatch.setattr(tasks.reconcile, "apply_async", fail)
    with pytest.raises(CannotRun, match="check REDIS_URL"):
        tasks.reconcile_soon()


def test_a_sweep_keeps_the_newest_reconciliations(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "MAX_RUNS_WITHOUT_DIFFERENCES", 2)
    for _ in range(5):
        ReconciliationRun.objects.create(
            started_at=timezone.now(), block_number=1, ok=True, difference_count=0, report={}
        )
    with capture_logs() as lines:
        tasks.sweep()
    assert [(line["event"], line["reconciliation_runs"], line["alarms"]) for line in lines] == [
        ("settlement.swept", 3, 0)
    ]
    assert ReconciliationRun.objects.count() == 2
