"""The archived rows up to the last released block, as a store's lookups ask for them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import pyarrow.compute as pc

from archive.archive import Archive, refuse_broken
from archive.days import day_of
from archive.errors import ArchiveDamaged, ArchiveMisconfigured, ArchiveUnavailable
from archive.iceberg.schema import BLOCKS, CLOSED_ORDERS, LEDGER_EVENTS, TRADES, ArchiveTable, Partition
from archive.manifests import Manifest
from archive.reading.row_groups import RowGroups, Span
from matching.core.blocks import Block
from settlement.stores.base import (
    LedgerEvent,
    Order,
    StoredBlock,
    StoreMisconfigured,
    StoreUnavailable,
    Trade,
)

_KEYS = {
    BLOCKS.name: ("number",),
    TRADES.name: ("trade_id",),
    LEDGER_EVENTS.name: ("event_sequence", "leg"),
    CLOSED_ORDERS.name: ("order_id",),
}
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1


class ArchivedRows:
    """Implements `settlement.stores.base.OlderRows`. Files are opened when a lookup needs them, and kept."""

    def __init__(self, archive: Archive, manifests: Sequence[Manifest]) -> None:
        """`manifests`: of the days that are read, in order."""
        self._archive = archive
        self._manifests = manifests
        self._groups = cache(self._open)

    def blocks(self, first: int, last: int) -> Iterator[StoredBlock]:
        with _told():
            yield from self._groups(BLOCKS).each(_span(first, last))

    def block_of_event(self, event_sequence: int) -> StoredBlock | None:
        ends_later = pc.field("last_event_sequence") >= event_sequence
        with _told():
            found = self._groups(BLOCKS).oldest(_span(_LOWEST, _HIGHEST), 1, ends_later)
        return next((block for block in found if block.first_event_sequence <= event_sequence), None)

    def newest_blocks(self, limit: int, last: int) -> list[StoredBlock]:
        with _told():
            found = self._groups(BLOCKS).newest(_span(_LOWEST, last), limit)
        return [block._replace(data=b"") for block in found]

    def trades(self, first: int, last: int, limit: int, symbol: str | None) -> list[Trade]:
        with _told():
            return self._groups(TRADES).oldest(_span(first, last), limit, _is("symbol", symbol))

    def newest_trades(self, first: int, last: int, limit: int, symbol: str | None) -> list[Trade]:
        with _told():
            return self._groups(TRADES).newest(_span(first, last), limit, _is("symbol", symbol))

    def trades_of(
        self, account: int, symbol: str | None, *, first: int, last: int, limit: int, is_newest_first: bool
    ) -> list[Trade]:
        if not _is_int64(account):
            return []
        of_account = (pc.field("buyer") == account) | (pc.field("seller") == account)
        where, span = _and(of_account, _is("symbol", symbol)), _span(first, last)
        with _told():
            groups = self._groups(TRADES)
            return groups.newest(span, limit, where) if is_newest_first else groups.oldest(span, limit, where)

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        with _told():
            return self._groups(CLOSED_ORDERS).of_keys(order_ids)

    def orders(self, first: int, last: int, limit: int) -> list[Order]:
        with _told():
            return self._groups(CLOSED_ORDERS).oldest(_span(first, last), limit)

    def newest_orders(self, last: int, limit: int, symbol: str | None) -> list[Order]:
        with _told():
            return self._groups(CLOSED_ORDERS).newest(_span(_LOWEST, last), limit, _is("symbol", symbol))

    def orders_of(
        self, account: int, symbol: str | None, *, first: int, last: int, limit: int, is_newest_first: bool
    ) -> list[Order]:
        if not _is_int64(account):
            return []
        where, span = _and(pc.field("account") == account, _is("symbol", symbol)), _span(first, last)
        with _told():
            groups = self._groups(CLOSED_ORDERS)
            return groups.newest(span, limit, where) if is_newest_first else groups.oldest(span, limit, where)

    def orders_by_client_order_id(self, account: int, client_order_id: str, limit: int) -> list[Order]:
        if not _is_int64(account):
            return []
        where = _and(pc.field("account") == account, _is("client_order_id", client_order_id))
        with _told():
            return self._groups(CLOSED_ORDERS).newest(_span(_LOWEST, _HIGHEST), limit, where)

    def ledger_events(self, first: int, last: int) -> list[LedgerEvent]:
        with _told():
            return self._groups(LEDGER_EVENTS).oldest(_span(first, last))

    def ledger_events_of(
        self, account: int, asset: str | None, limit: int, before: tuple[int, int]
    ) -> list[LedgerEvent]:
        if not _is_int64(account):
            return []
        event, leg = max(_LOWEST, min(before[0], _HIGHEST)), max(_LOWEST, min(before[1], _HIGHEST))
        sequence = pc.field("event_sequence")
        is_before = (sequence < event) | ((sequence == event) & (pc.field("leg") < leg))
        where = _and(_and(pc.field("account") == account, is_before), _is("asset", asset))
        with _told():
            return self._groups(LEDGER_EVENTS).newest(_span(_LOWEST, event), limit, where)

    def _open(self, table: ArchiveTable) -> RowGroups:
        names = [file.path for manifest in self._manifests for file in manifest.tables[table.name].files]
        return RowGroups(table, _KEYS[table.name], self._archive.tables.dataset_of(table, names))


def released_rows(open_archive: Callable[[], Archive], anchor: StoredBlock) -> ArchivedRows:
    """The rows up to block `anchor`, the last one of an archived day.

    The days are found by their manifests, each of which names the one before, so no catalog is read. Raises
    StoreUnavailable; StoreMisconfigured if this is not the archive to which the block was released.
    """
    with _told():
        archive = open_archive()
        partition: Partition | None = Partition(day_of(anchor), Block.decode(anchor.data).shard)
        manifests: list[Manifest] = []
        while partition is not None:
            manifest = archive.manifests.get(partition)
            if manifest is None:
                raise ArchiveDamaged(f"The archive has no manifest of {partition.day}, whose rows are released to it.")
            if manifests:
                refuse_broken(manifest, manifests[-1])
            elif manifest.last != (anchor.number, anchor.hash):
                raise ArchiveDamaged(
                    f"The archived day {partition.day} does not end with block {anchor.number}, up to which rows are "
                    "released: correct ARCHIVE."
                )
            manifests.append(manifest)
            partition = manifest.previous and Partition(manifest.previous.day, partition.shard)
        refuse_broken(None, manifests[-1])
        return ArchivedRows(archive, manifests[::-1])


@contextmanager
def _told() -> Iterator[None]:
    """Translates the archive's errors into those of a store."""
    try:
        yield
    except ArchiveUnavailable as error:
        raise StoreUnavailable(f"Rows that are released to the archive cannot be read: {error}") from error
    except (ArchiveDamaged, ArchiveMisconfigured) as error:
        raise StoreMisconfigured(f"Rows that are released to the archive cannot be read: {error}") from error


def _is(column: str, value: str | None) -> pc.Expression | None:
    return None if value is None else pc.field(column) == value


def _and(one: pc.Expression, other: pc.Expression | None) -> pc.Expression:
    return one if other is None else one & other


def _is_int64(value: int) -> bool:
    return _LOWEST <= value <= _HIGHEST


def _span(first: int, last: int) -> Span:
    return Span(max(_LOWEST, min(first, _HIGHEST)), max(_LOWEST, min(last, _HIGHEST)))
