"""Gives a store the blocks that it lacks and that files still hold: spill, write-ahead log, a backup.

Nothing is written before the whole chain is found. Each block is checked (number, previous hash, hash) and executed
again, from the store's own blocks on, before it is stored.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from matching.core.block_diff import ReExecutor, difference_when_executed
from matching.core.blocks import Block
from matching.core.epochs import Epoch, admits, newest
from matching.core.errors import BadBlock, MatchingError
from settlement.errors import ChainConflict, GapUnfilled, StoreDamaged
from settlement.maintenance.kept_blocks import (
    NO_BLOCK,
    KeptLog,
    Link,
    Source,
    blocks_of,
    continuation,
    link_of,
    look_at,
)
from settlement.receive.chain import stored
from settlement.stores.base import Store

Progress = Callable[[int, int], object]
"""Called with (block, last block)."""

_BATCH_BLOCKS = 64
_BATCH_BYTES = 8 << 20


class Filled(NamedTuple):
    """What was added to the store."""

    first: int
    last: int  # before `first`: nothing was added
    epochs: list[int]


def fill(
    store: Store,
    sources: Sequence[Source],
    engine: ReExecutor,
    leader: Epoch,
    recorded: Sequence[Epoch] = (),
    progress: Progress = lambda done, last: None,
) -> Filled:
    """Appends the blocks of `sources` that continue the store.

    `recorded` are epochs from a backup. Other epochs that the blocks are of, and that the store lacks, are recorded
    with the name and addresses of `leader`. Raises GapUnfilled, ChainConflict, StoreDamaged, LogUnusable, StoreError.
    """
    head = head_of(store)
    logs = [look_at(source) for source in sources]
    known = store.epochs()
    chain = continuation(head, logs, [*known, *recorded])
    end = chain[-1] if chain else head
    _refuse_conflicts(store, head, logs)
    _refuse_gap(end, logs, [*known, *recorded])
    if not chain:
        _begin_following(store, head, recorded)
        return Filled(head.number + 1, head.number, [])
    execute_stored(store, head, engine, lambda number: progress(number, end.number))
    missing = _missing_epochs(known, chain, recorded, leader)
    batch: list[Block] = []
    size = 0
    for block in blocks_in(chain, sources):
        check(block, engine)
        if batch and (missing_before(block, missing) or len(batch) == _BATCH_BLOCKS or size > _BATCH_BYTES):
            store.append_blocks([stored(one) for one in batch])
            progress(batch[-1].number, end.number)
            batch, size = [], 0
        for epoch in missing_before(block, missing):
            store.begin_epoch(epoch)
        missing = [epoch for epoch in missing if epoch.first_block > block.number]
        batch.append(block)
        size += len(block.data)
    store.append_blocks([stored(one) for one in batch])
    _begin_following(store, end, recorded)
    return Filled(head.number + 1, end.number, sorted({link.epoch for link in chain} - {one.number for one in known}))


def _begin_following(store: Store, end: Link, recorded: Sequence[Epoch]) -> None:
    """Records the epochs of leaders that began after block `end` and made no block."""
    last = newest(store.epochs())
    for epoch in sorted(recorded):
        is_newer = last is None or epoch.number > last.number
        if is_newer and (epoch.first_block, epoch.prev_hash) == (end.number + 1, end.hash):
            store.begin_epoch(epoch)


def missing_before(block: Block, missing: Sequence[Epoch]) -> list[Epoch]:
    """The epochs to record before this block is stored."""
    return [epoch for epoch in missing if epoch.first_block <= block.number]


def head_of(store: Store) -> Link:
    """The store's last block. Raises StoreDamaged."""
    appended = store.appended()
    if not appended.block_number:
        return NO_BLOCK
    row = store.get_block(appended.block_number)
    if row is None or row.hash != appended.hash:
        raise StoreDamaged(
            f"The store's checkpoint is at block {appended.block_number}, but that block is missing or has another "
            "hash: put back a copy of the store."
        )
    return Link(row.number, row.hash, row.prev_hash, row.epoch, row.last_event_sequence)


def _refuse_conflicts(store: Store, head: Link, logs: Sequence[KeptLog]) -> None:
    """Raises ChainConflict if a source holds another chain than the store, or than another source."""
    seen: dict[tuple[int, int], tuple[int, str]] = {}
    for log in logs:
        for link in log.links:
            known, of = seen.setdefault((link.number, link.epoch), (link.hash, log.source.name))
            if known != link.hash:
                raise ChainConflict(
                    f"Block {link.number} in the {log.source.name} ({log.source.place}) differs from that in the "
                    f"{of}: one of them is of another exchange. Keep both, and move away the one that does not belong "
                    "here."
                )
        common = max((link for link in log.links if link.number <= head.number), default=None)
        row = store.get_block(common.number) if common else None
        following = next((link for link in log.links if link.number == head.number + 1), None)
        is_other = row is not None and common is not None and row.epoch == common.epoch and row.hash != common.hash
        if is_other or (following and following.prev_hash != head.hash and following.epoch >= head.epoch):
            number = common.number if is_other and common else head.number + 1
            raise ChainConflict(
                f"Block {number} in the {log.source.name} ({log.source.place}) does not fit the store: one of the two "
                "is of another exchange. Keep both, and give the setting that names the right store."
            )


def _refuse_gap(end: Link, logs: Sequence[KeptLog], epochs: Sequence[Epoch]) -> None:
    for log in logs:
        last = max((link.number for link in log.links if admits(epochs, link.epoch, link.number)), default=0)
        if last > end.number:
            raise GapUnfilled(
                f"The {log.source.name} ({log.source.place}) holds blocks up to {last}, but block "
                f"{end.number + 1} is neither in the store nor in a file here: restore the newest backup "
                "(manage.py restore BACKUP), which also takes these blocks."
            )


def execute_stored(store: Store, head: Link, engine: ReExecutor, progress: Callable[[int], object]) -> None:
    """Brings the engine to the store's last block."""
    at = NO_BLOCK
    for row in store.blocks(1, head.number):
        try:
            block = Block.decode(row.data)
            block.verify(at.number + 1, at.hash)
            engine.follow(block)
        except MatchingError as error:
            raise StoreDamaged(f"Block {row.number} of the store cannot be executed: {error}") from error
        at = link_of(block)
        progress(at.number)
    if at.number != head.number:
        raise StoreDamaged(f"The store lacks block {at.number + 1}: put back a copy of the store.")


def check(block: Block, engine: ReExecutor) -> None:
    """Executes the next block. Raises ChainConflict if it is not what its commands give."""
    try:
        found = difference_when_executed(engine, block)
    except MatchingError as error:
        raise ChainConflict(f"Block {block.number} cannot be executed, so it is not stored: {error}") from error
    if found:
        raise ChainConflict(
            f"The commands of block {block.number} give other events than it holds, so it is not stored: no engine of "
            "this version made it."
        )


def _missing_epochs(
    known: Sequence[Epoch], chain: Sequence[Link], recorded: Sequence[Epoch], leader: Epoch
) -> list[Epoch]:
    """The epochs that the store needs before it takes the blocks of `chain`, in order."""
    last = newest(known)
    by_number = {epoch.number: epoch for epoch in recorded}
    found: list[Epoch] = []
    following = last.number + 1 if last else 1
    for link in chain:
        for number in range(following, link.epoch + 1):
            place = leader._replace(number=number, first_block=link.number, prev_hash=link.prev_hash)
            found.append(by_number.get(number, place))
        following = max(following, link.epoch + 1)
    return found


def blocks_in(chain: Sequence[Link], sources: Sequence[Source]) -> Iterator[Block]:
    """The blocks of `chain`, each from any source that holds it."""
    at = 0
    while at < len(chain):
        before = at
        for source in sources:
            for block in blocks_of(source):
                if at < len(chain) and block.number == chain[at].number and block.hash == chain[at].hash:
                    _verify(block, chain[at])
                    at += 1
                    yield block
        if at == before:
            raise GapUnfilled(f"Block {chain[at].number} was removed from its file meanwhile: start this again.")


def _verify(block: Block, link: Link) -> None:
    try:
        block.verify(link.number, link.prev_hash)
    except BadBlock as error:
        raise ChainConflict(f"Block {link.number} is damaged: {error}") from error
