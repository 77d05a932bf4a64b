"""Re-executes blocks on settlement's own engine, before they are stored or confirmed.

A block's hash shows that its bytes were not changed on the way, not that they are right. With keys a reader accepts
only a registered engine. But a key may have been stolen, PLAIN_SOCKETS may be set, or an engine may compute wrongly: it
can then publish a deposit with any amount in its event. So a block is taken only if its events are what its commands
give. The engine starts from the newest own snapshot that is in the store's chain, never from an engine's.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import structlog

from matching.core import kernel, layout
from matching.core.block_diff import difference_when_executed
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import BadBlock, MatchingError
from matching.storage.snapshot_files import Snapshotter
from settlement.clock import Clock
from settlement.errors import EarlierLayout, EventsDiffer, StoreDamaged
from settlement.stores.base import Checkpoint, Store, StoredBlock
from settlement.stores.retrying import StoreRetrier, StoreWork

log = structlog.get_logger(__name__)

_PAGE_BLOCKS = 64
_PAGE_BYTES = 32 << 20
_PAUSE_S = 1e-3
"""Between two pages: meanwhile `stop` is noticed and the status is reported."""
_PROGRESS_S = 5.0


class Executor:
    """Settlement's own engine. Snapshots are made of stored blocks only, with `snapshotter`."""

    def __init__(self, store: Store, snapshotter: Snapshotter, clock: Clock, retrier: StoreRetrier) -> None:
        self._store = store
        self._snapshotter = snapshotter
        self._clock = clock
        self._retrier = retrier
        self._engine = Engine()
        self._reported_at_s = clock.monotonic()

    def begin(self, stored: Checkpoint, head: Checkpoint, spilled: Callable[[], Iterable[Block]]) -> StoreWork[None]:
        """Brings the engine to block `head`: the last of `spilled`, or `stored` if the spill is empty.

        Raises EventsDiffer if a stored or spilled block is not what its commands give, EarlierLayout, StoreDamaged.
        """
        kernel.compile_now()
        if self._engine.block_number and self._is_at(head):
            return
        yield from self._refuse_earlier_layout(stored)
        yield from self._restore(stored)
        while self._engine.block_number < stored.block_number:
            for row in (yield from self._retrier(partial(self._page, stored.block_number))):
                self._execute_stored(row)
                self._report_progress(stored.block_number)
            yield _PAUSE_S
        for block in spilled():
            if block.number > self._engine.block_number:
                self._execute(block, f"Block {block.number} in the spill", "Move the folder spill away and keep it")
                self._report_progress(head.block_number)
            if block.number % _PAGE_BLOCKS == 0:
                yield _PAUSE_S

    def _refuse_earlier_layout(self, stored: Checkpoint) -> StoreWork[None]:
        """Raises EarlierLayout if the store's last block is of one, or the newest snapshot.

        They are continued after a migration only.
        """
        row = yield from self._retrier(lambda: self._store.get_block(stored.block_number))
        folder = self._snapshotter.folder
        of_store = Block.decode(row.data).layout_version if row is not None else layout.LAYOUT_VERSION
        for name, version in (("store's blocks", of_store), (f"snapshots in {folder.folder}", folder.newest_layout())):
            if version != layout.LAYOUT_VERSION:
                raise EarlierLayout(
                    f"The {name} have record layout {version}, and this program makes blocks of layout "
                    f"{layout.LAYOUT_VERSION}: stop the engine, then run manage.py migrate_layout."
                )

    def check(self, block: Block) -> None:
        """Executes the next block. Raises EventsDiffer if it is not what its commands give."""
        if block.layout_version != layout.LAYOUT_VERSION:
            raise EventsDiffer(
                f"Block {block.number}, received from {block.origin or 'the engine'}, has record layout "
                f"{block.layout_version}, and this program stores blocks of layout {layout.LAYOUT_VERSION}: start an "
                "engine of this version."
            )
        self._execute(
            block,
            f"Block {block.number}, received from {block.origin or 'the engine'},",
            "It was not stored. Make sure that only your engine listens at its addresses, start that engine",
        )

    def make_snapshot_if_due(self, stored: Checkpoint) -> None:
        """Called when blocks were stored. Makes a snapshot only when the engine is at the last stored block."""
        if self._is_at(stored):
            self._snapshotter.advance(self._engine)

    def close(self) -> None:
        self._snapshotter.close()

    def _is_at(self, checkpoint: Checkpoint) -> bool:
        return (self._engine.block_number, self._engine.state_hash) == checkpoint[:2]

    def _restore(self, stored: Checkpoint) -> StoreWork[None]:
        """Goes back to a block of the store's chain: that of this engine, of a snapshot, or none."""
        for engine in self._candidates():
            if engine.block_number <= stored.block_number:
                known = yield from self._retrier(partial(self._hash_of, engine.block_number))
                if known == engine.state_hash:
                    self._engine = engine
                    break
            if engine is not self._engine:
                self._snapshotter.folder.reject(engine.block_number, "The store does not have its block.")
        else:
            self._engine = Engine()
        self._snapshotter.note_compared()
        log.info("settlement.state_restored", block=self._engine.block_number, last=stored.block_number)

    def _candidates(self) -> Iterator[Engine]:
        if self._engine.block_number:
            yield self._engine
        yield from self._snapshotter.folder.newest_first()

    def _hash_of(self, number: int) -> int | None:
        return next((row.hash for row in self._store.newest_blocks(1, number + 1) if row.number == number), None)

    def _page(self, last: int) -> list[StoredBlock]:
        """The next blocks of the store. Raises StoreDamaged."""
        page: list[StoredBlock] = []
        size = 0
        first = self._engine.block_number + 1
        for row in self._store.blocks(first, min(last, first + _PAGE_BLOCKS - 1)):
            page.append(row)
            size += len(row.data)
            if size >= _PAGE_BYTES:
                break
        if not page:
            raise StoreDamaged(f"The store's last block is {last}, but block {first} is missing.")
        return page

    def _execute_stored(self, row: StoredBlock) -> None:
        try:
            block = Block.decode(row.data)
            block.verify(self._engine.block_number + 1, self._engine.state_hash)
        except BadBlock as error:
            raise StoreDamaged(f"Block {row.number} of the store is damaged: {error}") from error
        self._execute(
            block,
            f"Block {block.number} in the store",
            f"Restore a backup, or take it and all after it out with quarantine_block {block.number}",
        )

    def _execute(self, block: Block, name: str, remedy: str) -> None:
        try:
            found = difference_when_executed(self._engine, block)
        except MatchingError as error:
            reason = str(error)
        else:
            if not found:
                return
            reason = f"{found}."
        raise EventsDiffer(f"{name} is not what its commands give: {reason} {remedy}, then start settlement again.")

    def _report_progress(self, last: int) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._reported_at_s >= _PROGRESS_S:
            self._reported_at_s = now_s
            log.info("settlement.re_executing", block=self._engine.block_number, last=last)
