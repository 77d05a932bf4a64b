"""An archive: its tables and its manifests, and the chain of days that they have."""

import os
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from archive.errors import ArchiveDamaged
from archive.iceberg.location import Location
from archive.iceberg.schema import TABLES, Partition
from archive.iceberg.tables import IcebergTables, reaching
from archive.manifests import Manifest, Manifests


class Archive:
    """Every method raises ArchiveUnavailable and ArchiveMisconfigured."""

    def __init__(self, location: Location, tables: IcebergTables, protection: str = "") -> None:
        """`protection`: how the bucket protects files, as a sentence; "" for a folder."""
        self.location = location
        self.tables = tables
        self.manifests = Manifests(location, tables)
        self.protection = protection

    def days(self) -> list[Partition]:
        """The days of which blocks are committed. The last one may lack other tables and its manifest."""
        found = self.tables.partitions()
        shards = {partition.shard for partition in found}
        if len(shards) > 1:
            raise ArchiveDamaged(f"The archive has blocks of several shards ({sorted(shards)}): give each its own.")
        return found

    def complete(self) -> list[Manifest]:
        """The manifests of all archived days, each of which continues the one before. Raises ArchiveDamaged."""
        return list(self._chained(self.days()))

    def sync(self, partition: Partition) -> None:
        """Returns when the day's files survive a power cut. In a bucket they do so when they are written.

        Neither Arrow nor pyiceberg syncs what it writes to a folder. Raises ArchiveUnavailable.
        """
        if not isinstance(self.location, Path):
            return
        with reaching("The archive"):
            for table in TABLES:
                folder = self.location / table.name
                day = folder / "data" / f"day={partition.day}" / f"shard={partition.shard}"
                for each in (day, day.parent, day.parent.parent, folder / "metadata", folder, self.location):
                    if each.exists():
                        _sync(each)

    def _chained(self, days: Sequence[Partition]) -> Iterator[Manifest]:
        before: Manifest | None = None
        for partition in days:
            manifest = self.manifests.get(partition)
            if manifest is None and partition == days[-1]:
                return
            if manifest is None:
                raise ArchiveDamaged(f"The archive has blocks of {partition.day} and no manifest of that day.")
            refuse_broken(before, manifest)
            yield manifest
            before = manifest


def _sync(folder: Path) -> None:
    """Syncs the files of a folder, then the folder itself."""
    for path in (*(one for one in folder.iterdir() if one.is_file()), folder):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def refuse_broken(before: Manifest | None, manifest: Manifest) -> None:
    """Raises ArchiveDamaged if `manifest` does not follow the one of the archived day before."""
    day: date = manifest.partition.day
    wanted = (before.partition.day, before.digest) if before else None
    found = (manifest.previous.day, manifest.previous.digest) if manifest.previous else None
    if wanted != found:
        raise ArchiveDamaged(f"The manifest of {day} does not have the digest of the archived day before.")
    follows = (before.last.number + 1, before.last.hash) if before else (1, 0)
    if (manifest.first.number, manifest.prev_hash) != follows:
        raise ArchiveDamaged(f"The blocks of {day} do not continue those of the archived day before.")
