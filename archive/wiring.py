"""Creates the archive from the site's settings. No other module of this package reads settings."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from archive.archive import Archive
from archive.errors import ArchiveMisconfigured
from archive.iceberg.location import Location, location_of, url_of
from archive.iceberg.tables import IcebergTables
from matching.storage.disk import LocalDisk, make_folder
from settlement import wiring
from settlement.errors import AlreadyRunning, CannotRun

_LOCK = "archive.lock"
_CATALOG_FILE = "catalog.sqlite3"
_REST = ("http://", "https://")


def location() -> Location:
    """Raises ArchiveMisconfigured."""
    return location_of(settings.ARCHIVE or str(embedded_folder()))


def embedded_folder() -> Path:
    """Where the archive is if ARCHIVE is not set, and its catalog if ARCHIVE_CATALOG is not set."""
    return wiring.data_dir() / "archive"


def archive(*, is_made: bool = False) -> Archive:
    """`is_made`: refuse to create one. Raises ArchiveMisconfigured, ArchiveUnavailable."""
    place = location()
    storage: dict[str, str] = {}
    protection = ""
    if isinstance(place, Path):
        _refuse_missing(place, is_made)
    else:
        # Only with a bucket: it imports the AWS client, which takes half a second.
        from archive.iceberg import bucket

        protection = f"Bucket {place.bucket}: {bucket.protection_of(place)}."
        storage = bucket.connection_of()
    return Archive(place, IcebergTables(url_of(place), catalog=_catalog(place, is_made), storage=storage), protection)


def retention_days() -> int:
    """How long the store keeps archived days; 0: for ever."""
    days: int = settings.RETENTION_DAYS
    return days


def restore_hidden() -> list[str]:
    """The files of the archive that a delete had hidden, and that it has again; none in a folder.

    Raises ArchiveMisconfigured, ArchiveUnavailable.
    """
    place = location()
    if isinstance(place, Path):
        return []
    from archive.iceberg import bucket

    return bucket.restore_hidden(place)


@contextmanager
def exclusive() -> Iterator[None]:
    """Held by a run that writes to the archive. Raises AlreadyRunning, CannotRun.

    What the process creates meanwhile is closed to other accounts: Arrow and SQLite do not ask for a mode.
    """
    path = wiring.data_dir() / _LOCK
    try:
        held = LocalDisk().hold(path)
    except BlockingIOError as error:
        raise AlreadyRunning(f"Another process archives from {path.parent}: wait until it has ended.") from error
    except OSError as error:
        raise CannotRun(f"{path} cannot be opened: {error.strerror}.") from error
    umask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask)
        held.close()


def _catalog(place: Location, is_made: bool) -> dict[str, str]:
    url: str = settings.ARCHIVE_CATALOG
    options = {str(name): str(value) for name, value in settings.ARCHIVE_CATALOG_OPTIONS.items()}
    if url.startswith(_REST):
        return {"type": "rest", "uri": url, **options}
    if not url:
        folder = place if isinstance(place, Path) else embedded_folder()
        _refuse_missing(folder / _CATALOG_FILE, is_made)
        url = f"sqlite:///{folder / _CATALOG_FILE}"
    return {"type": "sql", "uri": url.replace("postgres://", "postgresql+psycopg://", 1), **options}


def _refuse_missing(path: Path, is_made: bool) -> None:
    """Creates a missing folder unless the archive should be there already. Raises ArchiveMisconfigured."""
    if is_made and not path.exists():
        raise ArchiveMisconfigured(f"There is no archive: {path} does not exist.")
    try:
        make_folder(path.parent if path.suffix else path)
    except OSError as error:
        raise ArchiveMisconfigured(f"The folder {path} cannot be created: {error.strerror}.") from error
