"""Settled blocks and their rows as Apache Iceberg tables, in a folder or on S3."""

from django.apps import AppConfig

from settlement.stores import released
from settlement.stores.base import OlderRows, StoredBlock


class ArchiveConfig(AppConfig):
    name = "archive"
    verbose_name = "Archive"

    def ready(self) -> None:
        released.read_by(_released_rows)


def _released_rows(anchor: StoredBlock) -> OlderRows:
    # Here, because they import pyarrow, which few processes need.
    from archive import wiring as archive_wiring
    from archive.reading.rows import released_rows

    return released_rows(lambda: archive_wiring.archive(is_made=True), anchor)
