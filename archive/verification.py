"""Verifies the archive: `manage.py verify_archive`.

    manifests     each continues the one of the archived day before; digests, counts and sums of money
    files         those of the manifest, with their sizes and digests
    blocks        the chain from block 1 on, executed again by a new engine; each must be equal byte for byte
    rows          trades, ledger events and closed orders, projected again from the blocks
    the store     the same blocks and rows, as far as it has them: those that are not released

Days before the range are executed, not compared. Memory is bounded by the engine's state and the rows of the
largest block.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

from archive import contents
from archive.archive import Archive
from archive.iceberg.schema import BLOCKS, CLOSED_ORDERS, LEDGER_EVENTS, TABLES, TRADES, ArchiveTable, Partition
from archive.manifests import Manifest
from archive.store_rows import closed_orders_of, ledger_events_of, trades_of
from matching.core.block_diff import ReExecutor
from matching.core.blocks import Block
from matching.core.errors import MatchingError
from matching.core.hashes import hash_text
from settlement.audit.differences import Difference, Findings
from settlement.errors import NotReady, StoreDamaged
from settlement.project.projection import EmptyTables, Projector, slices_of
from settlement.receive.chain import stored
from settlement.stores.base import OPEN_STATUSES, WHOLE, Order, Store, StoredBlock

_BATCH_EVENTS = 4096
_BATCH_BLOCKS = 256
_SLICE_EVENTS = 16_384

Progress = Callable[[int, int], object]
"""Called with (block, last block)."""

_KEY_WIDTH = {TRADES.name: 1, LEDGER_EVENTS.name: 2, CLOSED_ORDERS.name: 1}
_OF_STORE: dict[str, Callable[[Store, Sequence[StoredBlock]], Sequence[Any]]] = {
    TRADES.name: trades_of,
    LEDGER_EVENTS.name: ledger_events_of,
    CLOSED_ORDERS.name: closed_orders_of,
}


class Report(NamedTuple):
    ok: bool
    first_day: date | None  # None: there is nothing to verify
    last_day: date | None
    days: int
    blocks: int
    rows: dict[str, int]  # by table
    last_block: int
    state_hash: str
    not_executed: int  # the last block of earlier rules, which this program cannot execute; 0: all were executed
    compared_with_store: int  # blocks of which the store had the rows too
    difference_count: int
    differences: list[Difference]

    def form(self) -> dict[str, Any]:
        """The JSON document of `manage.py verify_archive --json`."""
        return {**self._asdict(), "differences": [difference._asdict() for difference in self.differences]}


def verify(
    archive: Archive,
    store: Store | None,
    engine: ReExecutor,
    *,
    first_day: date | None = None,
    last_day: date | None = None,
    progress: Progress = lambda block, last: None,
) -> Report:
    """Verifies the days from `first_day` to `last_day`, or all.

    `store`: what to compare with; None: nothing. `engine` is a new one. Raises NotReady if the archive has none of
    these days; ArchiveDamaged if its manifests do not form a chain; ArchiveUnavailable, StoreError.
    """
    manifests = [one for one in archive.complete() if last_day is None or one.partition.day <= last_day]
    compared = [one for one in manifests if first_day is None or one.partition.day >= first_day]
    if not compared and (first_day or last_day):
        raise NotReady("The archive has no complete day in this range.")
    verification = _Verification(archive, store, engine, manifests[-1].last.number if manifests else 0, progress)
    for manifest in manifests:
        if not verification.run(manifest, is_compared=manifest in compared):
            break
    findings = verification.findings
    return Report(
        ok=not findings.count,
        first_day=compared[0].partition.day if compared else None,
        last_day=compared[-1].partition.day if compared else None,
        days=len(compared),
        blocks=sum(one.last.number - one.first.number + 1 for one in compared),
        rows=verification.rows,
        last_block=verification.head[0],
        state_hash=hash_text(verification.head[1]),
        not_executed=verification.not_executed,
        compared_with_store=verification.compared_with_store,
        difference_count=findings.count,
        differences=findings.kept,
    )


class _Verification:
    def __init__(
        self, archive: Archive, store: Store | None, engine: ReExecutor, last_block: int, progress: Progress
    ) -> None:
        self._archive = archive
        self._store = store
        self._stored_from = store.released().block_number + 1 if store else 1
        self._stored_to = store.projected().block_number if store else 0
        self._engine = engine
        self._last_block = last_block
        self._progress = progress
        self._projector = Projector(EmptyTables(), kept=None)
        self.findings = Findings()
        self.head = 0, 0  # number and hash of the last block that was checked
        self.rows: dict[str, int] = {table.name: 0 for table in TABLES}
        self.not_executed = 0
        self.compared_with_store = 0

    def run(self, manifest: Manifest, *, is_compared: bool) -> bool:
        """Verifies a day; returns whether the next one can be executed."""
        partition = manifest.partition
        if is_compared and not self._compare_files(manifest):
            return False  # damaged files cannot be read
        cursors = [
            _Cursor(self._archive, table, partition) for table in (TRADES, LEDGER_EVENTS, CLOSED_ORDERS) if is_compared
        ]
        for blocks in self._batches(partition):
            try:
                executed = [self._execute(row) for row in blocks]
            except _ChainBroken:
                return False
            expected = self._project(executed)
            if is_compared:
                self._compare_rows(blocks, expected, cursors)
            self._progress(blocks[-1].number, self._last_block)
        for cursor in cursors:
            self.findings.compare_rows(_row_name(cursor.table), [], cursor.take(None), _KEY_WIDTH[cursor.table.name])
        if self.head != manifest.last:
            self.findings.add("last block", partition.day, _name(manifest.last), _name(self.head))
        return True

    def _compare_files(self, manifest: Manifest) -> bool:
        """Compares files, counts and sums with the manifest; returns whether the files are those of the manifest."""
        partition, known = manifest.partition, self.findings.count
        for table in TABLES:
            found = contents.content_of(self._archive.tables, table, partition, without_lost=True)
            wanted = manifest.tables[table.name]
            self.rows[table.name] += found.rows
            named = {file.path: file for file in found.files}
            for file in wanted.files:
                self.findings.compare_row("file", file.path, file, named.pop(file.path, None))
            for path, file in named.items():
                self.findings.compare_row("file", path, None, file)
        if self.findings.count > known:
            return False
        for name, sums in contents.sums_of(self._archive.tables, partition).items():
            if sums != manifest.sums[name]:
                self.findings.add(f"sum of {name}", partition.day, manifest.sums[name], sums)
        return True

    def _batches(self, partition: Partition) -> Iterator[list[StoredBlock]]:
        """Blocks of few events together, a large one alone."""
        batch: list[StoredBlock] = []
        events = 0
        for rows in self._archive.tables.batches(BLOCKS, partition):
            for row in BLOCKS.rows(rows):
                count = row.last_event_sequence - row.first_event_sequence + 1
                if batch and (events + count > _BATCH_EVENTS or len(batch) == _BATCH_BLOCKS):
                    yield batch
                    batch, events = [], 0
                batch.append(row)
                events += count
        if batch:
            yield batch

    def _execute(self, row: StoredBlock) -> Block:
        """Checks and executes the next block. Raises _ChainBroken."""
        number = self.head[0] + 1
        try:
            block = Block.decode(row.data)
            block.verify(number, self.head[1])
            made = self._engine.follow(block)
        except MatchingError as error:
            self.findings.add("block", number, "a block that continues the chain and can be executed", str(error))
            raise _ChainBroken from error
        self.findings.compare_row("block row", number, stored(block)._replace(data=b""), row._replace(data=b""))
        if made is block:
            self.not_executed = number
        elif made.data != block.data:
            self.findings.add("block", number, f"hash {hash_text(made.hash)} when executed", hash_text(block.hash))
            raise _ChainBroken
        self.head = number, block.hash
        return block

    def _project(self, blocks: Sequence[Block]) -> dict[str, list[Any]]:
        """The rows of these blocks, by table and in the order of the archive."""
        trades: list[Any] = []
        ledger_events: list[Any] = []
        orders: dict[int, Order] = {}  # an order that closes in a slice may change again in the next one
        for part in slices_of(blocks[0], _SLICE_EVENTS) if len(blocks) == 1 else (WHOLE,):
            projection = self._projector.project(blocks, part)
            trades += projection.trades
            ledger_events += projection.ledger_events
            orders |= {order.order_id: order for order in projection.orders}
        closed = [order for order in orders.values() if order.status not in OPEN_STATUSES]
        closed.sort(key=lambda order: (order.updated_sequence, order.order_id))
        return {TRADES.name: trades, LEDGER_EVENTS.name: ledger_events, CLOSED_ORDERS.name: closed}

    def _compare_rows(
        self, blocks: Sequence[StoredBlock], expected: dict[str, list[Any]], cursors: Sequence["_Cursor"]
    ) -> None:
        last = blocks[-1].last_event_sequence
        for cursor in cursors:
            found = cursor.take(last)
            if found != expected[cursor.table.name]:
                width = _KEY_WIDTH[cursor.table.name]
                self.findings.compare_rows(_row_name(cursor.table), expected[cursor.table.name], found, width)
        if self._store and self._stored_from <= blocks[0].number and blocks[-1].number <= self._stored_to:
            self._compare_with_store(self._store, blocks, expected)

    def _compare_with_store(self, store: Store, blocks: Sequence[StoredBlock], expected: dict[str, list[Any]]) -> None:
        found = {block.number: block for block in store.blocks(blocks[0].number, blocks[-1].number)}
        for block in blocks:
            other = found.get(block.number)
            if other != block:
                wanted = f"hash {hash_text(block.hash)}"
                has = other and f"hash {hash_text(other.hash)}, {len(other.data)} bytes"
                self.findings.add("block in the store", block.number, wanted, has)
        for name, rows in expected.items():
            try:
                of_store = _OF_STORE[name](store, blocks)
            except StoreDamaged as error:
                self.findings.add(f"{name} in the store", blocks[0].number, len(rows), str(error))
                continue
            if of_store != rows:
                self.findings.compare_rows(f"row of {name} in the store", rows, of_store, _KEY_WIDTH[name])
        self.compared_with_store += len(blocks)


class _ChainBroken(Exception):
    """The chain cannot be followed further; the difference is in the findings."""


class _Cursor:
    """Reads the rows of a partition in order."""

    def __init__(self, archive: Archive, table: ArchiveTable, partition: Partition) -> None:
        self.table = table
        self._rows = (row for batch in archive.tables.batches(table, partition) for row in table.rows(batch))
        self._next: Any = next(self._rows, None)

    def take(self, last: int | None) -> list[Any]:
        """The next rows, up to that of event `last`; None: all."""
        taken = []
        while self._next is not None and (last is None or getattr(self._next, self.table.sequence) <= last):
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken


def _row_name(table: ArchiveTable) -> str:
    return f"row of {table.name}"


def _name(block: tuple[int, int]) -> str:
    return f"block {block[0]}, hash {hash_text(block[1])}"
