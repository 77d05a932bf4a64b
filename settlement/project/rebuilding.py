"""Rebuilds the projected tables (trades, orders, ledger entries, balances, candles) from the stored blocks.

The CSV trail is kept: it is append-only and has all the lines already.
"""

from collections.abc import Callable, Iterable

import structlog

from matching.core.blocks import Block
from matching.core.errors import BadBlock
from settlement.clock import Clock
from settlement.errors import NotReady, StoreDamaged
from settlement.options import Options
from settlement.project.dead_letters import DeadLetters
from settlement.project.projection import EmptyTables, Projector, slices_of
from settlement.project.projector import Projections
from settlement.project.trail import Trail
from settlement.stores.base import Checkpoint, Projection, Store, StoredBlock
from settlement.stores.retrying import StoreRetrier, finish

log = structlog.get_logger(__name__)

_BATCH_EVENTS = 8192


class Stopped(Exception):
    """`stop` returned true while the rebuild waited for the store."""


def rebuild(
    store: Store,
    *,
    trail: Trail,
    letters: DeadLetters,
    clock: Clock,
    stop: Callable[[], bool],
    options: Options,
    from_block: int = 1,
    progress: Callable[[int, int], object] = lambda done, last: None,
) -> int:
    """Drops the rows of block `from_block` and later, and projects them again; returns the last projected block.

    After a crash while projecting, settlement or another rebuild continues. After a crash while dropping rows, call it
    again: while nothing is projected, it begins with block 1 whatever `from_block` is. `progress` is called with
    (block, last block). Raises NotReady if `from_block` is neither in the store nor the next block; StoreDamaged,
    StoreError, Stopped.
    """
    appended = store.appended().block_number
    if not 1 <= from_block <= appended + 1:
        raise NotReady(f"The store has blocks 1 to {appended}: there is no block {from_block} to begin with.")
    drop_rows(store, letters, from_block, progress)

    def wait(seconds: float) -> None:
        if stop():
            raise Stopped
        clock.sleep(seconds)

    projections = Projections(
        store, trail=trail, letters=letters, clock=clock, options=options, retrier=StoreRetrier(clock, options)
    )
    finish(projections.begin(), wait)
    while projections.lag and not stop():
        finish(projections.step(), wait)
        progress(projections.projected.block_number, appended)
    return projections.projected.block_number


def drop_rows(
    store: Store,
    letters: DeadLetters,
    from_block: int,
    progress: Callable[[int, int], object] = lambda done, last: None,
) -> None:
    """Drops the rows of block `from_block` and later, and resolves their dead letters.

    While nothing is projected, all rows are dropped. Raises StoreDamaged, StoreError.
    """
    if not store.projected().block_number and from_block > 1:
        log.warning("settlement.rebuilding_from_first_block", requested=from_block)
        from_block = 1  # a rebuild may have crashed while it dropped rows, so any row may be missing or stale
    if from_block == 1:
        store.drop_projections()
    elif from_block <= store.projecting():  # rows of the blocks after `projected` may exist
        _reset_to(store, from_block, progress)
    for letter in letters.unresolved():
        if letter.block_number >= from_block:
            letters.resolve(letter)


def refuse_if_dropped(store: Store, block: int) -> None:
    """Call after comparing tables that were projected to `block` has found differences.

    Raises NotReady if a rebuild has dropped rows meanwhile, so that the differences mean nothing.
    """
    projected = store.projected().block_number
    if projected < block:
        raise NotReady(
            f"While the store was compared, its projection went from block {block} back to block {projected}, because "
            "its rows are being rebuilt: compare again when rebuild_projections is done."
        )


def _reset_to(store: Store, from_block: int, progress: Callable[[int, int], object]) -> None:
    """Resets the tables to their state before `from_block`."""
    first = store.get_block(from_block)
    before = store.get_block(from_block - 1)
    if before is None:
        raise StoreDamaged(f"The store lacks block {from_block - 1}: run verify_settlement.")
    first_event = first.first_event_sequence if first else before.last_event_sequence + 1
    base = state_after(store.blocks(1, from_block - 1), progress)
    store.reset_projections(first_event, base)


def state_after(rows: Iterable[StoredBlock], progress: Callable[[int, int], object]) -> Projection:
    """The rows after these blocks, from block 1 on, that later blocks may change. Raises StoreDamaged."""
    projector = Projector(EmptyTables(), kept=None)
    head = Checkpoint(0, 0, 0)
    batch: list[Block] = []
    events = 0
    for row in rows:
        try:
            block = Block.decode(row.data)
            block.verify(head.block_number + 1, head.hash)
        except BadBlock as error:
            raise StoreDamaged(f"Block {head.block_number + 1} of the store is damaged: {error}") from error
        head = Checkpoint(block.number, block.hash, block.epoch)
        batch.append(block)
        events += block.event_count
        if events >= _BATCH_EVENTS:
            _project(projector, batch)
            progress(block.number, block.number)
            batch, events = [], 0
    if batch:
        _project(projector, batch)
    return projector.base(head)


def _project(projector: Projector, blocks: list[Block]) -> None:
    """Projects blocks of which only the last one may be large."""
    *others, last = blocks
    if others:
        projector.project(others)
    for part in slices_of(last, _BATCH_EVENTS):
        projector.project([last], part)
