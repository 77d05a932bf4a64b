"""Settlement's background work. A task is safe to run twice."""

from functools import cache

import structlog
from celery import shared_task
from kombu.exceptions import ChannelError, OperationalError

from matching.core.errors import MatchingError
from settlement import wiring
from settlement.alarms import heartbeats, records
from settlement.audit import reconciliation
from settlement.errors import CannotRun, SettlementError
from settlement.stores.base import Store, StoreError

log = structlog.get_logger(__name__)

DEADLINE_S = 15.0
"""Time-out for the engine's answer and again for the projection, so that a run ends within a minute."""


@shared_task
def reconcile(source: reconciliation.Source = "schedule") -> None:
    """Runs a reconciliation and stores its result, also if it fails."""
    try:
        reconciliation.run(wiring.engines(_store), _store, DEADLINE_S, source)
    except (SettlementError, StoreError, MatchingError) as error:
        log.warning("settlement.reconciliation_failed", error=str(error))


def reconcile_soon() -> None:
    """Starts a reconciliation now, for an operator. Raises CannotRun."""
    try:
        # No retry, because the operator waits for the page and can retry.
        reconcile.apply_async(("operator",), expires=DEADLINE_S, retry=False)
    except (ChannelError, OperationalError) as error:
        raise CannotRun("The task queue is unavailable because its broker does not answer: check REDIS_URL.") from error


@shared_task
def sweep() -> None:
    """Deletes old reconciliation runs and old alarms."""
    with records.logging_database_errors("sweep"):
        runs, alarms = reconciliation.delete_old_runs(), records.delete_old_alarms()
        log.info("settlement.swept", reconciliation_runs=runs, alarms=alarms)


@shared_task
def beat() -> None:
    """Shows that background work runs."""
    with records.logging_database_errors("beat"):
        heartbeats.beat(heartbeats.BACKGROUND)


@cache
def _store() -> Store:
    """The store for all runs of this process."""
    opened = wiring.store()
    opened.connect()
    return opened
