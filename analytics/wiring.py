"""Creates the parts of analytics from the site's settings. No other module of this package reads settings."""

from pathlib import Path

from django.conf import settings

from analytics.embedded import Embedded, Limits
from analytics.sources import Source
from archive import wiring as archive_wiring
from archive.archive import Archive
from settlement.stores.base import Store


def embedded(store: Store, *, seconds: float | None = None) -> Embedded:
    """DuckDB over the archive and this store. `seconds`: instead of ANALYTICS_SECONDS."""
    limits = Limits(seconds=seconds or settings.ANALYTICS_SECONDS, memory_mb=settings.ANALYTICS_MEMORY_MB)
    return Embedded(Source(store, archive_if_made, max_rows=settings.ANALYTICS_RECENT_ROWS), limits)


def archive_if_made() -> Archive | None:
    """None if nothing was ever archived to the folder. Raises ArchiveMisconfigured, ArchiveUnavailable."""
    place = archive_wiring.location()
    if isinstance(place, Path) and not place.exists():
        return None
    return archive_wiring.archive(is_made=True)
