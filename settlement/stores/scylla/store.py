"""The store contract on ScyllaDB or Cassandra.

`fences` stores blocks and epochs, `write.undo` makes a batch repeatable, `keys` defines partition keys and write times.
Dead letters are few and read by operators, so they are in the SQL database beside Django's own tables. As with the
other stores, one process at a time projects a shard and any number may read.
"""

from collections.abc import Iterable, Iterator, Sequence
from secrets import token_hex
from typing import Any

from matching.core.epochs import Epoch
from matching.core.hashes import hash_text, hash_value
from settlement import metrics
from settlement.errors import NotBuiltIn
from settlement.stores.base import (
    IDENTITY_BYTES,
    NOTHING_YET,
    Balance,
    Candle,
    Checkpoint,
    DeadLetter,
    Definition,
    Order,
    Projection,
    SingleInserts,
    Store,
    StoredBlock,
    StoreRejected,
    Tables,
)
from settlement.stores.base.columns import ColumnTable
from settlement.stores.continuity import refuse_leap, refuse_skip
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.batches import Outbox, row_prefix
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.replication import check_replication
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.fences import Fences
from settlement.stores.scylla.index import OPEN_ORDERS, Index
from settlement.stores.scylla.keys import BUCKET_SIZE, INT64_MIN, MAX_GENERATION, stamp
from settlement.stores.scylla.read.accounts import Accounts
from settlement.stores.scylla.read.lookups import Blocks, Candles, Orders, Trades
from settlement.stores.scylla.read.store_lookups import StoreLookups
from settlement.stores.scylla.signed_documents import SignedDocuments
from settlement.stores.scylla.tables.schema import added_column, statements
from settlement.stores.scylla.write.block_hashes import BlockHashes
from settlement.stores.scylla.write.resets import ProjectionReset
from settlement.stores.scylla.write.rows import Rows
from settlement.stores.scylla.write.undo import Overlay, TablesAtCheckpoint, UndoLog

_BUCKETS_PER_PRUNING = 8
_LISTS = tuple(name for name in Projection._fields if name not in ("checkpoint", "before", "slice"))


class ScyllaStore(StoreLookups, SignedDocuments, SingleInserts):
    """One shard in one keyspace. Raises StoreUnavailable and StoreRejected, as the contract defines."""

    is_atomic = False

    def __init__(
        self,
        access: Access,
        dead_letter_store: Store,
        slow_query_ms: float = 100,
        timeout_ms: int | None = None,
        shard: int = 0,
    ) -> None:
        """`timeout_ms` applies to one request; None: that of `access`."""
        self._session = Session(access, slow_query_ms, timeout_ms)
        self._dead_letters = dead_letter_store
        self._shard = shard
        self._index = Index(self._session, shard)
        self._fences = Fences(self._session, shard)
        self._blocks = Blocks(self._session, shard, self._fences.resolved_head)
        self._block_hashes = BlockHashes(self._session, shard, self._fences.written_head)
        self._trades = Trades(self._session, shard, self._index)
        self._orders = Orders(self._session, shard, self._index)
        self._accounts = Accounts(
            self._session,
            shard,
            self._index,
            get_trades=self._trades.get,
            get_orders=self._orders.get,
            last_event=self._last_event,
        )
        self._candles = Candles(self._session, shard)
        self._undo = UndoLog(self._session, shard)
        self._overlay: Overlay | None = None
        # The event up to which the block after the checkpoint is projected; read together with the overlay.
        self._within = 0
        self._is_overlay_known = False
        self._generation = -1  # the generation whose entries the index has cached
        self._headers: dict[str, bytes] = {}  # by statement
        self._tables: dict[bytes, str] = {}  # by the prefix of their rows
        self._pruned_to = INT64_MIN
        self._newest_order = 0

    def connect(self) -> None:
        self._session.open()

    def close(self) -> None:
        """Closes the thread's SQL connection. The process keeps its connection to the cluster for later use."""
        self._dead_letters.close()

    def init(self) -> None:
        check_replication(self._session)
        keyspace = self._session.access.keyspace
        tables = self._session.tables()
        for statement in statements(keyspace, self._session.access.replication):
            self._session.run_plain(statement)
        for column in self._session.columns_to_add():
            self._add_column(added_column(keyspace, column))
        if tables and "transfers" not in tables:  # an earlier version made the others
            at, generation = self._projected()
            self._put_checkpoint("transfers", at._replace(block_number=self.projecting()), generation)
        self._dead_letters.init()

    def carry_over(self) -> None:
        self._block_hashes.fill()
        self.fill_digests(self.appended().block_number)

    def _add_column(self, statement: str) -> None:
        try:
            self._session.run_plain(statement)
        except StoreRejected:
            if statement in (added_column(self._session.access.keyspace, c) for c in self._session.columns_to_add()):
                raise  # otherwise another process has just added it

    def ping(self) -> None:
        self.appended()

    # settlement writes

    def identity(self) -> bytes:
        known = self._session.one(cql.GET_IDENTITY, (self._shard,))
        if known is None:
            self._session.run(cql.PUT_IDENTITY, (self._shard, token_hex(IDENTITY_BYTES)))
            # Serial, so that it is the same as what any other first caller reads.
            (known,) = self._session.rows(cql.GET_IDENTITY, (self._shard,), is_serial=True)
        return bytes.fromhex(known[0])

    def append_blocks(self, blocks: Sequence[StoredBlock]) -> None:
        if blocks:
            self._fences.append(blocks)
            metrics.DB_INSERTS.labels("engine_blocks").inc(len(blocks))

    def begin_epoch(self, epoch: Epoch) -> None:
        self._fences.begin(epoch)

    def replace_blocks(self, first: int, batches: Iterable[Sequence[StoredBlock]], epoch: Epoch) -> None:
        self._fences.replace(batches, epoch)

    def epochs(self) -> list[Epoch]:
        return self._fences.epochs()

    def insert_batch(self, projection: Projection, follows: Checkpoint | None = None) -> None:
        at, generation = self._projected()
        if follows is not None:
            appended = self._fences.written_head()
            refuse_leap(projected=at, appended=appended, batch=projection.checkpoint, follows=follows)
        if not self._is_overlay_known:
            self._read_overlay(at, generation)
        number, part = projection.checkpoint.block_number, projection.slice
        if at.block_number >= number or (part.through and self._within >= part.through):
            # An earlier call succeeded although its caller got no answer, so an undo record made now would be wrong.
            self._send(self._rows(projection, generation, is_retry=True), generation)
            self._read_overlay(at, generation)
            return
        refuse_skip(self._within, number, part)
        place, pending = _undo_point(at.block_number, self._within), self._overlay
        if _changes(projection) or pending:
            # From here on rows may be ahead of the checkpoint.
            self._overlay = (pending or Overlay(at.block_number)).before(projection)
            rows = self._rows(projection, generation, is_retry=pending is not None)
            self._send(rows, generation, self._undo.batches(generation, place, self._overlay, place))
            left = self._overlay.after(projection)
            if left is not None:
                self._undo.write(generation, _undo_point(number, part.through), left, place)
            self._put_progress(projection, generation)
            self._overlay = left
        else:
            self._put_progress(projection, generation)
        self._prune(projection, generation)

    def _put_progress(self, projection: Projection, generation: int) -> None:
        number, through = projection.checkpoint.block_number, projection.slice.through
        if through:
            values = self._shard, generation, number, through, stamp(generation, through)
            self._session.run(cql.PUT_PROGRESS, values)
        else:
            self._put_projected(projection.checkpoint, generation)
        self._within = through

    def insert_rows(self, projection: Projection) -> None:
        _, generation = self._projected()
        self._send(self._rows(projection._replace(before=None), generation), generation)

    def drop_projections(self) -> None:
        _, generation = self._projected()
        self._begin_generation(generation + 1)
        self._note_transfers_from(NOTHING_YET, generation + 1)
        ProjectionReset(self._session, self._shard, self._index, generation).delete_all()

    def reset_projections(self, first_event_sequence: int, base: Projection) -> None:
        _, generation = self._projected()
        last_command = self._blocks.ends(base.checkpoint.block_number)[1]
        self._begin_generation(generation + 1)
        reset = ProjectionReset(self._session, self._shard, self._index, generation)
        reset.delete_from(event=first_event_sequence, order=last_command + 1 if last_command else INT64_MIN)
        rows = self._rows(base._replace(before=None), generation + 1, is_reset=True)
        self._send(rows, generation + 1)
        self._note_transfers_from(base.checkpoint, generation + 1)
        self._put_projected(base.checkpoint, generation + 1)

    def mark_released(self, checkpoint: Checkpoint) -> None:
        raise NotBuiltIn("Rows are released from SQLite and PostgreSQL only, not from ScyllaDB or Cassandra.")

    def delete_released(self) -> Iterator[int]:
        return iter(())

    def put_dead_letter(self, letter: DeadLetter) -> None:
        self._dead_letters.put_dead_letter(letter)

    def _rows(self, projection: Projection, generation: int, *, is_retry: bool = False, is_reset: bool = False) -> Rows:
        """`is_retry`: an interrupted batch may have written rows of these blocks."""
        before = projection.before
        placed_before = None
        if before is not None and not is_retry:
            placed_before = {order.order_id: order.client_order_id for order in before.orders}
        rows = Rows(self._session, self._shard, generation, self._headers)
        with self._session.translating():  # struct.error for a number that does not fit its column
            rows.add(projection, placed_before, is_reset)
        return rows

    def _send(self, rows: Rows, generation: int, undo: Sequence[object] = ()) -> None:
        """Writes index entries and the undo record first, so that every row can be found and undone once written."""
        self._accounts.forget()
        if self._generation != generation:
            self._index.forget()
            self._generation = generation
        outbox, keys = self._index.missing(rows.entries, generation)
        self._session.send([*undo, *outbox.batches("INSERT INTO indexes")])  # type: ignore[list-item]
        if undo:
            self._undo.written()
        self._index.remember(keys)
        self._session.send(rows.outbox.batches("INSERT INTO projected tables"))
        self._count(outbox)
        self._count(rows.outbox)

    def _count(self, outbox: Outbox) -> None:
        if not self._tables:
            self._tables = {row_prefix(self._session.query_id(write)): cql.table(write) for write in cql.WRITES}
        for mark, count in outbox.counts().items():
            metrics.DB_INSERTS.labels(self._tables[mark]).inc(count)

    def _put_projected(self, checkpoint: Checkpoint, generation: int) -> None:
        self._put_checkpoint("projected", checkpoint, generation)

    def _note_transfers_from(self, checkpoint: Checkpoint, generation: int) -> None:
        """All blocks after this one are projected again."""
        if self.transfers_missing_to() > checkpoint.block_number:
            self._put_checkpoint("transfers", checkpoint, generation)

    def _put_checkpoint(self, stage: str, checkpoint: Checkpoint, generation: int) -> None:
        number, digest, epoch = checkpoint
        time = stamp(generation, number)
        values = self._shard, stage, number, hash_text(digest), epoch, generation, time
        self._session.run(cql.PUT_CHECKPOINT, values)

    def _begin_generation(self, generation: int) -> None:
        """Sets the checkpoint to block 0, with a write time later than any of the previous generation."""
        if generation > MAX_GENERATION:
            raise StoreRejected(
                f"Projections were dropped or reset {MAX_GENERATION} times, the limit of a keyspace: settle into "
                "another SCYLLA_KEYSPACE."
            )
        self._overlay, self._is_overlay_known, self._within = None, True, 0
        self._accounts.forget()
        self._pruned_to = INT64_MIN
        self._put_projected(NOTHING_YET, generation)

    def _prune(self, projection: Projection, generation: int) -> None:
        """Removes buckets without open orders from the index, a few each time a new bucket of orders begins."""
        newest = max((order.order_id for order in projection.orders), default=0)
        if newest // BUCKET_SIZE <= self._newest_order // BUCKET_SIZE:
            return
        is_first, self._newest_order = self._newest_order == 0, newest
        if is_first or self._overlay is not None or self._dead_letters.dead_letters():
            return  # replaying a dead letter may add rows to a bucket that is empty now
        pruned = 0
        for bucket in self._index.walk(OPEN_ORDERS, self._pruned_to, newest // BUCKET_SIZE - 1):
            if not self._session.rows(cql.ANY_OPEN_IN_BUCKET, (self._shard, bucket)):
                self._index.drop_leaf(OPEN_ORDERS, bucket, generation)
            self._pruned_to, pruned = bucket + 1, pruned + 1
            if pruned == _BUCKETS_PER_PRUNING:
                return
        self._pruned_to = INT64_MIN

    # settlement reads

    def appended(self) -> Checkpoint:
        return self._fences.resolved_head()

    def projected(self) -> Checkpoint:
        return self._projected()[0]

    def transfers_missing_to(self) -> int:
        row = self._session.one(cql.GET_CHECKPOINT, (self._shard, "transfers"))
        return int(row[0]) if row else 0

    def released(self) -> Checkpoint:
        return NOTHING_YET

    def projecting(self) -> int:
        at, generation = self._projected()
        within = self._progress(at, generation)
        found = self._undo.to_block(generation, _undo_point(at.block_number, within))
        return max(found, at.block_number + (1 if within else 0))

    def projected_within(self) -> int:
        return self._progress(*self._projected())

    def _progress(self, at: Checkpoint, generation: int) -> int:
        row = self._session.one(cql.GET_PROGRESS, (self._shard,))
        return row[2] if row and row[:2] == (generation, at.block_number + 1) else 0

    def at_checkpoint(self) -> Tables:
        self._read_overlay(*self._projected())
        return TablesAtCheckpoint(self, lambda: self._overlay)

    def _read_overlay(self, at: Checkpoint, generation: int) -> None:
        self._within = self._progress(at, generation)
        self._overlay = self._undo.read(generation, _undo_point(at.block_number, self._within))
        self._is_overlay_known = True

    def _projected(self) -> tuple[Checkpoint, int]:
        """The checkpoint and the generation of the rows."""
        row = self._session.one(cql.GET_CHECKPOINT, (self._shard, "projected"))
        return (Checkpoint(row[0], hash_value(row[1]), row[2]), row[3]) if row else (NOTHING_YET, 0)

    def _last_event(self) -> int:
        return self._blocks.ends(self.projected().block_number)[0]

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        return self._orders.get(order_ids)

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        return self._accounts.get_balances(keys)

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        return self._candles.get(keys)

    def definitions(self) -> list[Definition]:
        return self._candles.definitions()

    def count_candles(self) -> int | None:
        return None

    def count_trading_days(self) -> int | None:
        return None

    def has_exactly(self, rows: ColumnTable[Any], first: int, last: int, besides: Sequence[int] = ()) -> bool:
        return False  # rows are packed in parts, which only a reader can open

    def has_orders(self, orders: ColumnTable[Order]) -> bool:
        return False

    # dead letters

    def dead_letters(self, unresolved_only: bool = True) -> list[DeadLetter]:
        return self._dead_letters.dead_letters(unresolved_only)

    def newest_dead_letters(
        self, limit: int, *, before: int | None = None, unresolved_only: bool = False
    ) -> list[DeadLetter]:
        return self._dead_letters.newest_dead_letters(limit, before=before, unresolved_only=unresolved_only)

    def get_dead_letter(self, id: int) -> DeadLetter | None:
        return self._dead_letters.get_dead_letter(id)


def _changes(projection: Projection) -> bool:
    return any(getattr(projection, name) for name in _LISTS)


def _undo_point(block_number: int, within: int) -> int:
    """A point of the chain as one number, for undo records.

    The number of a block or, within the block after it, minus the number of the last event.
    """
    return -within or block_number
