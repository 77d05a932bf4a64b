"""Archives complete days of the store: `manage.py archive_settlement`.

A day is written table by table, then its manifest is computed from what is in the tables. A run that was killed is
continued by the next one: what is committed stays, everything else is written again. Files of a run that was killed
before its commit stay in the place, and no table names them.
"""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import structlog

from archive.archive import Archive
from archive.contents import content_of, sums_of
from archive.days import DayOfBlocks, complete_days, day_of
from archive.errors import ArchiveDiffers
from archive.iceberg.schema import TABLES, Partition
from archive.iceberg.tables import BlockRange
from archive.manifests import BlockName, Manifest, Previous
from archive.store_rows import batches_of
from matching.core.blocks import Block
from settlement.errors import NotReady
from settlement.stores.base import Store

log = structlog.get_logger(__name__)

Progress = Callable[[int, int], object]
"""Called with (block, last block)."""


class Archived(NamedTuple):
    """What a run has archived."""

    days: list[date]
    blocks: int
    rows: int  # of all tables
    last: Manifest | None  # of the whole archive; None: it has no day


def archive_days(
    store: Store, archive: Archive, *, through: date | None = None, progress: Progress = lambda block, last: None
) -> Archived:
    """Archives the days that the archive lacks, up to `through` or to the last complete one.

    Raises ArchiveDiffers, ArchiveDamaged, ArchiveUnavailable, ArchiveMisconfigured; NotReady if `through` is not over,
    or has rows that the store rejected; StoreError.
    """
    archive.tables.make_tables()
    manifests = archive.complete()
    last = manifests[-1] if manifests else None
    refuse_other_chain(store, last)
    done: list[Manifest] = []
    for day in complete_days(store, last.last.number + 1 if last else 1):
        if through is not None and day.day > through:
            break
        refuse_dead_letters(store, day)
        last = _archive_day(store, archive, day, last, progress)
        done.append(last)
        log.info("archive.day_archived", day=day.day.isoformat(), blocks=day.last.number - day.first.number + 1)
    if through is not None:
        refuse_incomplete(store, through)
    return Archived(
        days=[manifest.partition.day for manifest in done],
        blocks=sum(manifest.last.number - manifest.first.number + 1 for manifest in done),
        rows=sum(content.rows for manifest in done for content in manifest.tables.values()),
        last=last,
    )


def _archive_day(
    store: Store, archive: Archive, day: DayOfBlocks, before: Manifest | None, progress: Progress
) -> Manifest:
    partition = Partition(day.day, Block.decode(day.first.data).shard)
    of = BlockRange(partition, day.first.number, day.last.number)
    end = len(TABLES) * (of.last - of.first + 1)
    for place, table in enumerate(TABLES):
        begins = place * (of.last - of.first + 1) - of.first + 1

        def note(block: int, begins: int = begins) -> None:
            progress(begins + block, end)

        batches = batches_of(table, store, partition, first=of.first, last=of.last, progress=note)
        archive.tables.append(table, of, batches)
    manifest = Manifest(
        partition=partition,
        previous=before and Previous(before.partition.day, before.digest),
        prev_hash=day.first.prev_hash,
        first=BlockName(day.first.number, day.first.hash),
        last=BlockName(day.last.number, day.last.hash),
        epochs=[epoch for epoch in store.epochs() if epoch.first_block <= day.last.number],
        tables={table.name: content_of(archive.tables, table, partition) for table in TABLES},
        sums=sums_of(archive.tables, partition),
    )
    archive.sync(partition)
    archive.manifests.put(manifest)
    return manifest


def refuse_other_chain(store: Store, last: Manifest | None) -> None:
    """Raises ArchiveDiffers if the store does not have the archive's last block; NotReady if it has fewer blocks."""
    if last is None:
        return
    appended = store.appended().block_number
    if appended < last.last.number:
        raise NotReady(
            f"The store has blocks up to {appended} and the archive up to {last.last.number}: run restore_settlement "
            "--from-archive, or correct ARCHIVE."
        )
    found = store.get_block(last.last.number)
    if found is None or found.hash != last.last.hash:
        raise ArchiveDiffers(
            f"Block {last.last.number} of the store is not the one that was archived on {last.partition.day}: the "
            "archive is of another exchange, or blocks were replaced after they were archived."
        )


def refuse_dead_letters(store: Store, day: DayOfBlocks) -> None:
    """Raises NotReady if rows of the day are missing in the store."""
    for letter in store.dead_letters():
        if day.first.number <= letter.block_number <= day.last.number:
            raise NotReady(
                f"The rows of block {letter.block_number} of {day.day} are not in the tables (dead letters), so the "
                "day cannot be archived: run replay_dead_letters --all."
            )


def refuse_incomplete(store: Store, through: date) -> None:
    """Raises NotReady if `through` is not over in the store."""
    projected = store.projected().block_number
    newest = store.get_block(projected) if projected else None
    if newest is None or day_of(newest) <= through:
        reached = f"its newest projected block is of {day_of(newest)}" if newest else "it has no projected blocks"
        raise NotReady(
            f"The day {through} is not complete in the store: {reached}. Days up to the one before are archived."
        )
