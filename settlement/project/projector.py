"""The second half of settlement: projects durable blocks to rows, many blocks at a time.

The trail is written first, then the tables and the checkpoint. After a crash in between the batch is repeated, and the
trail skips trades that it has. Blocks are taken from memory if they are still there, and otherwise read from the store.
"""

import threading
from collections import deque
from collections.abc import Iterable
from itertools import chain

import structlog

from matching.core.blocks import Block
from matching.core.errors import BadBlock
from settlement import metrics
from settlement.clock import Clock
from settlement.errors import StoreDamaged, TrailUnusable
from settlement.options import Options
from settlement.project.dead_letters import DeadLetters, TablesWithDeadLetters, decode
from settlement.project.projection import EmptyTables, Projector, slices_of, trades_of
from settlement.project.trail import Trail, lines_of_trades
from settlement.stores.base import (
    Checkpoint,
    DeadLetter,
    Projection,
    Slice,
    Store,
    StoredBlock,
    StoreMisconfigured,
    StoreRejected,
    Trade,
)
from settlement.stores.retrying import StoreRetrier, StoreWork

log = structlog.get_logger(__name__)

_TRAIL_PAGE = 1000
_APPENDING_S = 1.0
"""For this time after an append another one is expected."""
_LEAST_EVENTS = 1024
"""Of a batch beside appends: fewer take hardly less time."""
_SHORT_S = 1e-3


class Projections:
    """Projects appended blocks from the `projected` checkpoint on, one batch per step.

    One thread calls `step`. Another may call `add` and read `lag`, `projected` and `due_in_s` meanwhile.
    """

    def __init__(
        self,
        store: Store,
        *,
        trail: Trail,
        letters: DeadLetters,
        clock: Clock,
        options: Options,
        retrier: StoreRetrier,
    ) -> None:
        """Call `begin` before any other method."""
        self._store = store
        self._trail = trail
        self._letters = letters
        self._clock = clock
        self._options = options
        self._retrier = retrier
        self._lock = threading.Lock()  # of the backlog
        self._backlog: deque[StoredBlock] = deque()  # continues block `_taken`, or is empty
        self._taken = 0  # the last block that left the backlog
        self._backlog_bytes = 0
        self._backlog_trades = 0
        self._waiting_since = self._added_at_s = clock.monotonic()
        self._unfinished_to = 0  # the last block of an unfinished batch; its rows may be in the tables
        self._events_a_second = 0.0  # of the last batch that was written
        self.has_thread = False  # whether blocks are appended by another thread than the one that projects
        self.appended = 0
        self.projected = Checkpoint(0, 0, 0)
        self._within = 0  # event up to which the next block is projected; 0: not at all
        self._refused_trades: list[Trade] = []  # trades of the dead letters when `_projector` was created
        self._tables = TablesWithDeadLetters(EmptyTables(), ())
        self._projector = Projector(self._tables, kept=None)

    def begin(self) -> StoreWork[None]:
        """Starts from the store's checkpoints.

        Raises StoreDamaged if they contradict each other, TrailUnusable if the trail belongs to another chain.
        """
        appended = yield from self._retrier(self._store.appended)
        self.appended = appended.block_number
        self.projected = yield from self._retrier(self._store.projected)
        self._taken = projected = self.projected.block_number
        if projected > self.appended:
            raise StoreDamaged(
                f"The store is projected to block {projected}, but has blocks only up to {self.appended}."
            )
        self._within = yield from self._retrier(self._store.projected_within)
        self._projector = yield from self._retrier(self._new_projector)
        yield from self._retrier(self._complete_trail)

    @property
    def lag(self) -> int:
        """The number of durable blocks that are not projected yet."""
        return self.appended - self.projected.block_number

    @property
    def due_in_s(self) -> float | None:
        """Seconds until a batch is due, 0 if it is due; None if no block waits."""
        if not self.lag:
            return None
        with self._lock:
            is_all_in_memory = len(self._backlog) == self.lag
        if self._within or not is_all_in_memory or self._backlog_trades >= self._options.batch_trades:
            return 0.0
        return max(0.0, self._waiting_since + self._options.batch_ms / 1000 - self._clock.monotonic())

    def add(self, blocks: Iterable[StoredBlock]) -> None:
        """Adds blocks that have just been appended."""
        with self._lock:
            self._added_at_s = self._clock.monotonic()
            for block in blocks:
                if not self.lag:
                    self._waiting_since = self._clock.monotonic()
                follows = block.number == (self._backlog[-1].number if self._backlog else self._taken) + 1
                if follows and self._backlog_bytes < self._options.backlog_bytes:
                    self._keep(block)
                self.appended = block.number
        metrics.PROJECTION_LAG.set(self.lag)

    def _keep(self, block: StoredBlock) -> None:
        self._backlog.append(block)
        self._backlog_bytes += len(block.data)
        self._backlog_trades += block.trade_count

    def step(self) -> StoreWork[None]:
        """Projects one batch. Raises StoreDamaged, StoreMisconfigured, TrailUnusable."""
        if not self._backlog:
            yield from self._read_back()
        large = self._large_block()
        if large is None:
            yield from self._step_of_blocks()
        else:
            yield from self._project_slice(large)
        self._waiting_since = self._clock.monotonic()
        metrics.PROJECTION_LAG.set(self.lag)

    def close(self) -> None:
        """Closes the store's connection of the thread that projects."""
        self._store.close()

    def _step_of_blocks(self) -> StoreWork[None]:
        blocks = self._next_blocks()
        try:
            yield from self._project(blocks)
        except StoreMisconfigured:
            raise  # the rows are valid and can be written when an operator has corrected the server
        except StoreRejected as error:
            if not (yield from self._was_written(blocks[-1])):
                log.warning("settlement.batch_rejected", error=str(error), blocks=len(blocks))
                # The projector is ahead of the tables now, so a new one is created from them.
                self._projector = yield from self._retrier(self._new_projector)
                for block in blocks:
                    yield from self._project_or_put_dead_letter(block)

    # One batch

    def _next_blocks(self) -> list[Block]:
        """The next blocks, at least one, up to a batch's number of events, without large blocks."""
        blocks: list[Block] = []
        events = 0
        most = self._most_events()
        while self._backlog and events < most and self._large_block() is None:
            block = self._take_block()
            events += block.event_count
            blocks.append(block)
            if block.number == self._unfinished_to:
                break  # the checkpoint of that batch may appear late, so no row may go past it until it is confirmed
        return blocks

    def _most_events(self) -> int:
        """The events of a batch: fewer while another thread appends, because its next append may wait for this batch.

        Then as many as the store has just written in `beside_s`.
        """
        if not self.has_thread or self._clock.monotonic() - self._added_at_s >= _APPENDING_S:
            return self._options.batch_events
        within = int(self._events_a_second * self._options.beside_s)
        return min(self._options.batch_events, max(_LEAST_EVENTS, within))

    def _take_block(self) -> Block:
        with self._lock:
            row = self._backlog.popleft()
            self._taken = row.number
            self._backlog_bytes -= len(row.data)
            self._backlog_trades -= row.trade_count
        return Block.decode(row.data)

    def _large_block(self) -> Block | None:
        """The next block, if it is projected in slices."""
        row = self._backlog[0]
        events = row.last_event_sequence - row.first_event_sequence + 1
        return Block.decode(row.data) if self._within or events > self._options.slice_events else None

    def _project_slice(self, block: Block) -> StoreWork[None]:
        """Projects the next slice of a large block."""
        part = next(slices_of(block, self._options.slice_events, self._within))
        projection = yield from self._retrier(lambda: self._projector.project([block], part))
        yield from self._retrier(lambda: self._trail.append(projection.trades, self._projector.registry))
        try:
            yield from self._retrier(lambda: self._store.insert_batch(projection, self.projected))
        except StoreMisconfigured:
            raise
        except StoreRejected as error:
            if not (yield from self._was_slice_written(block, part)):
                yield from self._put_dead_letter(projection, str(error))
        metrics.TRADES_PROJECTED.inc(len(projection.trades))
        self._within = part.through
        if not part.through:
            self._take_block()
            self.projected = projection.checkpoint

    def _was_slice_written(self, block: Block, part: Slice) -> StoreWork[bool]:
        """As `_was_written`, for a slice."""
        projected = yield from self._retrier(self._store.projected)
        if projected.block_number >= block.number:
            return True
        if not part.through:
            return False
        within = yield from self._retrier(self._store.projected_within)
        return within >= part.through

    def _read_back(self) -> StoreWork[None]:
        first, head = self.projected.block_number + 1, self.projected
        rows = yield from self._retrier(lambda: _one_batch(self._store.blocks(first, self.appended), self._options))
        for row in rows:
            try:
                Block.decode(row.data).verify(head.block_number + 1, head.hash)
            except BadBlock as error:
                raise StoreDamaged(f"Block {head.block_number + 1} of the store is damaged: {error}") from error
            head = Checkpoint(row.number, row.hash, row.epoch)
            with self._lock:
                self._keep(row)
        if not rows:
            raise StoreDamaged(f"The store's checkpoint is at block {self.appended}, but block {first} is missing.")

    def _project(self, blocks: list[Block]) -> StoreWork[None]:
        projection = yield from self._retrier(lambda: self._projector.project(blocks))
        yield from self._retrier(lambda: self._trail.append(projection.trades, self._projector.registry))
        began_s = self._clock.monotonic()
        yield from self._retrier(lambda: self._store.insert_batch(projection, self.projected))
        taken_s = self._clock.monotonic() - began_s
        self._events_a_second = sum(block.event_count for block in blocks) / max(taken_s, _SHORT_S)
        self.projected = projection.checkpoint
        metrics.TRADES_PROJECTED.inc(len(projection.trades))

    def _project_or_put_dead_letter(self, block: Block) -> StoreWork[None]:
        projection = yield from self._retrier(lambda: self._projector.project([block]))
        yield from self._retrier(lambda: self._trail.append(projection.trades, self._projector.registry))
        try:
            yield from self._retrier(lambda: self._store.insert_batch(projection, self.projected))
        except StoreMisconfigured:
            raise
        except StoreRejected as error:
            if not (yield from self._was_written(block)):
                yield from self._put_dead_letter(projection, str(error))
        self.projected = projection.checkpoint

    def _was_written(self, last: Block) -> StoreWork[bool]:
        """Whether the store has the rows: an earlier call may have timed out after writing them."""
        known = yield from self._retrier(self._store.projected)
        if known.block_number < last.number:
            return False
        self.projected = known
        return True

    def _put_dead_letter(self, projection: Projection, error: str) -> StoreWork[None]:
        """Stores rejected rows as a dead letter, and continues as if they had been written."""
        yield from self._retrier(lambda: self._letters.put(projection, error))
        self._tables.add(projection)
        yield from self._retrier(lambda: self._store.insert_batch(_nothing_of(projection), self.projected))

    # The start

    def _new_projector(self) -> Projector:
        refused: list[Projection] = []
        for letter in self._letters.unresolved():
            counted = self._counted(letter)
            if not counted:  # its writer or a rebuild crashed before the checkpoint, and the block is projected again
                self._letters.resolve(letter)
            refused += counted
        self._refused_trades = [trade for projection in refused for trade in projection.trades]
        self._unfinished_to = self._store.projecting()
        self._tables = TablesWithDeadLetters(self._store.at_checkpoint(), refused)
        definitions = {d.event_sequence: d for d in self._store.definitions()}
        definitions |= {d.event_sequence: d for projection in refused for d in projection.definitions}
        in_order = [definition for _, definition in sorted(definitions.items())]
        kept = self._options.kept_rows
        return Projector(self._tables, in_order, kept=kept, includes_before=not self._store.is_atomic)

    def _counted(self, letter: DeadLetter) -> list[Projection]:
        """The projections of a letter that are not projected again."""
        if letter.block_number <= self.projected.block_number:
            return decode(letter.projection)
        if letter.block_number == self.projected.block_number + 1 and self._within:
            return [one for one in decode(letter.projection) if 0 < one.slice.through <= self._within]
        return []

    def _complete_trail(self) -> None:
        """Writes the projected trades that the trail lacks, if the file was removed or the folder is new."""
        self._refuse_foreign_trail()
        while trades := self._trades_after(self._trail.last_trade_id):
            log.warning("settlement.trail_completed", first=trades[0].trade_id, count=len(trades))
            self._trail.append(trades, self._projector.registry)

    def _trades_after(self, trade_id: int) -> list[Trade]:
        """The next projected trades in order, including those of dead letters, whose replay writes only rows."""
        stored = self._store.get_trades_by_sequence_range(trade_id + 1, _LAST, _TRAIL_PAGE)
        last = stored[-1].trade_id if stored else _LAST
        found = {trade.trade_id: trade for trade in chain(stored, self._refused_trades)}
        in_order = [trade for known, trade in sorted(found.items()) if trade_id < known <= last]
        return [
            trade
            for trade in in_order
            if trade.block_number <= self.projected.block_number or trade.trade_id <= self._within
        ]

    def _refuse_foreign_trail(self) -> None:
        last = self._trail.last_trade_id
        if not last:
            return
        row = self._store.block_of_event(last)
        registry = self._projector.registry
        if row and row.number > self.projected.block_number:
            return  # its instrument may not be known yet; the line is checked at the next start
        trades = trades_of(Block.decode(row.data), registry, Slice(last - 1, last)) if row else []
        if self._trail.last_line not in lines_of_trades(trades, registry):
            raise TrailUnusable(
                f"The last line of settled_trades.csv is of trade {last}, but differs from that trade in the stored "
                "blocks: the file belongs to another chain or was changed. Move it away; it is written again."
            )


_LAST = (1 << 63) - 1


def _one_batch(rows: Iterable[StoredBlock], options: Options) -> list[StoredBlock]:
    """The first rows, limited by a batch's number of events and by the memory for blocks."""
    batch: list[StoredBlock] = []
    events = size = 0
    for row in rows:
        batch.append(row)
        events += row.last_event_sequence - row.first_event_sequence + 1
        size += len(row.data)
        if events >= options.batch_events or size >= options.backlog_bytes:
            break
    return batch


def _nothing_of(projection: Projection) -> Projection:
    """A projection without rows, which only advances the checkpoint or the progress within a block."""
    return Projection(projection.checkpoint, slice=projection.slice)
