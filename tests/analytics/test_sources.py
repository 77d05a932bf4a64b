"""Rows of the archive and of the store together: none twice, none missing, whatever is archived meanwhile."""

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from analytics.errors import QueryTooLarge
from analytics.period import Period
from analytics.sources import Part, Source
from analytics.tables import ARCHIVED, NAMES
from analytics.wiring import archive_if_made
from archive import wiring
from archive.archive import Archive
from archive.archiving import archive_days
from archive.days import day_of_ns
from settlement.errors import NotReady
from settlement.stores.base import Order, Store, StoredBlock
from tests.analytics.test_catalog import ask

ALL = 1 << 62
MANY = 1_000_000
ALWAYS = Period()


def rows(source: Source, name: str, period: Period = ALWAYS) -> list[dict[str, Any]]:
    """Without the columns of the partition."""
    read = [row for part in source.read([name], period).parts[name] for row in listed(part)]
    return [{key: value for key, value in row.items() if key not in ("day", "shard")} for row in read]


def listed(part: Part) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (part if isinstance(part, pa.Table) else part.to_table()).to_pylist()
    return found


def of_store(store: Store, name: str) -> list[dict[str, Any]]:
    found: dict[str, Any] = {
        "trades": lambda: store.get_trades_by_sequence_range(0, ALL, MANY),
        "ledger_events": lambda: store.get_ledger_events(0, ALL),
        "orders": lambda: store.get_orders_by_sequence_range(0, ALL, MANY),
    }
    return [row._asdict() for row in found[name]()]


def key(row: dict[str, Any]) -> tuple[int, int]:
    return row.get("trade_id") or row.get("order_id") or row["event_sequence"], row.get("leg", 0)


def source(store: Store) -> Source:
    return Source(store, archive_if_made, max_rows=MANY)


@pytest.mark.parametrize("name", ARCHIVED)
@pytest.mark.parametrize("days", [0, 1, 2])
def test_every_row_is_read_once_wherever_the_archive_ends(settled: Store, name: str, days: int) -> None:
    if days:
        archive_days(settled, wiring.archive(), through=date(2026, 1, 29 + days))
    found = source(settled).read(list(ARCHIVED), Period())
    assert found.archived_block == 12 * days
    assert found.last_block == settled.projected().block_number
    assert sorted(rows(source(settled), name), key=key) == of_store(settled, name)


@pytest.mark.parametrize("name", ARCHIVED)
def test_a_day_that_is_archived_while_a_query_reads_is_not_read_twice(settled: Store, name: str) -> None:
    def open_before_the_run() -> Archive:
        """The archive as it was when the query began; the days are in its tables a moment later."""
        archive = wiring.archive()
        before = archive.complete()
        archive_days(settled, wiring.archive())
        archive.complete = lambda: before  # type: ignore[method-assign]
        return archive

    found = rows(Source(settled, open_before_the_run, max_rows=MANY), name)
    assert sorted(found, key=key) == of_store(settled, name)


def test_a_day_without_a_manifest_is_read_from_the_store(settled: Store) -> None:
    """The run that archived it was killed before its end."""
    archive = wiring.archive()
    archive_days(settled, archive)
    path = next(wiring.embedded_folder().glob("manifests/shard-0/2026-01-31.json"))
    path.unlink()
    assert source(settled).read(["trades"], Period()).archived_block == 12
    assert sorted(rows(source(settled), "trades"), key=key) == of_store(settled, "trades")


def test_an_order_that_closes_while_it_is_read_is_there_once(settled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read as open, then as closed in a block that was projected meanwhile."""
    closed = next(order for order in settled.get_orders_by_sequence_range(0, ALL, MANY) if order.status == "filled")
    as_open: Order = closed._replace(status="open", remaining=1)
    still_open = [as_open, *settled.open_orders()]
    monkeypatch.setattr(settled, "open_orders", lambda: iter(still_open))
    assert sorted(rows(source(settled), "orders"), key=key) == of_store(settled, "orders")


@pytest.mark.parametrize(
    ("period", "days"),
    [
        (Period(date(2026, 1, 31)), ["2026-01-31", "2026-02-01"]),
        (Period(None, date(2026, 1, 30)), ["2026-01-30"]),
        (Period(date(2026, 1, 31), date(2026, 1, 31)), ["2026-01-31"]),
    ],
)
def test_a_period_reads_only_its_days(archived: Store, period: Period, days: list[str]) -> None:
    tables = source(archived).read(["ledger_events"], period).parts["ledger_events"]
    found = {str(row["day"]) for part in tables for row in listed(part)}
    assert sorted(found) == days


def test_too_many_rows_of_the_store_are_refused(settled: Store) -> None:
    with pytest.raises(QueryTooLarge, match="More than 3 rows of trades are in the store and not in the archive: ask"):
        Source(settled, archive_if_made, max_rows=3).read(["trades"], Period())


def test_archived_rows_are_not_counted_as_rows_of_the_store(archived: Store) -> None:
    assert Source(archived, archive_if_made, max_rows=4).read(["trades"], Period()).archived_block == 24


def test_rows_that_are_being_rebuilt_are_refused(settled: Store) -> None:
    with pytest.raises(NotReady, match="The rows of the store are being rebuilt"):
        source(settled).read(["trades"], Period(), settled.drop_projections)


def test_an_empty_store_has_tables_without_rows(store: Store, data_dir: Any) -> None:
    for name in NAMES:
        assert ask(store, f"SELECT count(*) FROM {name}") == [(0,)]


@pytest.mark.parametrize("day", [date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 1), date(2030, 1, 1)])
def test_a_query_of_one_day_reads_no_block_of_another(
    settled: Store, monkeypatch: pytest.MonkeyPatch, day: date
) -> None:
    """Only headers: with their bytes, blocks can have a MiB each."""
    wanted = [row for row in rows(source(settled), "trades") if day_of_ns(row["timestamp_ns"]) == day]
    asked: list[int] = []
    get_block = settled.get_block

    def noting(number: int) -> StoredBlock | None:
        asked.append(number)
        return get_block(number)

    monkeypatch.setattr(settled, "get_block", noting)
    assert rows(source(settled), "trades", Period(day, day)) == wanted
    of_day = [block.number for block in settled.newest_blocks(1000) if day_of_ns(block.timestamp_ns) == day]
    assert set(asked) <= {min(of_day, default=0), max(of_day, default=0)}


def test_a_period_has_the_rows_of_its_days(settled: Store) -> None:
    everything = rows(source(settled), "trades")
    for first in (None, date(2026, 1, 29), date(2026, 1, 31)):
        for last in (None, date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 20)):
            period = Period(first, last)
            wanted = [row for row in everything if period.has(day_of_ns(row["timestamp_ns"]))]
            assert rows(source(settled), "trades", period) == wanted
