"""Settlement's background work. A task is safe to run twice."""

from functools import cache

import structlog
from celery import shared_task
from kombu.exceptions import ChannelError, OperationalError

from matching.core.errors import MatchingError
from settlement import wiring
from settlement.alarms import records
from settlement.audit import reconciliation
from settlement.errors import CannotRun, SettlementError
from settlement.stores.base import Store, StoreError

log = structlog.get_logger(__name__)

DEADLINE_S = 15.0
"""For the engine's answer, and again for the projection: a run ends before the next one of a minute begins."""


@shared_task
def reconcile(source: reconciliation.Source = "schedule") -> None:
    """The run is kept whatever becomes of it; one that could not run says why."""
    try:
        reconciliation.run(wiring.engines(_store), _store, DEADLINE_S, source)
    except (SettlementError, StoreError, MatchingError) as error:
        log.warning("reconciliation could not run", error=str(error))


def reconcile_soon() -> None:
    """For an operator who does not want to wait for the next minute. Raises CannotRun."""
    try:
        # Not again by itself: the operator who waits for the page can do that.
        reconcile.apply_async(("operator",), expires=DEADLINE_S, retry=False)
    except (ChannelError, OperationalError) as error:
        raise CannotRun("Background work takes no task, for its broker does not answer: see REDIS_URL.") from error


@shared_task
def sweep() -> None:
    """Old reconciliation runs and old alarms that nobody looks up any more."""
    with records.told("nothing was swept"):
        log.info("swept", reconciliation_runs=reconciliation.sweep(), alarms=records.sweep())


@cache
def _store() -> Store:
    """One for all runs of this process."""
    opened = wiring.store()
    opened.connect()
    return opened
