"""Settlement, in this order (docs/architecture.md): receive, verify, re-execute, append, confirm, project, checkpoint.

The worker is in one of two states:

    running            the steps above, in turns
    store unavailable  a store call was not answered. The steps wait for its next attempt; meanwhile blocks are
                       received into memory, then moved to the spill

The worker has no signals, sockets or settings of its own; `run` receives them as `Services`. After a crash it continues
from the store's two checkpoints and the spill, and repeats the work after them, which changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from matching.core.blocks import Block
from matching.core.errors import BadBlock
from matching.storage.snapshot_files import Snapshotter
from matching.transport import wire
from settlement import metrics
from settlement.clock import Clock
from settlement.durable.appending import Appending
from settlement.durable.spill import Spill
from settlement.errors import ChainBroken, ChainConflict, StoreDamaged
from settlement.options import Options
from settlement.project.dead_letters import DeadLetters
from settlement.project.projecting import InThread, InTurns, Projecting, Withheld
from settlement.project.projector import Projections
from settlement.project.trail import Trail
from settlement.receive.chain import BytesOf, Chain, Refuse, never_refuse
from settlement.receive.executor import Executor
from settlement.receive.feed import Feed
from settlement.receive.gaps import Gaps
from settlement.receive.leadership import Leadership
from settlement.receive.refusals import refusal_error
from settlement.stores.base import Checkpoint, Fenced, Store, StoredBlock, StoreUnavailable
from settlement.stores.retrying import StoreRetrier, StoreWork
from settlement.worker_status import Report, WorkerStatus, set_metrics

log = structlog.get_logger(__name__)

_MAX_WAIT_S = 0.1
"""Upper bound on the delay before `stop` is noticed."""

_MAX_APPENDS_PER_TURN = 8
_GONE_S = 5.0  # silence after which the engine counts as gone: its unsent blocks are then no gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the worker uses of its process. `run_settlement` and the simulator pass their own."""

    feed: Feed
    store: Store
    trail: Trail
    letters: DeadLetters
    spill: Spill
    snapshotter: Snapshotter
    clock: Clock
    stop: Callable[[], bool]
    options: Options
    report: Report = lambda status: None
    refuse: Refuse = never_refuse
    """Called if a replica sends an invalid block; if it returns true, the replica is ignored, else settlement ends."""
    appended: Callable[[Sequence[StoredBlock]], object] = lambda rows: None
    """Called with blocks that were stored."""
    projection_store: Store | None = None
    """The store for a thread that projects beside appending; None: projects between appends, with `store`."""


def run(services: Services) -> int:
    """Settles until `stop()` or `options.until_block`; returns the number of appended blocks.

    Waits while the store is unavailable. Raises every Incident of settlement.errors, TrailUnusable, SpillUnusable, and
    StoreRejected if the store rejects a block.
    """
    worker = _Worker(services)
    worker.run()
    return worker.appended_blocks


class _Worker:
    def __init__(self, services: Services) -> None:
        self._feed = services.feed
        self._store = services.store
        self._letters = services.letters
        self._spill = services.spill
        self._clock = services.clock
        self._stop = services.stop
        self._options = services.options
        self._report = services.report
        self._services = services
        self._appended = services.appended
        feed, store, clock, options = services.feed, services.store, services.clock, services.options
        self._retrier, self._projection_retrier = StoreRetrier(clock, options), StoreRetrier(clock, options)
        self._gaps = Gaps(feed, clock, options)
        self._leadership = Leadership(feed, store, clock=clock, options=options, retrier=self._retrier)
        self._appending = Appending(
            store, services.spill, confirm=self._confirm, clock=clock, options=options, retrier=self._retrier
        )
        self._executor = Executor(store, services.snapshotter, clock, self._retrier)
        self._chain = Chain(Checkpoint(0, 0, 0), (), options.waiting_blocks)
        self._projections = Projections(
            services.projection_store or store,
            trail=services.trail,
            letters=services.letters,
            clock=clock,
            options=options,
            retrier=self._projection_retrier if services.projection_store else self._retrier,
        )
        self._projecting: Projecting = Withheld()
        self._announced = 0
        self._newest_block_ns: int | None = None  # time of the last block that was received
        self._gather_until_s = 0.0
        self._recounted_at_s = self._listened_at_s = clock.monotonic()
        self._is_engine_known = False
        self._store_identity = b""
        self._is_listening = False  # `_chain` and `_appending` are initialized, so blocks can be received
        self._must_begin = False

    @property
    def appended_blocks(self) -> int:
        return self._appending.appended_blocks

    def run(self) -> None:
        try:
            for delay_s in self._running():
                if not self._receive_until_retry(delay_s):
                    return
        finally:
            self._projecting.close()

    def _running(self) -> StoreWork[None]:
        yield from self._begin()
        if self._options.is_projecting:
            yield from self._projections.begin()
            is_beside = self._services.projection_store is not None
            self._projecting = InThread(self._projections) if is_beside else InTurns(self._projections)
        log.info(
            "settlement.started",
            appended=self._appending.stored.block_number,
            projected=self._projections.projected.block_number,
            spilled=self._spill.blocks,
        )
        while not self._stop() and not self._is_done():
            yield from self._follow()
            yield from self._projecting.step()
            self._report_status()
        yield from self._projecting.end()
        log.info("settlement.stopped", appended=self._appending.stored.block_number, lag=self._projections.lag)

    def _receive_until_retry(self, delay_s: float) -> bool:
        """Receives blocks for `delay_s`, without calling the store. Returns False early if settlement has to stop."""
        due_at_s = self._clock.monotonic() + delay_s
        while (left_s := due_at_s - self._clock.monotonic()) > 0:
            if self._stop():
                return False
            self._report_status()
            self._receive_for_later(min(left_s, _MAX_WAIT_S))
        return True

    def _receive_for_later(self, timeout_s: float) -> None:
        """Receives blocks into memory; moves blocks that have waited too long to the spill."""
        if self._is_listening:
            self._appending.move_to_spill_if_due()
        room = self._appending.room
        if self._is_listening and room:
            self._accept(self._receive_from_feed(timeout_s, min(room, self._options.receive_blocks)), lambda _: None)
        else:
            self._clock.sleep(timeout_s)

    def _is_done(self) -> bool:
        until = self._options.until_block
        return until is not None and self._projections.projected.block_number >= until

    def _follow(self) -> StoreWork[None]:
        """One turn of the first half of settlement: follows the leader, receives and appends blocks."""
        try:
            if self._must_begin:
                yield from self._begin()
            elif self._leadership.is_due or self._chain.unknown_epoch:
                yield from self._follow_leader()
            yield from self._receive_and_append()
            yield from self._recount_letters()
        except Fenced as error:
            log.warning("settlement.append_fenced", error=str(error))
            self._begin_again()

    def _begin(self) -> StoreWork[None]:
        """Continues from the durable blocks. Called at the start, and when a newer epoch has overruled blocks."""
        self._is_listening = False
        self._appending.forget()
        yield from self._leadership.refresh()
        self._store_identity = yield from self._retrier(self._store.identity)
        self._spill.end_claim(self._leadership.newest)
        yield from self._appending.begin(self._leadership.epochs)
        yield from self._executor.begin(self._appending.stored, self._appending.head, self._appending.spilled)
        self._chain = Chain(
            self._appending.head,
            self._leadership.epochs,
            self._options.waiting_blocks,
            refuse=self._services.refuse,
            check=self._executor.check,
        )
        self._gaps.forget()
        self._is_engine_known = self._must_begin = False
        self._is_listening = True
        self._confirm(self._appending.confirmable)  # an engine that uses another store refuses it

    def _receive_and_append(self) -> StoreWork[None]:
        """Receives and appends blocks until none are waiting, at most _MAX_APPENDS_PER_TURN times."""
        for _ in range(_MAX_APPENDS_PER_TURN):
            blocks = self._receive()
            yield from self._check_refusal()
            self._accept(blocks, self._bytes_of)
            if self._appending.is_draining:
                self._appending.move_to_spill_if_due()
            yield from self._append()
            if self._must_begin:
                return
            yield from self._check_engine()
            if len(blocks) < self._options.receive_blocks and not self._appending.is_waiting:
                return

    def _accept(self, blocks: list[Block], bytes_of: BytesOf) -> None:
        until = self._options.until_block
        within = blocks if until is None else [block for block in blocks if block.number <= until]
        ready, repeated = self._chain.accept(within, bytes_of)
        if ready:
            self._newest_block_ns = ready[-1].timestamp_ns
            self._appending.add_blocks(ready)
        elif repeated:
            self._confirm(self._appending.confirmable)
        if self._chain.is_over:
            self._begin_again()
        else:
            self._check_gaps()

    def _begin_again(self) -> None:
        """Continues with `_begin` in the next turn; meanwhile receives nothing."""
        self._must_begin = True
        self._is_listening = False

    def _append(self) -> StoreWork[None]:
        rows = yield from self._appending.step()
        if not rows:
            return
        if len(rows) < self._options.receive_blocks:
            self._gather_until_s = self._clock.monotonic() + self._options.gather_ms / 1000
        metrics.BLOCKS_APPENDED.inc(len(rows))
        self._appended(rows)
        self._projecting.add(rows)
        self._executor.make_snapshot_if_due(self._appending.stored)

    def _recount_letters(self) -> StoreWork[None]:
        """Counts the dead letters again, because another process may have replayed some."""
        now_s = self._clock.monotonic()
        if self._letters.count and now_s - self._recounted_at_s >= self._options.letters_every_s:
            self._recounted_at_s = now_s
            yield from self._retrier(self._letters.recount)

    # The engine

    def _receive(self) -> list[Block]:
        if self._appending.is_waiting:
            room = min(self._appending.room, self._options.receive_blocks)
            return self._receive_from_feed(0.0, room) if room else []
        self._wait_for_more_blocks()
        due_in_s = self._projecting.due_in_s
        timeout_s = _MAX_WAIT_S if due_in_s is None else min(due_in_s, _MAX_WAIT_S)
        return self._receive_from_feed(timeout_s, self._options.receive_blocks)

    def _wait_for_more_blocks(self) -> None:
        """Waits so that the next commit has more blocks: a commit takes the same CPU time for one and for many."""
        wait_s = self._gather_until_s - self._clock.monotonic()
        if wait_s > 0:
            self._clock.sleep(wait_s)

    def _receive_from_feed(self, timeout_s: float, limit: int) -> list[Block]:
        """Receives blocks. Time in which settlement was busy or suspended does not count as waiting for a gap."""
        began_s = self._clock.monotonic()
        self._gaps.exclude(began_s - self._listened_at_s)
        try:
            blocks = self._feed.receive(timeout_s, limit)
        except BadBlock as error:
            number = self._chain.head.block_number
            raise ChainBroken(f"The message received after block {number} is not a block: {error}") from error
        finally:
            self._listened_at_s = self._clock.monotonic()
            self._gaps.exclude(max(0.0, self._listened_at_s - began_s - timeout_s))
        if len(blocks) >= limit:
            self._gaps.note_full_receive()
        return blocks

    def _check_gaps(self) -> None:
        """Requests blocks that the leader has announced and that did not arrive."""
        announced, early = self._leadership.announced, self._chain.newest_early
        if self._leadership.is_on_replica:
            # A later block may have been sent only by a replica that then crashed; the others will make it soon.
            early = min(early, announced)
        elif announced < self._announced:
            # The engine restarted and lost the blocks that were not durable, which include the early ones.
            self._chain.forget_early()
        self._announced = announced
        if self._feed.silent_for_s() >= _GONE_S:
            self._chain.forget_early()
            self._gaps.forget()
        elif not self._chain.unknown_epoch:
            until = self._options.until_block or announced
            self._gaps.check(self._chain.next_number, early, min(announced, until))

    def _check_engine(self) -> StoreWork[None]:
        """Checks that the leader has the durable blocks. Raises ChainConflict."""
        if self._is_behind():
            yield from self._follow_leader()  # another engine may lead by now, or a new epoch may begin there
            if self._is_behind():
                raise ChainConflict(
                    f"The engine is at block {self._leadership.announced}, but the store already has block "
                    f"{self._appending.durable.block_number}: the engine has begun another chain. Use an empty store, "
                    "or restore the engine's state."
                )
        announced, held = self._leadership.announced, self._appending.durable.block_number
        if announced and not self._is_engine_known:
            self._is_engine_known = True
            if announced == held and not self.appended_blocks:
                # The engine has no newer block, so the last one is compared to check that the chain is the same.
                # Receiving it also confirms it again, in case the engine has not seen its confirmation.
                self._feed.request(held, held)

    def _check_refusal(self) -> StoreWork[None]:
        """Has the engine refused a confirmation? Then it has another store or chain than this settlement."""
        if self._feed.refusal() is None:
            return
        yield from self._follow_leader()  # perhaps it leads no more
        refusal = self._feed.refusal()
        if refusal is None:
            return
        raise refusal_error(refusal, self._feed.status())

    def _confirm(self, durable: Checkpoint) -> None:
        self._feed.confirm(wire.Confirmation(durable.block_number, durable.hash, self._store_identity))

    def _is_behind(self) -> bool:
        return (
            0 < self._leadership.announced < self._appending.durable.block_number and not self._leadership.is_on_replica
        )

    def _follow_leader(self) -> StoreWork[None]:
        has_changed = yield from self._leadership.refresh()
        self._spill.end_claim(self._leadership.newest)
        if not has_changed:
            if self._chain.unknown_epoch:
                self._chain.update_epochs(self._leadership.epochs)  # raises, because that epoch has not begun
            return
        log.info("settlement.epoch_began", newest=self._leadership.newest)
        waiting = self._chain.update_epochs(self._leadership.epochs)
        if self._chain.is_overruled:
            yield from self._begin()
            return
        self._gaps.forget()
        self._is_engine_known = False
        self._confirm(self._appending.confirmable)
        self._accept(waiting, self._bytes_of)

    # The store

    def _bytes_of(self, number: int) -> bytes | None:
        """Bytes of a stored block, for Chain. None if it is not stored, or if the store fails, which is not retried."""
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
            projection_lag=self._projections.lag,
            gaps=self._gaps.count,
            dead_letters=self._letters.count,
            engine_halted=bool(status.fields.get("halted")) if status else None,
            engine_halted_reason=status.fields.get("halted_reason") if status else None,
            engine_silent_for_s=self._feed.silent_for_s(),
            engine_clock_ahead_s=self._clock_ahead_s(),
            store_down_for_s=max(self._retrier.down_for_s, self._projection_retrier.down_for_s),
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
