"""What verify_archive finds: each kind of change to the archive, and to the store."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.db import connection
from pyarrow import parquet

from archive import verification
from archive.archive import Archive
from archive.archiving import archive_days
from archive.contents import content_of
from archive.errors import ArchiveDamaged
from archive.iceberg.schema import BLOCKS, CLOSED_ORDERS, LEDGER_EVENTS, TRADES, ArchiveTable
from archive.manifests import Manifest, Previous
from archive.verification import Report
from matching.core.engine import Engine
from settlement.errors import NotReady
from settlement.stores.base import Store
from tests.archive.conftest import OpenArchive
from tests.settlement.rows import MOST

SECOND = date(2026, 1, 31)


def verify(archive: Archive, store: Store | None, **range_: Any) -> Report:
    return verification.verify(archive, store, Engine(), **range_)


def found_in(report: Report) -> list[tuple[str, str]]:
    return [(difference.what, difference.key) for difference in report.differences]


@pytest.fixture
def archived(settled: Store, open_archive: OpenArchive) -> Archive:
    archive_days(settled, open_archive())
    return open_archive()


def test_an_archive_equals_its_blocks_and_the_store(settled: Store, archived: Archive) -> None:
    report = verify(archived, settled)
    last = archived.complete()[-1]
    assert report.ok, report.differences
    assert (report.days, report.last_block) == (len(archived.days()), last.last.number)
    assert report.rows == {name: sum(one.tables[name].rows for one in archived.complete()) for name in report.rows}
    assert report.compared_with_store == last.last.number


def test_days_before_the_range_are_executed_and_not_compared(settled: Store, archived: Archive) -> None:
    first, *_ = archived.complete()
    damage(archived, first, TRADES)
    assert verify(archived, settled, first_day=SECOND).ok
    assert not verify(archived, settled, last_day=first.partition.day).ok


def test_a_range_without_days_is_refused(settled: Store, archived: Archive) -> None:
    with pytest.raises(NotReady, match="The archive has no complete day in this range"):
        verify(archived, settled, first_day=date(2030, 1, 1))


def test_an_archive_needs_no_store(archived: Archive) -> None:
    report = verify(archived, None)
    assert (report.ok, report.compared_with_store) == (True, 0)


def path_in(archive: Archive, manifest: Manifest, table: ArchiveTable) -> Path:
    assert isinstance(archive.location, Path)
    return archive.location / manifest.tables[table.name].files[0].path


def damage(archive: Archive, manifest: Manifest, table: ArchiveTable) -> None:
    """Turns around one bit in the middle of a file."""
    path = path_in(archive, manifest, table)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("table", [BLOCKS, TRADES, LEDGER_EVENTS, CLOSED_ORDERS])
def test_a_file_with_another_bit_is_found(settled: Store, archived: Archive, table: ArchiveTable) -> None:
    manifest = archived.complete()[1]
    damage(archived, manifest, table)
    assert found_in(verify(archived, settled)) == [("file", manifest.tables[table.name].files[0].path)]


def test_a_file_that_is_lost_is_told(settled: Store, archived: Archive) -> None:
    manifest = archived.complete()[1]
    path_in(archived, manifest, TRADES).unlink()
    assert found_in(verify(archived, settled)) == [("file", manifest.tables["trades"].files[0].path)]


def forged(archive: Archive, table: ArchiveTable, change: Callable[[list[Any]], list[Any]]) -> Manifest:
    """Changes rows of the second day as somebody does who also corrects its manifest and all later ones."""
    before: Manifest | None = None
    for place, manifest in enumerate(archive.complete()):
        if place == 1:
            path = path_in(archive, manifest, table)
            rows = [row for batch in parquet.ParquetFile(path).iter_batches() for row in table.rows(batch)]
            batch = table.batch(manifest.partition, change(rows))
            parquet.write_table(pa.Table.from_batches([batch]), path)
            content = content_of(archive.tables, table, manifest.partition)
            manifest = manifest._replace(tables={**manifest.tables, table.name: content})
        if before:
            manifest = manifest._replace(previous=Previous(before.partition.day, before.digest))
        archive.manifests.put(manifest)
        before = manifest
    return archive.complete()[1]


def test_a_changed_trade_is_found_although_its_manifest_fits(settled: Store, archived: Archive) -> None:
    forged(archived, TRADES, lambda rows: [rows[0]._replace(price=rows[0].price + 1), *rows[1:]])
    report = verify(archived, settled)
    assert [what for what, _ in found_in(report)] == ["row of trades"]


def test_a_missing_row_is_found(settled: Store, archived: Archive) -> None:
    forged(archived, CLOSED_ORDERS, lambda rows: rows[1:])
    assert [what for what, _ in found_in(verify(archived, settled))] == ["row of closed_orders"]


def test_a_changed_sum_is_found(settled: Store, archived: Archive) -> None:
    def richer(rows: list[Any]) -> list[Any]:
        more = {"trade_credit": 1}
        return [row._replace(delta_available=row.delta_available + more.get(row.kind, 0)) for row in rows]

    forged(archived, LEDGER_EVENTS, richer)
    assert {"sum of volume", "row of ledger_events"} <= {what for what, _ in found_in(verify(archived, settled))}


def test_a_changed_manifest_is_refused(settled: Store, archived: Archive) -> None:
    assert isinstance(archived.location, Path)
    path = archived.location / "manifests" / "shard-0" / f"{SECOND}.json"
    path.write_text(path.read_text().replace('"rows": ', '"rows": 1'))
    with pytest.raises(ArchiveDamaged, match=r"2026-01-31\.json was changed"):
        verify(archived, settled)


def test_a_row_that_was_changed_in_the_store_is_found(settled: Store, archived: Archive) -> None:
    trade = settled.get_trades_by_sequence_range(0, MOST, 1)[0]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE settled_trades SET price = price + 1 WHERE trade_id = %s", [trade.trade_id])
    assert found_in(verify(archived, settled)) == [("row of trades in the store", str(trade.trade_id))]
