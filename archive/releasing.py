"""Releases archived days from the store: `manage.py release_settlement`.

The archive of the days is verified against the store first, in the same run: files, counts and sums of the manifests,
the blocks executed again, the rows projected again. Then the days are marked as released, and only then their rows are
deleted, in batches. A run that was killed has lost nothing: before the mark nothing is deleted; after it, lookups read
the archive, and the next run deletes the rest.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

import structlog

from archive.archive import Archive
from archive.archiving import refuse_other_chain
from archive.days import day_of
from archive.errors import ArchiveDiffers
from archive.manifests import Manifest
from archive.verification import verify
from matching.core.block_diff import ReExecutor
from settlement.errors import NotReady
from settlement.stores.base import Checkpoint, Store

log = structlog.get_logger(__name__)

Progress = Callable[[int, int], object]
"""Called with (block, last block) while days are verified."""


class Released(NamedTuple):
    """What a run has released."""

    days: list[date]
    blocks: int
    rows: int  # that were deleted: of blocks, trades, ledger events, orders; also of days that were released earlier
    through: Checkpoint  # all that is released


def release_days(
    store: Store,
    archive: Archive,
    engine: ReExecutor,
    *,
    through: date | None,
    progress: Progress = lambda block, last: None,
) -> Released:
    """Releases the archived days up to `through`, then deletes what is released. None: only the latter.

    `store` is the database alone, without released rows. `engine` is a new one. Raises NotReady if `store` has dead
    letters of these days or has not projected them; ArchiveDiffers if the archive is not what was settled;
    ArchiveDamaged, ArchiveUnavailable, StoreReplaced, StoreError.
    """
    days = _unreleased(store, archive, through) if through else []
    if days:
        _release(store, archive, engine, days, progress)
    rows = 0
    for count in store.delete_released():
        rows += count
    return Released(
        days=[manifest.partition.day for manifest in days],
        blocks=sum(manifest.last.number - manifest.first.number + 1 for manifest in days),
        rows=rows,
        through=store.released(),
    )


def days_older_than(store: Store, days: int) -> date | None:
    """The last day that is more than `days` days before the newest projected block; None: there is no block.

    The clock is not asked: while settlement stands still, nothing grows old.
    """
    projected = store.projected().block_number
    newest = store.get_block(projected) if projected else None
    return day_of(newest) - timedelta(days=days + 1) if newest else None


def refuse_unarchived(archive: Archive, through: date) -> None:
    """Raises NotReady unless the archive has `through`, or a later day."""
    manifests = archive.complete()
    if not manifests or manifests[-1].partition.day < through:
        reached = f"it reaches {manifests[-1].partition.day}" if manifests else "it has no complete day"
        raise NotReady(f"The day {through} is not in the archive, {reached}: run archive_settlement first.")


def _unreleased(store: Store, archive: Archive, through: date) -> list[Manifest]:
    released = store.released().block_number
    return [one for one in archive.complete() if one.partition.day <= through and one.last.number > released]


def _release(store: Store, archive: Archive, engine: ReExecutor, days: list[Manifest], progress: Progress) -> None:
    first, last = days[0], days[-1]
    refuse_other_chain(store, last)
    _refuse_dead_letters(store, last)
    report = verify(
        archive, store, engine, first_day=first.partition.day, last_day=last.partition.day, progress=progress
    )
    blocks = last.last.number - first.first.number + 1
    if not report.ok:
        raise ArchiveDiffers(
            f"The archive of {first.partition.day} to {last.partition.day} is not what was settled: "
            f"{report.difference_count} differences, the first one in {report.differences[0]}. Nothing was released: "
            "run verify_archive."
        )
    if report.compared_with_store != blocks:
        raise NotReady(
            f"The store has the rows of {report.compared_with_store} of {blocks} blocks that would be released: wait "
            "until settlement has projected them."
        )
    end = store.get_block(last.last.number)
    assert end is not None, "verified"
    store.mark_released(end.checkpoint)
    log.info(
        "archive.days_released",
        first_day=first.partition.day.isoformat(),
        last_day=last.partition.day.isoformat(),
        block=end.number,
        manifest=last.digest,
    )


def _refuse_dead_letters(store: Store, last: Manifest) -> None:
    """Raises NotReady if rows of the days are missing in the store."""
    for letter in store.dead_letters():
        if letter.block_number <= last.last.number:
            raise NotReady(
                f"The rows of block {letter.block_number} are not in the tables (dead letters), so nothing is "
                "released: run replay_dead_letters --all."
            )
