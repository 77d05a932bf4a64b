"""Recovery: brings an engine to the newest durable block, from a snapshot, settlement's store and the input log.

Durable blocks are those of settlement's history, then those in the engine's own log after them. Each block is checked
against the epochs and the previous block, re-executed, and compared byte for byte. A snapshot only saves re-executing
the blocks before it. Recovery does not change its sources, so it can be repeated after a crash.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import structlog

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch, admits
from matching.core.errors import MatchingError
from matching.core.layout import LAYOUT_VERSION
from matching.node.follower import re_executed
from matching.storage.history import History
from matching.storage.input_logs.base import InputLog
from matching.storage.ring import Ring
from matching.storage.snapshot_files import SnapshotFolder

log = structlog.get_logger(__name__)

_PROGRESS_S = 5.0
_BLOCKS_BEFORE_SNAPSHOT = 256
"""Blocks before the snapshot that are loaded into the ring, for readers and repeated requests."""

_REMEDY = "Move the folder wal/ away and start this engine with --follow."


class CannotLead(MatchingError):
    """This engine must not become leader: the text gives the reason and what to do."""


class Stopped(MatchingError):
    """Recovery was stopped before its end. Nothing was changed."""


class Recovered(NamedTuple):
    """Result of a recovery; `from_history` and `from_log` count re-executed blocks."""

    snapshot_block: int  # 0: none was used
    from_history: int
    from_log: int


class Recovery:
    """Recovery of one engine. `engine` is new, or `ring` ends with its newest block; both are brought forward."""

    def __init__(
        self,
        engine: Engine,
        ring: Ring,
        history: History,
        input_log: InputLog,
        monotonic: Callable[[], float],
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine = engine
        self._ring = ring
        self._history = history
        self._log = input_log
        self._monotonic = monotonic
        self._stop = stop
        self._reported_at_s = monotonic()
        self._epochs: Sequence[Epoch] = ()
        self._overlap: Block | None = None  # newest block of the log among those that the ring no longer has
        self._logged: int | None = None
        self.recovered = Recovered(0, 0, 0)

    def run(self, epochs: Sequence[Epoch], snapshots: SnapshotFolder) -> None:
        """Recovers to the newest durable block. May be called again for blocks that were added meanwhile.

        Raises CannotLead, Diverged, BadBlock, LogUnusable, HistoryUnavailable.
        """
        self._epochs = epochs
        self._refuse_unread_log()
        self._refuse_earlier_layout(snapshots.newest_layout(), f"snapshots in {snapshots.folder}")
        if self._engine.block_number == 0:
            self._begin_with_snapshot(snapshots)
        else:
            self._compare_with_history()
        for block in self._history.blocks(self._ring.last + 1):
            executed = self._add(block)
            self._ring.confirm(block.number)
            self._count(from_history=executed)
        self._read_log()
        self._refuse_missing_blocks()
        self._refuse_fenced_block()
        self._refuse_earlier_layout(self._engine.layout_version, "blocks")

    def _refuse_unread_log(self) -> None:
        """Refuses to lead if a log of an earlier run has answered blocks that a new epoch would discard."""
        left = self._log.unread_log()
        if left is None or left.newest.number <= self._ring.last:
            return
        block = left.newest
        if self._history.hash_of(block.number) is not None:
            return
        known = f"{left.folder} holds blocks up to {block.number}, and settlement has those up to "
        known += str(self._newest_up_to(block.number, 0))
        if not admits(self._epochs, block.epoch, block.number):
            raise CannotLead(f"{known}: epoch {max(self._epochs).number} has overruled the rest, move the folder away.")
        raise CannotLead(
            f"{known}: start this engine with that log (ENABLE_LOCAL_WAL=true or --input-log wal) until settlement has "
            "the rest, or move the folder away to discard them."
        )

    # A snapshot

    def _begin_with_snapshot(self, snapshots: SnapshotFolder) -> None:
        """Starts from the newest snapshot of this chain; the ring starts some blocks before it, for readers."""
        for found in snapshots.newest_first():
            number = found.block_number
            reason = self._why_unusable(found)
            if reason:
                snapshots.reject(number, reason)
                continue
            self._engine.take_over_state(found)
            self.recovered = self.recovered._replace(snapshot_block=number)
            self._ring.begin_after(max(0, self._newest_up_to(number, 0) - _BLOCKS_BEFORE_SNAPSHOT))
            return

    def _why_unusable(self, found: Engine) -> str:
        known = self._history.hash_of(found.block_number)
        if known is None:
            known = next((block.hash for block in self._log.blocks() if block.number == found.block_number), None)
        if known is None:
            return "It is newer than every durable block."
        return (
            ""
            if known == found.state_hash
            else "It belongs to another exchange: its block and hash are not in this chain."
        )

    # Comparison of the engine's blocks with settlement's

    def _newest_up_to(self, number: int, at_least: int) -> int:
        """The newest block from `at_least` to `number` in the history; `at_least` if it has none of them."""
        candidates = range(at_least + 1, number + 1)
        return at_least + bisect_left(candidates, True, key=lambda one: self._history.hash_of(one) is None)

    def _compare_with_history(self) -> None:
        """For an engine that was a follower: its ring must have, and keep, the blocks that settlement lacks."""
        engine, ring = self._engine, self._ring
        if not ring.last:
            ring.begin_after(engine.block_number)
        newest = self._newest_up_to(ring.last, (ring.first or ring.last + 1) - 1)
        known = self._history.hash_of(newest)
        if known is None and newest > 0:
            raise CannotLead(
                f"Settlement's store lacks blocks before {newest + 1}, and this engine no longer has them: it cannot "
                "lead until settlement has received them from another engine."
            )
        following = ring.get(newest + 1)
        own = engine.state_hash if following is None else following.prev_hash
        is_comparable = following is not None or newest == engine.block_number
        if is_comparable and known not in (None, own):
            raise CannotLead(
                f"This engine's block {newest} differs from the one in settlement's store: the engine that it followed "
                "was replaced. Start it again with --follow."
            )
        ring.unconfirm_after(newest)
        ring.confirm(newest)

    def _refuse_missing_blocks(self) -> None:
        """Refuses to lead if neither settlement nor this engine has blocks that are part of the state."""
        if self._ring.last < self._engine.block_number:
            raise CannotLead(
                f"Settlement's store lacks blocks {self._ring.last + 1} to {self._engine.block_number}, and this "
                "engine has only their result, in a snapshot: it cannot lead until settlement has them."
            )

    def _refuse_fenced_block(self) -> None:
        """Refuses to lead if the newest block is of an epoch that was fenced: settlement will never accept it."""
        block = self._ring.get(self._ring.last)
        if block is not None and not admits(self._epochs, block.epoch, block.number):
            raise CannotLead(
                f"This engine's block {block.number} is of epoch {block.epoch}, and a newer one began before it: "
                "another engine leads. Start this one again with --follow."
            )

    def _refuse_earlier_layout(self, found: int, name: str) -> None:
        """Refuses to make blocks of today's layout after blocks of an earlier one without a migration block."""
        if found != LAYOUT_VERSION:
            raise CannotLead(
                f"The exchange's {name} have record layout {found}, and this program makes blocks of layout "
                f"{LAYOUT_VERSION}: stop settlement, then run manage.py migrate_layout."
            )

    # Blocks

    def _add(self, block: Block) -> int:
        """Adds the next block. Returns how many were executed: 0 if the snapshot's state includes it already."""
        self._report_progress(block)
        if not admits(self._epochs, block.epoch, block.number):
            raise CannotLead(
                f"Block {block.number} is of epoch {block.epoch}, which had ended before it, so it should have been "
                "refused when it was stored. Run verify_settlement."
            )
        engine, ring = self._engine, self._ring
        if ring.last + 1 == block.number == engine.block_number + 1:
            block.verify(engine.block_number + 1, engine.state_hash)
            ring.append(re_executed(engine, block))
            return 1
        before = ring.get(ring.last)
        block.verify(ring.last + 1, before.hash if before is not None else block.prev_hash)
        if block.number == engine.block_number and block.hash != engine.state_hash:
            raise CannotLead(
                f"Block {block.number} differs from the one after which the snapshot of block {block.number} was made."
            )
        ring.append(block)
        return 0

    def _read_log(self) -> None:
        if self._logged is not None:  # newer blocks come from settlement
            return
        self._logged = 0
        for block in self._log.blocks():
            self._count(from_log=self._add_logged(block))
            self._logged = block.number
        self._compare_overlap()
        self._log_unconfirmed(self._logged)

    def _add_logged(self, block: Block) -> int:
        if block.number <= self._ring.last:
            known = self._ring.get(block.number)
            if known is None:
                self._overlap = block  # compared once at the end, as that needs a query of the history
            elif known.hash != block.hash:
                raise self._replaced(block, known.epoch)
            return 0
        self._compare_overlap()
        if not admits(self._epochs, block.epoch, block.number):
            raise self._replaced(block, max(self._epochs).number)
        return self._add(block)

    def _compare_overlap(self) -> None:
        block, self._overlap = self._overlap, None
        if block is not None and self._history.hash_of(block.number) not in (None, block.hash):
            raise self._replaced(block, None)

    def _replaced(self, block: Block, epoch: int | None) -> CannotLead:
        other = "another" if epoch is None else f"another of epoch {epoch}"
        return CannotLead(
            f"This engine was replaced: its log holds block {block.number} of epoch {block.epoch}, the chain {other}. "
            f"{_REMEDY}"
        )

    def _log_unconfirmed(self, logged: int) -> None:
        """For an engine that was a follower: appends blocks to its log that neither settlement nor the log has."""
        ring = self._ring
        missing: Iterable[int] = range(max(ring.confirmed, logged) + 1, ring.last + 1)
        blocks = [block for number in missing if (block := ring.get(number)) is not None]
        if blocks:
            self._log.append(blocks)

    def _count(self, *, from_history: int = 0, from_log: int = 0) -> None:
        done = self.recovered
        self.recovered = Recovered(done.snapshot_block, done.from_history + from_history, done.from_log + from_log)

    def _report_progress(self, block: Block) -> None:
        if self._stop():
            raise Stopped
        if self._monotonic() - self._reported_at_s >= _PROGRESS_S:
            self._reported_at_s = self._monotonic()
            log.info("recovery.progress", block=block.number)
