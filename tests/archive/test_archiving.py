"""Days of the store in the archive: which, with which rows, and how often."""

import os
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from archive import archiving
from archive.archive import Archive
from archive.archiving import archive_days
from archive.errors import ArchiveDiffers
from archive.iceberg import tables
from archive.iceberg.schema import BLOCKS, CLOSED_ORDERS, LEDGER_EVENTS, TABLES, TRADES, ArchiveTable
from settlement.errors import NotReady
from settlement.stores.base import OPEN_STATUSES, Store
from tests.archive.conftest import OpenArchive
from tests.settlement.rows import MOST, letter

FIRST, SECOND = date(2026, 1, 30), date(2026, 1, 31)


def rows_in(archive: Archive, table: ArchiveTable) -> list[Any]:
    return [
        row
        for partition in archive.days()
        for batch in archive.tables.batches(table, partition)
        for row in table.rows(batch)
    ]


def rows_of_store(store: Store, last: int) -> dict[str, list[Any]]:
    """The rows of blocks 1 to `last`, by table."""
    end = store.get_block(last)
    assert end is not None
    orders = store.get_orders_by_sequence_range(0, MOST, 10**6)
    closed = [
        order
        for order in orders
        if order.status not in OPEN_STATUSES and order.updated_sequence <= end.last_event_sequence
    ]
    return {
        BLOCKS.name: list(store.blocks(1, last)),
        TRADES.name: store.get_trades_by_sequence_range(0, end.last_event_sequence, 10**6),
        LEDGER_EVENTS.name: store.get_ledger_events(0, end.last_event_sequence),
        CLOSED_ORDERS.name: sorted(closed, key=lambda order: (order.updated_sequence, order.order_id)),
    }


def test_every_row_of_complete_days_is_archived_once(settled: Store, open_archive: OpenArchive) -> None:
    done = archive_days(settled, open_archive())
    assert archive_days(settled, open_archive()).days == []

    assert done.days[0] == FIRST
    assert done.last is not None
    assert done.last.last.number < settled.projected().block_number, "the last day is not complete"
    wanted = rows_of_store(settled, done.last.last.number)
    assert {table.name: rows_in(open_archive(), table) for table in TABLES} == wanted
    assert all(len(rows) > 10 for rows in wanted.values())


def test_a_day_is_archived_up_to_the_one_that_is_named(settled: Store, open_archive: OpenArchive) -> None:
    assert archive_days(settled, open_archive(), through=FIRST).days == [FIRST]
    assert archive_days(settled, open_archive(), through=FIRST).days == []
    assert archive_days(settled, open_archive()).days[0] == SECOND


def test_a_day_that_is_not_over_is_refused(settled: Store, open_archive: OpenArchive) -> None:
    with pytest.raises(NotReady, match="The day 2027-01-01 is not complete in the store: its newest projected block"):
        archive_days(settled, open_archive(), through=date(2027, 1, 1))


def test_an_empty_store_has_nothing_to_archive(store: Store, open_archive: OpenArchive) -> None:
    assert archive_days(store, open_archive()).last is None


def test_a_day_with_dead_letters_is_refused(settled: Store, open_archive: OpenArchive) -> None:
    settled.put_dead_letter(letter(2))
    with pytest.raises(NotReady, match=r"The rows of block 2 of 2026-01-30 are not in the tables \(dead letters\)"):
        archive_days(settled, open_archive())
    assert open_archive().days() == []


def test_the_manifests_are_chained(settled: Store, open_archive: OpenArchive) -> None:
    archive_days(settled, open_archive())
    manifests = open_archive().complete()
    assert len(manifests) == 2
    for before, manifest in pairwise(manifests):
        assert manifest.previous == (before.partition.day, before.digest)
        assert manifest.first.number == before.last.number + 1


def test_another_exchange_is_refused(settled: Store, open_archive: OpenArchive) -> None:
    archive_days(settled, open_archive(), through=FIRST)
    manifest = open_archive().complete()[-1]
    with pytest.raises(ArchiveDiffers, match="is not the one that was archived on 2026-01-30"):
        archiving.refuse_other_chain(settled, manifest._replace(last=manifest.last._replace(hash=1)))


@pytest.mark.parametrize("look", [1, 2], ids=["before its files", "before its commit"])
def test_a_day_that_another_writer_commits_at_the_same_time_is_archived_once(
    settled: Store, open_archive: OpenArchive, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    """The other one commits everything after this one has seen that the first table lacks the day."""
    ours, other = open_archive(), open_archive()
    ours.tables.make_tables()
    has, looks = tables._has, iter(range(1, 1000))

    def seen_too_early(*arguments: Any) -> bool:
        found = has(*arguments)
        if next(looks) == look:
            with monkeypatch.context() as undone:
                undone.setattr(tables, "_has", has)
                archive_days(settled, other)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(tables, "_has", seen_too_early)
        archive_days(settled, ours)

    archive = open_archive()
    wanted = rows_of_store(settled, archive.complete()[-1].last.number)
    assert {table.name: rows_in(archive, table) for table in TABLES} == wanted
    named = {Path(path.removeprefix("file://")) for table in TABLES for path in paths_in(archive, table)}
    assert isinstance(archive.location, Path)
    assert set(archive.location.rglob("*.parquet")) == named, "files of the slower writer are deleted"


def paths_in(archive: Archive, table: ArchiveTable) -> list[str]:
    return [path for partition in archive.days() for path, _ in archive.tables.files(table, partition)]


def test_rows_that_a_rebuild_has_dropped_are_not_archived_as_missing(settled: Store, open_archive: OpenArchive) -> None:
    archive_days(settled, open_archive(), through=FIRST)
    settled.drop_projections()
    with pytest.raises(NotReady, match="is not complete in the store: it has no projected blocks"):
        archive_days(settled, open_archive(), through=SECOND)
    assert [partition.day for partition in open_archive().days()] == [FIRST]


def test_what_a_day_consists_of_is_synced_before_its_manifest(
    settled: Store, open_archive: OpenArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def noted(opened: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{opened}")))
        fsync(opened)

    monkeypatch.setattr("archive.archive.os.fsync", noted)
    archive_days(settled, open_archive(), through=FIRST)

    archive = open_archive()
    assert isinstance(archive.location, Path)
    files = [path for table in TABLES for path in (archive.location / table.name).rglob("*.*") if path.is_file()]
    assert len(files) > 12
    manifest = synced.index(archive.location / "manifests" / "shard-0")
    assert not set(files) - set(synced[:manifest])
