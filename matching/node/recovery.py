"""How an engine comes to the newest durable block: from a snapshot, settlement's store and the input log.

What is durable is settlement's history first, then what the engine's own log holds past it. Each block is checked
against the epochs and the block before, executed again, and compared byte for byte; a snapshot only saves the blocks
before it. Nothing here changes what is read, so a crash in the middle costs nothing but the time.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import structlog

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch, admits
from matching.core.errors import MatchingError
from matching.node.follower import re_executed
from matching.storage.history import History
from matching.storage.input_logs.base import InputLog
from matching.storage.ring import Ring
from matching.storage.snapshot_files import SnapshotFolder

log = structlog.get_logger(__name__)

_PROGRESS_S = 5.0
_KEPT_BEFORE_SNAPSHOT = 256
"""Blocks that a snapshot saves, but that readers and repeated requests may still ask for."""

_REMEDY = "Move the folder wal/ away and start this engine with --follow."


class CannotLead(MatchingError):
    """This engine may not take commands as it is: the text says what to do."""


class Stopped(MatchingError):
    """It was told to stop before it was done: nothing has changed."""


class Recovered(NamedTuple):
    """What was done; `from_history` and `from_log` count blocks that were executed again."""

    snapshot_block: int  # 0: none was used
    from_history: int
    from_log: int


class Recovery:
    """One engine on its way. `engine` is fresh, or has a state that `ring` ends with; both go on where they are."""

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
        self._told_at_s = monotonic()
        self._epochs: Sequence[Epoch] = ()
        self._overlap: Block | None = None  # newest of the log's blocks that the ring does not hold any more
        self._logged: int | None = None
        self.recovered = Recovered(0, 0, 0)

    def run(self, epochs: Sequence[Epoch], snapshots: SnapshotFolder) -> None:
        """To the newest durable block; again, to what came meanwhile.

        Raises CannotLead, Diverged, BadBlock, LogUnusable, HistoryUnavailable.
        """
        self._epochs = epochs
        self._refuse_unread_log()
        if self._engine.block_number == 0:
            self._begin_with_snapshot(snapshots)
        else:
            self._agree_with_history()
        for block in self._history.blocks(self._ring.last + 1):
            executed = self._take(block)
            self._ring.confirm(block.number)
            self._count(from_history=executed)
        self._read_log()
        self._refuse_what_is_missing()
        self._refuse_what_was_fenced()

    def _refuse_unread_log(self) -> None:
        """Blocks that were answered, in a log that this engine kept before: an epoch without them would lose them."""
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
            "the rest, or move the folder away to give them up."
        )

    # A snapshot

    def _begin_with_snapshot(self, snapshots: SnapshotFolder) -> None:
        """Takes the newest one that is of this history; blocks that it saves and readers want come into the ring."""
        for found in snapshots.newest_first():
            number = found.block_number
            reason = self._why_unusable(found)
            if reason:
                snapshots.reject(number, reason)
                continue
            self._engine.become(found)
            self.recovered = self.recovered._replace(snapshot_block=number)
            self._ring.begin_after(max(0, self._newest_up_to(number, 0) - _KEPT_BEFORE_SNAPSHOT))
            return

    def _why_unusable(self, found: Engine) -> str:
        known = self._history.hash_of(found.block_number)
        if known is None:
            known = next((block.hash for block in self._log.blocks() if block.number == found.block_number), None)
        if known is None:
            return "It is newer than every durable block."
        return "" if known == found.state_hash else "It is of another exchange: block and hash are not of this chain."

    # Agreement of what the engine has with what settlement has

    def _newest_up_to(self, number: int, at_least: int) -> int:
        """The newest block from `at_least` to `number` that the history has; `at_least` where it has none of them."""
        candidates = range(at_least + 1, number + 1)
        return at_least + bisect_left(candidates, True, key=lambda one: self._history.hash_of(one) is None)

    def _agree_with_history(self) -> None:
        """An engine that followed another counts all as confirmed; what settlement lacks, it must have and keep."""
        engine, ring = self._engine, self._ring
        if not ring.last:
            ring.begin_after(engine.block_number)
        newest = self._newest_up_to(ring.last, (ring.first or ring.last + 1) - 1)
        known = self._history.hash_of(newest)
        if known is None and newest > 0:
            raise CannotLead(
                f"Settlement's store lacks blocks before {newest + 1}, and this engine does not hold them any more: it "
                "cannot lead until settlement has them from another engine."
            )
        following = ring.get(newest + 1)
        own = engine.state_hash if following is None else following.prev_hash
        is_comparable = following is not None or newest == engine.block_number
        if is_comparable and known not in (None, own):
            raise CannotLead(
                f"This engine has another block {newest} than settlement's store: the engine that it followed was "
                "replaced. Start it again with --follow."
            )
        ring.unconfirm_after(newest)
        ring.confirm(newest)

    def _refuse_what_is_missing(self) -> None:
        """Blocks that the state has in it, but that neither settlement nor this engine holds."""
        if self._ring.last < self._engine.block_number:
            raise CannotLead(
                f"Settlement's store lacks blocks {self._ring.last + 1} to {self._engine.block_number}, and this "
                "engine has only what came of them, by a snapshot: it cannot lead until settlement has them."
            )

    def _refuse_what_was_fenced(self) -> None:
        """Blocks that settlement does not have yet, and will never take."""
        block = self._ring.get(self._ring.last)
        if block is not None and not admits(self._epochs, block.epoch, block.number):
            raise CannotLead(
                f"This engine's block {block.number} is of epoch {block.epoch}, and a newer one began before it: "
                "another engine leads. Start this one again with --follow."
            )

    # Blocks

    def _take(self, block: Block) -> int:
        """Executes the next block; how many were executed: none that the snapshot's state has in it already."""
        self._tell(block)
        if not admits(self._epochs, block.epoch, block.number):
            raise CannotLead(
                f"Block {block.number} is of epoch {block.epoch}, which had ended before it: whatever keeps it took a "
                "block that it had to refuse. Run verify_settlement."
            )
        engine, ring = self._engine, self._ring
        if ring.last + 1 == block.number == engine.block_number + 1:
            block.verify(engine.block_number + 1, engine.state_hash)
            ring.append(re_executed(engine, block))
            return 1
        before = ring.get(ring.last)
        block.verify(ring.last + 1, before.hash if before is not None else block.prev_hash)
        if block.number == engine.block_number and block.hash != engine.state_hash:
            raise CannotLead(f"Block {block.number} is another one than that of the snapshot of block {block.number}.")
        ring.append(block)
        return 0

    def _read_log(self) -> None:
        if self._logged is not None:  # what came since is settlement's
            return
        self._logged = 0
        for block in self._log.blocks():
            self._count(from_log=self._take_logged(block))
            self._logged = block.number
        self._compare_overlap()
        self._log_what_is_nowhere_else(self._logged)

    def _take_logged(self, block: Block) -> int:
        if block.number <= self._ring.last:
            known = self._ring.get(block.number)
            if known is None:
                self._overlap = block  # compared once, as the history would have to be asked
            elif known.hash != block.hash:
                raise self._replaced(block, known.epoch)
            return 0
        self._compare_overlap()
        if not admits(self._epochs, block.epoch, block.number):
            raise self._replaced(block, max(self._epochs).number)
        return self._take(block)

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

    def _log_what_is_nowhere_else(self, logged: int) -> None:
        """For an engine that followed: blocks that only it has become as durable as the log promises."""
        ring = self._ring
        missing: Iterable[int] = range(max(ring.confirmed, logged) + 1, ring.last + 1)
        blocks = [block for number in missing if (block := ring.get(number)) is not None]
        if blocks:
            self._log.append(blocks)

    def _count(self, *, from_history: int = 0, from_log: int = 0) -> None:
        done = self.recovered
        self.recovered = Recovered(done.snapshot_block, done.from_history + from_history, done.from_log + from_log)

    def _tell(self, block: Block) -> None:
        if self._stop():
            raise Stopped
        if self._monotonic() - self._told_at_s >= _PROGRESS_S:
            self._told_at_s = self._monotonic()
            log.info("recovery.progress", block=block.number)
