"""The archive's background work. A task is safe to run twice."""

import structlog
from celery import shared_task

from archive import wiring as archive_wiring
from archive.archiving import archive_days
from archive.releasing import days_older_than, release_days
from matching.core.engine import Engine
from matching.core.errors import MatchingError
from settlement import wiring
from settlement.errors import SettlementError
from settlement.stores.base import StoreError

log = structlog.get_logger(__name__)


@shared_task
def archive() -> None:
    """Archives the days that are complete, then releases those older than RETENTION_DAYS.

    What failed is done by the next run.
    """
    try:
        store = wiring.hot_store()
        store.connect()
        with archive_wiring.exclusive():
            opened = archive_wiring.archive()
            done = archive_days(store, opened)
            log.info("archive.done", days=len(done.days), blocks=done.blocks, rows=done.rows)
            if days := archive_wiring.retention_days():
                released = release_days(store, opened, Engine(), through=days_older_than(store, days))
                log.info("archive.released", days=len(released.days), blocks=released.blocks, rows=released.rows)
    except (SettlementError, StoreError, MatchingError) as error:
        log.warning("archive.failed", error=str(error))
