"""The archive's background work. A task is safe to run twice."""

import structlog
from celery import shared_task

from archive import wiring as archive_wiring
from archive.archiving import archive_days
from matching.core.errors import MatchingError
from settlement import wiring
from settlement.errors import SettlementError
from settlement.stores.base import StoreError

log = structlog.get_logger(__name__)


@shared_task
def archive() -> None:
    """Archives the days that are complete. What failed is done by the next run."""
    try:
        store = wiring.store()
        store.connect()
        with archive_wiring.exclusive():
            done = archive_days(store, archive_wiring.archive())
    except (SettlementError, StoreError, MatchingError) as error:
        log.warning("archive.failed", error=str(error))
        return
    log.info("archive.done", days=len(done.days), blocks=done.blocks, rows=done.rows)
