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
from settlement.receive.chain import BytesOf, Chain, Refuse, nobody_else
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
    refuse: Refuse = nobody_else,
) -> int:
    """Settles until `stop()` or `options.until_block`; returns how many blocks were appended.

    `refuse` is asked before what one of several replicas sends becomes an incident.

    Raises every Incident of settlement.errors, TrailUnusable, SpillUnusable, and StoreRejected where the store refuses
    a block itself. A store that does not answer is waited for.
    """
    worker = _Worker(feed, store, letters, clock, stop, options, spill, report, refuse)
    worker.run(trail)
    return worker.appended_blocks


class _Worker:
    def __init__(
        self,
        feed: Feed,
        store: Store,
        letters: DeadLetters,
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
        self._newest_block_ns: int | None = None  # of the last one that came
        self._gather_until_s = 0.0
        self._recounted_at_s = clock.monotonic()
        self._listened_at_s = clock.monotonic()
        self._is_engine_known = False
        self._is_listening = False  # `_chain` and `_appending` are where they should be
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
            "settlement starts",
            appended=self._appending.stored.block_number,
            projected=projections.projected.block_number,
            spilled=self._spill.blocks,
        )
        while not self._stop() and not self._is_done(projections):
            yield from self._follow(projections)
            if projections.due_in_s == 0:
                yield from projections.step()
            self._tell()
        if projections.lag:
            yield from projections.step()  # what is waiting for its batch to fill
        log.info("settlement stops", appended=self._appending.stored.block_number, lag=projections.lag)

    def _store_unavailable(self, delay_s: float) -> bool:
        """Receives blocks until the next attempt of the store call is due. False when settlement has to stop instead.

        Nothing in here calls the store.
        """
        due_at_s = self._clock.monotonic() + delay_s
        while (left_s := due_at_s - self._clock.monotonic()) > 0:
            if self._stop():
                return False
            self._tell()
            self._receive_for_later(min(left_s, _LONGEST_WAIT_S))
        return True

    def _receive_for_later(self, timeout_s: float) -> None:
        """Waits for blocks, which go into memory and, when they have waited for long, into the spill."""
        if self._is_listening:
            self._appending.relieve()
        room = self._appending.room
        if self._is_listening and room:
            self._take(self._hear(timeout_s, min(room, self._options.receive_blocks)), lambda _: None)
        else:
            self._clock.sleep(timeout_s)

    def _is_done(self, projections: Projections) -> bool:
        until = self._options.until_block
        return until is not None and projections.projected.block_number >= until

    def _follow(self, projections: Projections) -> StoreWork[None]:
        """A turn of the first half: look who leads, take what waits."""
        try:
            if self._is_fenced:
                yield from self._begin()
            elif self._leadership.is_due or self._chain.unknown_epoch:
                yield from self._look_who_leads()
            yield from self._take_what_waits(projections)
            yield from self._recount_letters()
        except Fenced as error:
            log.warning("the store refuses blocks of an epoch that has ended", error=str(error))
            self._is_fenced = True
            self._is_listening = False

    def _begin(self) -> StoreWork[None]:
        """Goes on from what is durable: at the start, and after a newer epoch has overruled what was in hand."""
        self._is_listening = False
        self._appending.forget()
        yield from self._leadership.look()
        self._spill.end_claim(self._leadership.newest)
        yield from self._appending.begin(self._leadership.epochs)
        self._chain = Chain(self._appending.head, self._leadership.epochs, self._options.waiting_blocks, self._refuse)
        self._gaps.forget()
        self._is_engine_known = self._is_fenced = False
        self._is_listening = True

    def _take_what_waits(self, projections: Projections) -> StoreWork[None]:
        """Appends come first; but however fast blocks come, after some rounds it is the projection's turn."""
        for _ in range(_APPENDS_A_BATCH):
            blocks = self._receive(projections)
            self._take(blocks, self._bytes_of)
            if self._appending.is_draining:
                self._appending.relieve()
            yield from self._append(projections)
            yield from self._look_at_engine()
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
        self._look_for_gaps()

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
            return self._hear(0.0, room) if room else []
        self._let_blocks_gather()
        due_in_s = projections.due_in_s
        patience_s = _LONGEST_WAIT_S if due_in_s is None else min(due_in_s, _LONGEST_WAIT_S)
        return self._hear(patience_s, self._options.receive_blocks)

    def _let_blocks_gather(self) -> None:
        """A commit costs the same for one block and for many, and processor time that those who trade would miss."""
        wait_s = self._gather_until_s - self._clock.monotonic()
        if wait_s > 0:
            self._clock.sleep(wait_s)

    def _hear(self, timeout_s: float, limit: int) -> list[Block]:
        """All other time settlement is deaf: busy, or paused as on a suspended machine, also within the wait itself."""
        began_s = self._clock.monotonic()
        self._gaps.was_deaf(began_s - self._listened_at_s)
        try:
            return self._feed.receive(timeout_s, limit)
        except BadBlock as error:
            raise ChainBroken(f"What came after block {self._chain.head.block_number} is no block: {error}") from error
        finally:
            self._listened_at_s = self._clock.monotonic()
            self._gaps.was_deaf(max(0.0, self._listened_at_s - began_s - timeout_s))

    def _look_for_gaps(self) -> None:
        """Has the leader told of blocks that did not come?"""
        announced, early = self._leadership.announced, self._chain.newest_early
        if self._leadership.is_of_log:
            early = min(early, announced)  # what only a dead one has sent, the others are about to make
        elif announced < self._announced:
            # It was started again and has lost what nobody had made durable; what came early belongs to that.
            self._chain.forget_early()
        self._announced = announced
        if self._feed.silent_for_s() >= _GONE_S:
            self._chain.forget_early()
            self._gaps.forget()
        elif not self._chain.unknown_epoch:
            until = self._options.until_block or announced
            self._gaps.look(self._chain.next_number, early, min(announced, until))

    def _look_at_engine(self) -> StoreWork[None]:
        """Does the leader tell the chain that is durable here?"""
        if self._is_behind():
            yield from self._look_who_leads()  # perhaps it leads no more, or goes on from there by right
            if self._is_behind():
                raise ChainConflict(
                    f"The engine is at block {self._leadership.announced}, but the store holds block "
                    f"{self._appending.durable} already: the engine has begun another chain. Give settlement an empty "
                    "store, or the engine its old state."
                )
        announced, held = self._leadership.announced, self._appending.durable
        if announced and not self._is_engine_known:
            self._is_engine_known = True
            if announced == held and not self.appended_blocks:
                # Nothing new will come to tell whether it is the same chain, so the last block is compared. The
                # engine may also not know yet that it is durable.
                self._feed.request(held, held)

    def _is_behind(self) -> bool:
        return 0 < self._leadership.announced < self._appending.durable and not self._leadership.is_of_log

    def _look_who_leads(self) -> StoreWork[None]:
        is_news = yield from self._leadership.look()
        self._spill.end_claim(self._leadership.newest)
        if not is_news:
            if self._chain.unknown_epoch:
                self._chain.learn(self._leadership.epochs)  # raises: nobody has begun it
            return
        log.info("epochs", newest=self._leadership.newest)
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
            return None  # it is in the spill, or in memory
        try:
            block = self._store.get_block(number)
        except StoreUnavailable:
            return None
        if block is None:
            raise StoreDamaged(f"The store ends with block {self._appending.stored.block_number} and lacks {number}.")
        return block.data

    # What others see

    def _tell(self) -> None:
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
