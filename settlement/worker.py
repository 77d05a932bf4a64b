"""Settlement, in this order (docs/architecture.md): receive, number, hash, append, confirm, project, checkpoint.

The worker is in one of two states:

    running            the steps above, in turns
    store unavailable  a store call was not answered: the steps are suspended in it until its next attempt is due, and
                       blocks are received into memory, then into the spill

A function over injected edges: no signal, socket or setting in here. Killed anywhere and started again it goes on at
the store's two checkpoints and the spill; everything between them and the crash is done again, to the same effect.
"""

from collections.abc import Callable

import structlog

from matching.core.blocks import Block
from matching.core.errors import BadBlock
from settlement import metrics
from settlement.clock import Clock
from settlement.durable.appending import Appending
from settlement.durable.spill import Spill
from settlement.errors import ChainBroken, ChainConflict, StoreDamaged
from settlement.options import Options
from settlement.project.dead_letters import DeadLetters
from settlement.project.projector import Projections
from settlement.project.trail import Trail
from settlement.receive.chain import BytesOf, Chain, Refuse, never_refuse
from settlement.receive.feed import Feed
from settlement.receive.gaps import Gaps
from settlement.receive.leadership import Leadership
from settlement.stores.base import Checkpoint, Fenced, Store, StoreUnavailable
from settlement.stores.retrying import Patience, StoreWork
from settlement.worker_status import Report, WorkerStatus, set_metrics

log = structlog.get_logger(__name__)

_LONGEST_WAIT_S = 0.1
"""Upper bound on the delay before `stop` is noticed."""

_APPENDS_A_BATCH = 8
_GONE_S = 5.0
"""An engine that is silent for so long is not there: what it has not sent is no gap before it, or another, is back."""


def run(
    feed: Feed,
    store: Store,
    trail: Trail,
    letters: DeadLetters,
    clock: Clock,
    stop: Callable[[], bool],
    options: Options,
    *,
    spill: Spill,
    report: Report = lambda status: None,
    refuse: Refuse = never_refuse,
) -> int:
    """Settles until `stop()` or `options.until_block`; returns the number of appended blocks.

    `refuse` is called if a replica sends an invalid block; if it returns true, that is not an incident.

    Waits while the store is unavailable. Raises every Incident of settlement.errors, TrailUnusable, SpillUnusable, and
    StoreRejected if the store rejects a block.
    """
    worker = _Worker(
        feed, store, letters, clock=clock, stop=stop, options=options, spill=spill, report=report, refuse=refuse
    )
    worker.run(trail)
    return worker.appended_blocks


class _Worker:
    def __init__(
        self,
        feed: Feed,
        store: Store,
        letters: DeadLetters,
        *,
        clock: Clock,
        stop: Callable[[], bool],
        options: Options,
        spill: Spill,
        report: Report,
        refuse: Refuse,
    ) -> None:
        self._feed = feed
        self._store = store
        self._letters = letters
        self._clock = clock
        self._stop = stop
        self._options = options
        self._spill = spill
        self._report = report
        self._refuse = refuse
        self._patience = Patience(clock, options)
        self._gaps = Gaps(feed, clock, options)
        self._leadership = Leadership(feed, store, clock, options, self._patience)
        self._appending = Appending(store, spill, feed.confirm, clock, options, self._patience)
        self._chain = Chain(Checkpoint(0, 0, 0), (), options.waiting_blocks)
        self._projections: Projections | None = None
        self._announced = 0
        self._newest_block_ns: int | None = None  # time of the last block that was received
        self._gather_until_s = 0.0
        self._recounted_at_s = clock.monotonic()
        self._listened_at_s = clock.monotonic()
        self._is_engine_known = False
        self._is_listening = False  # `_chain` and `_appending` are initialized, so blocks can be received
        self._is_fenced = False

    @property
    def appended_blocks(self) -> int:
        return self._appending.appended_blocks

    def run(self, trail: Trail) -> None:
        for delay_s in self._running(trail):
            if not self._store_unavailable(delay_s):
                return

    def _running(self, trail: Trail) -> StoreWork[None]:
        yield from self._begin()
        projections = Projections(self._store, trail, self._letters, self._clock, self._options, self._patience)
        yield from projections.begin()
        self._projections = projections
        log.info(
            "settlement.started",
            appended=self._appending.stored.block_number,
            projected=projections.projected.block_number,
            spilled=self._spill.blocks,
        )
        while not self._stop() and not self._is_done(projections):
            yield from self._follow(projections)
            if projections.due_in_s == 0:
                yield from projections.step()
            self._report_status()
        if projections.lag:
            yield from projections.step()  # what is waiting for its batch to fill
        log.info("settlement.stopped", appended=self._appending.stored.block_number, lag=projections.lag)

    def _store_unavailable(self, delay_s: float) -> bool:
        """Receives blocks until the next attempt of the store call is due. False when settlement has to stop instead.

        Nothing in here calls the store.
        """
        due_at_s = self._clock.monotonic() + delay_s
        while (left_s := due_at_s - self._clock.monotonic()) > 0:
            if self._stop():
                return False
            self._report_status()
            self._receive_for_later(min(left_s, _LONGEST_WAIT_S))
        return True

    def _receive_for_later(self, timeout_s: float) -> None:
        """Waits for blocks, which go into memory and, when they have waited for long, into the spill."""
        if self._is_listening:
            self._appending.relieve()
        room = self._appending.room
        if self._is_listening and room:
            self._take(self._receive_from_feed(timeout_s, min(room, self._options.receive_blocks)), lambda _: None)
        else:
            self._clock.sleep(timeout_s)

    def _is_done(self, projections: Projections) -> bool:
        until = self._options.until_block
        return until is not None and projections.projected.block_number >= until

    def _follow(self, projections: Projections) -> StoreWork[None]:
        """One turn of the first half: follow the leader, receive and append blocks."""
        try:
            if self._is_fenced:
                yield from self._begin()
            elif self._leadership.is_due or self._chain.unknown_epoch:
                yield from self._follow_leader()
            yield from self._receive_and_append(projections)
            yield from self._recount_letters()
        except Fenced as error:
            log.warning("settlement.append_fenced", error=str(error))
            self._is_fenced = True
            self._is_listening = False

    def _begin(self) -> StoreWork[None]:
        """Starts from the durable blocks, also after a newer epoch has overruled blocks in memory."""
        self._is_listening = False
        self._appending.forget()
        yield from self._leadership.look()
        self._spill.end_claim(self._leadership.newest)
        yield from self._appending.begin(self._leadership.epochs)
        self._chain = Chain(self._appending.head, self._leadership.epochs, self._options.waiting_blocks, self._refuse)
        self._gaps.forget()
        self._is_engine_known = self._is_fenced = False
        self._is_listening = True

    def _receive_and_append(self, projections: Projections) -> StoreWork[None]:
        """Receives and appends blocks until none wait, but at most _APPENDS_A_BATCH times."""
        for _ in range(_APPENDS_A_BATCH):
            blocks = self._receive(projections)
            self._take(blocks, self._bytes_of)
            if self._appending.is_draining:
                self._appending.relieve()
            yield from self._append(projections)
            yield from self._check_engine()
            if len(blocks) < self._options.receive_blocks and not self._appending.is_waiting:
                return

    def _take(self, blocks: list[Block], bytes_of: BytesOf) -> None:
        until = self._options.until_block
        within = blocks if until is None else [block for block in blocks if block.number <= until]
        ready, repeated = self._chain.accept(within, bytes_of)
        if ready:
            self._newest_block_ns = ready[-1].timestamp_ns
            self._appending.put(ready)
        elif repeated:
            self._feed.confirm(self._appending.confirmable)
        self._check_gaps()

    def _append(self, projections: Projections) -> StoreWork[None]:
        rows = yield from self._appending.step()
        if not rows:
            return
        if len(rows) < self._options.receive_blocks:
            self._gather_until_s = self._clock.monotonic() + self._options.gather_ms / 1000
        metrics.BLOCKS_APPENDED.inc(len(rows))
        projections.add(rows)

    def _recount_letters(self) -> StoreWork[None]:
        """Another process may have replayed them."""
        now_s = self._clock.monotonic()
        if self._letters.count and now_s - self._recounted_at_s >= self._options.letters_every_s:
            self._recounted_at_s = now_s
            yield from self._patience(self._letters.recount)

    # The engine

    def _receive(self, projections: Projections) -> list[Block]:
        if self._appending.is_waiting:
            room = min(self._appending.room, self._options.receive_blocks)
            return self._receive_from_feed(0.0, room) if room else []
        self._wait_for_more_blocks()
        due_in_s = projections.due_in_s
        patience_s = _LONGEST_WAIT_S if due_in_s is None else min(due_in_s, _LONGEST_WAIT_S)
        return self._receive_from_feed(patience_s, self._options.receive_blocks)

    def _wait_for_more_blocks(self) -> None:
        """Waits for more blocks, because a commit takes the same CPU time for one block and for many."""
        wait_s = self._gather_until_s - self._clock.monotonic()
        if wait_s > 0:
            self._clock.sleep(wait_s)

    def _receive_from_feed(self, timeout_s: float, limit: int) -> list[Block]:
        """Receives blocks, and excludes all time in which settlement was busy or suspended from the waits for gaps."""
        began_s = self._clock.monotonic()
        self._gaps.exclude(began_s - self._listened_at_s)
        try:
            return self._feed.receive(timeout_s, limit)
        except BadBlock as error:
            number = self._chain.head.block_number
            raise ChainBroken(f"The message received after block {number} is not a block: {error}") from error
        finally:
            self._listened_at_s = self._clock.monotonic()
            self._gaps.exclude(max(0.0, self._listened_at_s - began_s - timeout_s))

    def _check_gaps(self) -> None:
        """Requests blocks that the leader has announced and that did not arrive."""
        announced, early = self._leadership.announced, self._chain.newest_early
        if self._leadership.is_of_log:
            early = min(early, announced)  # a block that only a crashed replica has sent is made by the others soon
        elif announced < self._announced:
            # The engine restarted and lost blocks that were not durable; early blocks were among those.
            self._chain.forget_early()
        self._announced = announced
        if self._feed.silent_for_s() >= _GONE_S:
            self._chain.forget_early()
            self._gaps.forget()
        elif not self._chain.unknown_epoch:
            until = self._options.until_block or announced
            self._gaps.look(self._chain.next_number, early, min(announced, until))

    def _check_engine(self) -> StoreWork[None]:
        """Does the leader tell the chain that is durable here?"""
        if self._is_behind():
            yield from self._follow_leader()  # perhaps it leads no more, or goes on from there by right
            if self._is_behind():
                raise ChainConflict(
                    f"The engine is at block {self._leadership.announced}, but the store already has block "
                    f"{self._appending.durable}: the engine has begun another chain. Use an empty store, or restore "
                    "the engine's state."
                )
        announced, held = self._leadership.announced, self._appending.durable
        if announced and not self._is_engine_known:
            self._is_engine_known = True
            if announced == held and not self.appended_blocks:
                # Without new blocks the last block shows whether it is the same chain. Receiving it again also
                # confirms it, in case the engine does not know that it is durable.
                self._feed.request(held, held)

    def _is_behind(self) -> bool:
        return 0 < self._leadership.announced < self._appending.durable and not self._leadership.is_of_log

    def _follow_leader(self) -> StoreWork[None]:
        is_news = yield from self._leadership.look()
        self._spill.end_claim(self._leadership.newest)
        if not is_news:
            if self._chain.unknown_epoch:
                self._chain.learn(self._leadership.epochs)  # raises, because that epoch has not begun
            return
        log.info("settlement.epoch_began", newest=self._leadership.newest)
        waiting = self._chain.learn(self._leadership.epochs)
        if self._chain.is_overruled:
            yield from self._begin()
            return
        self._gaps.forget()
        self._is_engine_known = False
        self._feed.confirm(self._appending.confirmable)
        self._take(waiting, self._bytes_of)

    # The store

    def _bytes_of(self, number: int) -> bytes | None:
        """Called while blocks are being taken, so a store that is unavailable is not waited for."""
        if number > self._appending.stored.block_number:
            return None  # the block is in the spill or in memory
        try:
            block = self._store.get_block(number)
        except StoreUnavailable:
            return None
        if block is None:
            last = self._appending.stored.block_number
            raise StoreDamaged(f"The store's last block is {last}, but block {number} is missing.")
        return block.data

    # The status

    def _report_status(self) -> None:
        status, leader = self._feed.status(), self._leadership.newest
        announced = self._leadership.announced
        now = WorkerStatus(
            block_lag=max(0, announced - self._appending.stored.block_number) if announced else None,
            projection_lag=self._projections.lag if self._projections else 0,
            gaps=self._gaps.count,
            dead_letters=self._letters.count,
            engine_halted=bool(status.fields.get("halted")) if status else None,
            engine_halted_reason=status.fields.get("halted_reason") if status else None,
            engine_silent_for_s=self._feed.silent_for_s(),
            engine_clock_ahead_s=self._clock_ahead_s(),
            store_down_for_s=self._patience.down_for_s,
            spill_blocks=self._spill.blocks,
            spill_bytes=self._spill.bytes,
            spill_full=self._spill.full,
            epoch=leader.number if leader else 0,
            leader=leader.commands if leader else None,
        )
        set_metrics(now)
        self._report(now)

    def _clock_ahead_s(self) -> float | None:
        if self._newest_block_ns is None:
            return None
        return max(0, self._newest_block_ns - self._clock.time_ns()) / 10**9
