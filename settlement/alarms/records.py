"""Alarms in Django's own database, for every store: raise, update, clear and acknowledge, each idempotent.

Raises Django's database errors; `logging_database_errors` is for callers that must not fail with them.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import QuerySet

from settlement.alarms.rules import EVENTS, RUNS_FAILED, Kind, Severity, Signal, differences, not_reconciled
from settlement.models import Alarm, ReconciliationRun

log = structlog.get_logger(__name__)

MAX_CLEARED_ALARMS = 10_000
"""Older cleared alarms are deleted."""


def raised_alarms(kinds: Collection[Kind] = tuple(Kind)) -> QuerySet[Alarm]:
    """The raised alarms, at most one of each kind."""
    return Alarm.objects.filter(cleared_at=None, kind__in=kinds)


def raise_alarm(signal: Signal, raised_at: datetime, seen_at: datetime) -> None:
    """Raises the alarm, or updates the one that is raised already."""
    values: dict[str, Any] = {"severity": signal.severity, "message": signal.message, "last_seen_at": seen_at}
    with transaction.atomic():
        row = raised_alarms([signal.kind]).first()
        if row is None:
            Alarm.objects.create(kind=signal.kind, raised_at=raised_at, **values)
            return
        if row.severity == Severity.WARNING and signal.severity is Severity.CRITICAL:
            values |= {"acknowledged_by": None, "acknowledged_at": None}  # only the warning was acknowledged
        # Only these columns, because the alarm may have been acknowledged since the row was read.
        Alarm.objects.filter(id=row.id).update(**values)


def clear_alarm(kind: Kind, at: datetime) -> bool:
    """Clears an alarm; returns False if it was not raised."""
    return bool(raised_alarms([kind]).update(cleared_at=at))


def acknowledge(number: int, name: str, at: datetime) -> bool:
    """Acknowledges an alarm, which also clears an event; returns False if there was nothing to acknowledge."""
    with transaction.atomic():
        unacknowledged = Alarm.objects.filter(id=number, cleared_at=None, acknowledged_at=None)
        row = unacknowledged.first()
        if row is None:
            return False
        cleared_at = at if row.kind in EVENTS else None
        if not unacknowledged.update(acknowledged_by=name, acknowledged_at=at, cleared_at=cleared_at):
            return False  # it was acknowledged in between
    log.info("alarm.acknowledged", kind=row.kind, severity=row.severity, by=name)
    return True


def update_reconciliation_alarm(at: datetime) -> None:
    """Raises or clears the alarm of reconciliation according to its newest runs.

    An alarm of differences stays until a run finds none; a run that fails does not clear it.
    """
    runs = list(ReconciliationRun.objects.all()[:RUNS_FAILED])
    if not runs:
        return
    known = raised_alarms([Kind.RECONCILIATION]).first()
    signal = _reconciliation_signal(runs)
    if runs[0].ok and clear_alarm(Kind.RECONCILIATION, at):
        log.info("alarm.cleared", kind=str(Kind.RECONCILIATION))
    elif signal and not (known and known.severity == Severity.CRITICAL and signal.severity is Severity.WARNING):
        raise_alarm(signal, at, at)
        if known is None or known.severity != signal.severity:
            log_alarm(signal)


def _reconciliation_signal(runs: list[ReconciliationRun]) -> Signal | None:
    """The signal that follows from `runs`, newest first; None: no alarm."""
    newest = runs[0]
    if newest.difference_count:
        return differences(newest.difference_count, newest.block_number)
    if len(runs) == RUNS_FAILED and all(run.error for run in runs):
        return not_reconciled(newest.error or "")
    return None


def delete_old_alarms() -> int:
    """Deletes cleared alarms except the newest; returns how many."""
    newest_first = Alarm.objects.order_by("-id").values_list("id", flat=True)
    last = newest_first[MAX_CLEARED_ALARMS : MAX_CLEARED_ALARMS + 1].first()
    return Alarm.objects.exclude(cleared_at=None).filter(id__lte=last or 0).delete()[0]


def log_alarm(signal: Signal) -> None:
    """Logs an alarm that was raised or became critical."""
    if signal.severity is Severity.CRITICAL:
        log.error("alarm.critical", kind=str(signal.kind), message=signal.message)
    else:
        log.warning("alarm.warning", kind=str(signal.kind), message=signal.message)


@contextmanager
def logging_database_errors(task: str) -> Iterator[None]:
    """Logs an error of Django's database, for a task whose result may be lost."""
    try:
        yield
    except DatabaseError as error:
        log.error("settlement.database_write_failed", task=task, error=str(error))
