"""Settlement, in this order (docs/architecture.md): receive, number, hash, append, confirm, project, checkpoint.

A function over injected edges: no signal, socket or setting in here. Killed anywhere and started again it goes on at
the store's two checkpoints; everything between them and the crash is done again, to the same effect.
"""

from collections.abc import Callable

import structlog

from matching.blocks import Block
from matching.errors import BadBlock
from settlement import metrics
from settlement.chain import Chain, stored
from settlement.clock import Clock
from settlement.dead_letters import DeadLetters
from settlement.errors import ChainBroken, ChainConflict, StoreDamaged
from settlement.feed import Feed
from settlement.gaps import Gaps
from settlement.options import Options
from settlement.projecting import Projections
from settlement.retrying import Patience, Stopped
from settlement.stores.base import Checkpoint, Store, StoredBlock
from settlement.trail import Trail

log = structlog.get_logger(__name__)

_LONGEST_WAIT_S = 0.1
"""So soon `stop` is noticed."""

_APPENDS_A_BATCH = 8


def run(
    feed: Feed,
    store: Store,
    trail: Trail,
    letters: DeadLetters,
    clock: Clock,
    stop: Callable[[], bool],
    options: Options,
) -> int:
    """Settles until `stop()` or `options.until_block`; returns how many blocks were appended.

    Raises GapUnfilled, ChainBroken, ChainConflict, StoreDamaged (see settlement.errors), TrailUnusable, and
    StoreRejected where the store refuses a block itself. A store that does not answer is waited for.
    """
    worker = _Worker(feed, store, clock, stop, options)
    try:
        return worker.run(trail, letters)
    except Stopped:
        return worker.appended_blocks


class _Worker:
    def __init__(self, feed: Feed, store: Store, clock: Clock, stop: Callable[[], bool], options: Options) -> None:
        self._feed = feed
        self._store = store
        self._clock = clock
        self._stop = stop
        self._options = options
        self._patience = Patience(self._wait, options)
        self._gaps = Gaps(feed, clock, options)
        self._chain = Chain(Checkpoint(0, 0, 0), self._bytes_of, options.waiting_blocks)
        self._inbox: list[Block] = []  # received while the store did not answer
        self._announced = 0
        self._gather_until_s = 0.0
        self._is_engine_known = False
        self._is_started = False
        self.appended_blocks = 0

    def run(self, trail: Trail, letters: DeadLetters) -> int:
        head = self._patience(self._head)
        self._chain = Chain(head, self._bytes_of, self._options.waiting_blocks)
        self._projections = Projections(self._store, trail, letters, self._clock, self._options, self._patience)
        self._is_started = True
        log.info("settlement starts", appended=head.block_number, projected=self._projections.projected.block_number)
        while not self._stop() and not self._is_done():
            self._take_what_waits()
            if self._projections.due_in_s == 0:
                began = self._clock.monotonic()
                self._projections.step()
                self._gaps.was_deaf(self._clock.monotonic() - began)
        if self._projections.lag:
            self._projections.step()  # what is waiting for its batch to fill
        log.info("settlement stops", appended=self._chain.head.block_number, lag=self._projections.lag)
        return self.appended_blocks

    def _is_done(self) -> bool:
        until = self._options.until_block
        return until is not None and self._projections.projected.block_number >= until

    def _take_what_waits(self) -> None:
        """Appends come first; but however fast blocks come, after some rounds it is the projection's turn."""
        for _ in range(_APPENDS_A_BATCH):
            blocks = self._receive()
            self._take(blocks)
            if len(blocks) < self._options.receive_blocks:
                return

    def _take(self, blocks: list[Block]) -> None:
        ready, repeated = self._chain.accept(self._within_reach(blocks))
        if ready:
            self._append(ready)
        elif repeated:
            self._feed.confirm(self._chain.head.block_number)
        self._look_at_engine()
        metrics.BLOCK_LAG.set(max(0, self._feed.newest() - self._chain.head.block_number))

    def _append(self, blocks: list[Block]) -> None:
        rows = [stored(block) for block in blocks]
        self._patience(lambda: self._store.append_blocks(rows))
        self._feed.confirm(rows[-1].number)
        self.appended_blocks += len(rows)
        if len(rows) < self._options.receive_blocks:
            self._gather_until_s = self._clock.monotonic() + self._options.gather_ms / 1000
        metrics.BLOCKS_APPENDED.inc(len(rows))
        self._projections.add(rows)

    # The engine

    def _receive(self) -> list[Block]:
        if self._inbox:
            blocks, self._inbox = self._inbox, []
            return blocks
        self._let_blocks_gather()
        due_in_s = self._projections.due_in_s
        patience_s = _LONGEST_WAIT_S if due_in_s is None else min(due_in_s, _LONGEST_WAIT_S)
        return self._hear(patience_s, self._options.receive_blocks)

    def _let_blocks_gather(self) -> None:
        """A commit costs the same for one block and for many, and processor time that those who trade would miss."""
        wait_s = self._gather_until_s - self._clock.monotonic()
        if wait_s > 0:
            self._clock.sleep(wait_s)

    def _hear(self, timeout_s: float, limit: int) -> list[Block]:
        try:
            return self._feed.receive(timeout_s, limit)
        except BadBlock as error:
            raise ChainBroken(f"What came after block {self._chain.head.block_number} is no block: {error}") from error

    def _within_reach(self, blocks: list[Block]) -> list[Block]:
        until = self._options.until_block
        return blocks if until is None else [block for block in blocks if block.number <= until]

    def _look_at_engine(self) -> None:
        """Does the engine tell the chain that the store holds, and has it told of blocks that did not come?"""
        newest, held = self._feed.newest(), self._chain.head.block_number
        if newest and newest < held:
            raise ChainConflict(
                f"The engine is at block {newest}, but the store holds block {held} already: the engine has begun "
                "another chain. Give settlement an empty store, or the engine its old state."
            )
        if newest < self._announced:
            # It was started again and has lost what nobody had made durable; what came early belongs to that.
            self._chain.forget_early()
        self._announced = newest
        if newest and not self._is_engine_known:
            self._is_engine_known = True
            if held and newest == held and not self.appended_blocks:
                # Nothing new will come to tell whether it is the same chain, so the last block is compared. The
                # engine may also not know yet that it is durable.
                self._feed.request(held, held)
        until = self._options.until_block or newest
        self._gaps.look(self._chain.next_number, self._chain.newest_early, min(newest, until))

    # The store

    def _head(self) -> Checkpoint:
        head = self._store.appended()
        block = self._store.get_block(head.block_number)
        if head.block_number and (block is None or block.hash != head.hash):
            raise StoreDamaged(f"The store's checkpoint is at block {head.block_number}, but it holds another or none.")
        return head

    def _bytes_of(self, number: int) -> bytes | None:
        block: StoredBlock | None = self._patience(lambda: self._store.get_block(number))
        return None if block is None else block.data

    def _wait(self, seconds: float) -> None:
        """Waits for the store, and goes on receiving as long as there is room. Raises Stopped."""
        deadline = self._clock.monotonic() + seconds
        while (left_s := deadline - self._clock.monotonic()) > 0:
            if self._stop():
                raise Stopped
            room = self._options.waiting_blocks - len(self._inbox)
            if room > 0 and self._is_started:
                self._inbox += self._hear(min(left_s, _LONGEST_WAIT_S), room)
            else:
                self._clock.sleep(min(left_s, _LONGEST_WAIT_S))
