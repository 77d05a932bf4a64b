"""Alarms in Django's own database, whatever the store: raised, worsened, cleared and acknowledged, each safe twice.

Raises Django's database errors; `told` is for those who have something better to do than to fail with them.
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

KEPT = 10_000
"""Cleared alarms that a sweep leaves."""


def raised(kinds: Collection[Kind] = tuple(Kind)) -> QuerySet[Alarm]:
    """At most one of a kind."""
    return Alarm.objects.filter(cleared_at=None, kind__in=kinds)


def put(signal: Signal, raised_at: datetime, seen_at: datetime) -> None:
    """Raises the alarm, or tells of the one that is raised already what is seen now."""
    told: dict[str, Any] = {"severity": signal.severity, "message": signal.message, "last_seen_at": seen_at}
    with transaction.atomic():
        row = raised([signal.kind]).first()
        if row is None:
            Alarm.objects.create(kind=signal.kind, raised_at=raised_at, **told)
            return
        if row.severity == Severity.WARNING and signal.severity is Severity.CRITICAL:
            told |= {"acknowledged_by": None, "acknowledged_at": None}  # whoever has seen it has not seen this
        # These columns and no others: somebody may have acknowledged it since the row was read.
        Alarm.objects.filter(id=row.id).update(**told)


def clear(kind: Kind, at: datetime) -> bool:
    """False where it was not raised."""
    return bool(raised([kind]).update(cleared_at=at))


def acknowledge(number: int, name: str, at: datetime) -> bool:
    """Whether there was something to acknowledge. An event is cleared with it, a level stays while it lasts."""
    with transaction.atomic():
        open_one = Alarm.objects.filter(id=number, cleared_at=None, acknowledged_at=None)
        row = open_one.first()
        if row is None:
            return False
        cleared_at = at if row.kind in EVENTS else None
        if not open_one.update(acknowledged_by=name, acknowledged_at=at, cleared_at=cleared_at):
            return False  # somebody else was quicker
    log.info("alarm acknowledged", kind=row.kind, severity=row.severity, by=name)
    return True


def note_reconciliation(at: datetime) -> None:
    """Raises or clears the alarm of reconciliation, as its newest runs are.

    Differences stay an alarm until a run finds none: one that could not run does not take them back.
    """
    runs = list(ReconciliationRun.objects.all()[:RUNS_FAILED])
    if not runs:
        return
    known = raised([Kind.RECONCILIATION]).first()
    signal = _of(runs)
    if runs[0].ok and clear(Kind.RECONCILIATION, at):
        log.info("alarm cleared", kind=str(Kind.RECONCILIATION))
    elif signal and not (known and known.severity == Severity.CRITICAL and signal.severity is Severity.WARNING):
        put(signal, at, at)
        if known is None or known.severity != signal.severity:
            tell(signal)


def _of(runs: list[ReconciliationRun]) -> Signal | None:
    """`runs` newest first."""
    newest = runs[0]
    if newest.difference_count:
        return differences(newest.difference_count, newest.block_number)
    if len(runs) == RUNS_FAILED and all(run.error for run in runs):
        return not_reconciled(newest.error or "")
    return None


def sweep() -> int:
    """Removes the oldest of the cleared alarms; returns how many."""
    last = Alarm.objects.order_by("-id").values_list("id", flat=True)[KEPT : KEPT + 1].first()
    return Alarm.objects.exclude(cleared_at=None).filter(id__lte=last or 0).delete()[0]


def tell(signal: Signal) -> None:
    """In the log: what was raised, or became worse."""
    write = log.error if signal.severity is Severity.CRITICAL else log.warning
    write("alarm raised", kind=str(signal.kind), severity=str(signal.severity), message=signal.message)


@contextmanager
def told(what: str) -> Iterator[None]:
    """A database that is away is a line in the log, and what was inside is not kept."""
    try:
        yield
    except DatabaseError as error:
        log.error(what, error=str(error))
