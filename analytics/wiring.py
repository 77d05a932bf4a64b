"""Creates the parts of analytics from the site's settings. No other module of this package reads settings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import inf
from pathlib import Path

from django.conf import settings

from analytics.embedded import Embedded, Limits
from analytics.errors import StarRocksRefused
from analytics.recent import ChunkCache
from analytics.sources import Source
from analytics.starrocks.http import StarRocksHttp, cluster_of
from analytics.starrocks.progress import ProgressFile
from analytics.starrocks.transactions import Transactions
from archive import wiring as archive_wiring
from archive.archive import Archive
from matching.storage.disk import LocalDisk
from settlement import wiring as settlement_wiring
from settlement.errors import AlreadyRunning, CannotRun
from settlement.stores.base import Store


def embedded(store: Store, *, at_most_s: float = inf) -> Embedded:
    """DuckDB over the archive and this store. `at_most_s`: if it is less than ANALYTICS_SECONDS."""
    limits = Limits(seconds=min(settings.ANALYTICS_SECONDS, at_most_s), memory_mb=settings.ANALYTICS_MEMORY_MB)
    source = Source(store, archive_if_made, max_rows=settings.ANALYTICS_RECENT_ROWS, cache=chunk_cache())
    return Embedded(source, limits)


@cache
def chunk_cache() -> ChunkCache:
    """Of this process. It may have as much memory as a query."""
    return ChunkCache(settings.ANALYTICS_MEMORY_MB << 20)


def archive_if_made() -> Archive | None:
    """None if nothing was ever archived to the folder. Raises ArchiveMisconfigured, ArchiveUnavailable."""
    place = archive_wiring.location()
    if isinstance(place, Path) and not place.exists():
        return None
    return archive_wiring.archive(is_made=True)


def transactions(on_retry: Callable[[], object]) -> Transactions:
    """Raises StarRocksRefused if STARROCKS_URL is not set or has another form."""
    if not settings.STARROCKS_URL:
        raise StarRocksRefused("There is no StarRocks to load: set STARROCKS_URL.")
    cluster = cluster_of(settings.STARROCKS_URL, settings.STARROCKS_HOSTS)
    return Transactions(StarRocksHttp(cluster), on_retry=on_retry)


def progress_file() -> ProgressFile:
    return ProgressFile(_folder() / "starrocks.json", LocalDisk())


@contextmanager
def exclusive() -> Iterator[None]:
    """Held by a run that loads. Raises AlreadyRunning, CannotRun."""
    path = _folder() / "starrocks.lock"
    try:
        held = LocalDisk().hold(path)
    except BlockingIOError as error:
        raise AlreadyRunning(f"Another process loads StarRocks from {path.parent}: stop it first.") from error
    except OSError as error:
        raise CannotRun(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        yield
    finally:
        held.close()


def _folder() -> Path:
    return settlement_wiring.data_dir() / "analytics"
