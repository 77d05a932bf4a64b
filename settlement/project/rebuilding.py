"""Trades, orders, ledger entries and balances dropped and made again from the blocks, which are the truth.

The CSV trail stays: it is append only, and has the lines already.
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
from settlement.stores.retrying import Patience, finish

log = structlog.get_logger(__name__)

_EVENTS_AT_ONCE = 8192


class Stopped(Exception):
    """The rebuild was told to stop while it waited for the store."""


def rebuild(
    store: Store,
    trail: Trail,
    letters: DeadLetters,
    clock: Clock,
    stop: Callable[[], bool],
    options: Options,
    from_block: int = 1,
    progress: Callable[[int, int], object] = lambda done, last: None,
) -> int:
    """Drops what block `from_block` and later ones have set and projects them again; returns the last block projected.

    Stopped or killed while it projects, it goes on when settlement, or this, starts again. Killed while it drops, it
    has to be started again: then, and wherever nothing is projected, it begins with block 1 whatever `from_block` says.
    `progress` hears (block, last block). Raises NotReady for a block that is not there, StoreDamaged, StoreError,
    Stopped.
    """
    appended = store.appended().block_number
    if not 1 <= from_block <= appended + 1:
        raise NotReady(f"The store holds blocks 1 to {appended}: there is no block {from_block} to begin with.")
    projected = store.projected().block_number
    if not projected and from_block > 1:
        log.warning("nothing is projected, so everything is made again, from block 1 on", asked_for=from_block)
        from_block = 1  # rows may be left of a rebuild that was killed while it dropped, and earlier ones be gone
    if from_block == 1:
        store.drop_projections()
    elif from_block <= store.projecting():  # a part of the block after `projected` may be there
        _go_back(store, from_block, progress)
    for letter in letters.unresolved():
        if letter.block_number >= from_block:
            letters.resolve(letter)

    def wait(seconds: float) -> None:
        if stop():
            raise Stopped
        clock.sleep(seconds)

    projections = Projections(store, trail, letters, clock, options, Patience(clock, options))
    finish(projections.begin(), wait)
    while projections.lag and not stop():
        finish(projections.step(), wait)
        progress(projections.projected.block_number, appended)
    return projections.projected.block_number


def refuse_if_dropped(store: Store, block: int) -> None:
    """For who has compared tables that were projected to `block`, and found differences.

    Raises NotReady where they are not any more: a rebuild has dropped rows meanwhile, and the differences say nothing.
    """
    projected = store.projected().block_number
    if projected < block:
        raise NotReady(
            f"The store was projected to block {block} and has gone back to block {projected} while it was compared, "
            "for its rows are being made again: compare again when rebuild_projections is done."
        )


def _go_back(store: Store, from_block: int, progress: Callable[[int, int], object]) -> None:
    """Makes the tables what they were before `from_block`."""
    first = store.get_block(from_block)
    before = store.get_block(from_block - 1)
    if before is None:
        raise StoreDamaged(f"The store does not hold block {from_block - 1}: run verify_settlement.")
    first_event = first.first_event_sequence if first else before.last_event_sequence + 1
    base = state_after(store.blocks(1, from_block - 1), progress)
    store.reset_projections(first_event, base)


def state_after(rows: Iterable[StoredBlock], progress: Callable[[int, int], object]) -> Projection:
    """What blocks, from the first on, leave behind that later ones may change; no history. Raises StoreDamaged."""
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
        if events >= _EVENTS_AT_ONCE:
            _project(projector, batch)
            progress(block.number, block.number)
            batch, events = [], 0
    if batch:
        _project(projector, batch)
    return projector.base(head)


def _project(projector: Projector, blocks: list[Block]) -> None:
    """Only the last of them may be a large one."""
    *others, last = blocks
    if others:
        projector.project(others)
    for part in slices_of(last, _EVENTS_AT_ONCE):
        projector.project([last], part)
