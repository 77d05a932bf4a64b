"""The rows that a query reads: those of the archive, and those of the store that the archive does not have yet.

The archive is asked first how far it reaches. Later blocks come from the store, so that no row is read twice, and none
is missing when a day is archived meanwhile: the store keeps what it has.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.dataset as ds

from analytics.errors import QueryTooLarge
from analytics.period import Period
from analytics.recent import ChunkCache, Reading, Tick, shard_of
from analytics.tables import ARCHIVED, ORDERS, reference_rows
from archive.archive import Archive
from archive.days import DayOfBlocks, day_of_ns, days_between
from archive.iceberg.schema import Partition
from archive.manifests import Manifest
from settlement.errors import NotReady
from settlement.lookups import registry_of
from settlement.stores.base import Order, Store
from settlement.stores.block_headers import first_block_since

_PAGE = 4096

Part: TypeAlias = pa.Table | ds.Dataset


class Rows(NamedTuple):
    """`parts` of each table have its columns; together they are its rows."""

    parts: dict[str, list[Part]]
    archived_block: int  # rows up to this block are the archive's; 0: none are
    last_block: int  # the newest block that has rows
    rejected_blocks: list[int]  # blocks whose rows are missing, because the store rejected them


class Source:
    """Raises StoreError, and the errors of the archive."""

    def __init__(
        self,
        store: Store,
        open_archive: Callable[[], Archive | None],
        *,
        max_rows: int,
        cache: ChunkCache | None = None,
    ) -> None:
        """`open_archive` returns None if there is no archive. `max_rows`: of a table in the store, for one query.

        `cache`: of the process; None: nothing is kept.
        """
        self._store = store
        self._cache = cache or ChunkCache(0)
        self._open_archive = open_archive
        self._max_rows = max_rows

    def read(self, tables: Collection[str], period: Period, tick: Tick = lambda: None) -> Rows:
        """The rows of a period.

        A trade or a ledger event is in the period if its block is. Orders are those that closed on its first day or
        later, and all that are open. Raises QueryTooLarge if too many are in the store alone; NotReady if the store's
        rows are being rebuilt.
        """
        archive = self._open_archive()
        manifests = archive.complete() if archive else []
        archived = manifests[-1].last.number if manifests else 0
        # Open orders are read before the newest block is: one that closes meanwhile is then found as closed.
        still_open = self._open_orders(tick) if ORDERS in tables else []
        last = self._store.projected().block_number
        days = self._days(archived + 1, last, Period(period.first) if ORDERS in tables else period)
        rejected = [letter.block_number for letter in self._store.dead_letters() if letter.block_number > archived]
        reading = Reading(self._store, self._cache, frozenset(rejected), tick)
        recent = _Recent(reading, days, self._max_rows)
        parts: dict[str, list[Part]] = {}
        for name in tables:
            if name not in ARCHIVED:
                parts[name] = [reference_rows(registry_of(self._store.definitions()))[name]]
                continue
            wanted = Period(period.first) if name == ORDERS else period
            parts[name] = [recent.table(name, wanted)]
            if archive:
                partitions = [manifest.partition for manifest in manifests if wanted.has(manifest.partition.day)]
                parts[name].append(archive.tables.dataset(ARCHIVED[name], partitions))
        if ORDERS in tables:
            parts[ORDERS].append(recent.open_orders(still_open, shard=self._shard(manifests, last)))
        if self._store.projected().block_number < last:
            raise NotReady("The rows of the store are being rebuilt: ask again when rebuild_projections is done.")
        return Rows(parts, archived, max(last, archived), rejected)

    def _days(self, first: int, last: int, period: Period) -> list[DayOfBlocks]:
        """The days of the period that blocks `first` to `last` have. Looking for others would read many blocks."""
        begins = first_block_since(self._store, period.from_ns)
        if begins is None:
            return []
        after = first_block_since(self._store, period.to_ns) if period.last else None
        end = after.number - 1 if after else last
        return list(days_between(self._store, max(first, begins.number), min(end, last)))

    def _shard(self, manifests: Sequence[Manifest], last: int) -> int:
        """Of the newest block."""
        if manifests and manifests[-1].last.number >= last:
            return manifests[-1].partition.shard
        newest = self._store.get_block(last)
        return shard_of(newest) if newest else 0

    def _open_orders(self, tick: Tick) -> list[Order]:
        found: list[Order] = []
        for order in self._store.open_orders():
            if len(found) % _PAGE == 0:
                tick()
            found.append(order)
            _refuse_many(ORDERS, len(found), self._max_rows)
        return found


class _Recent:
    """Rows of these days of the store."""

    def __init__(self, reading: Reading, days: Sequence[DayOfBlocks], max_rows: int) -> None:
        self._reading = reading
        self._days = days
        self._max_rows = max_rows
        self._closed: set[int] = set()

    def table(self, name: str, period: Period) -> pa.Table:
        tables = [ARCHIVED[name].arrow_schema.empty_table()]
        count = 0
        for day in self._days:
            if not period.has(day.day):
                continue
            for chunk in self._reading.chunks(day, Partition(day.day, shard_of(day.first))):
                tables.append(self._reading.rows(name, chunk))
                count += len(tables[-1])
                _refuse_many(name, count, self._max_rows)
        found = pa.concat_tables(tables)
        if name == ORDERS:
            self._closed = set(found["order_id"].to_pylist())
        return found

    def open_orders(self, orders: Sequence[Order], *, shard: int) -> pa.Table:
        """Those that were not found as closed. `day` is that of their last change."""
        table = ARCHIVED[ORDERS]
        by_day: dict[Partition, list[Order]] = {}
        for order in orders:
            if order.order_id not in self._closed:
                by_day.setdefault(Partition(day_of_ns(order.updated_at_ns), shard), []).append(order)
        batches = [table.batch(partition, rows) for partition, rows in by_day.items()]
        return pa.Table.from_batches(batches, table.arrow_schema)


def _refuse_many(name: str, count: int, limit: int) -> None:
    if count > limit:
        raise QueryTooLarge(
            f"More than {limit} rows of {name} are in the store and not in the archive: ask for fewer days, or run "
            "archive_settlement."
        )
