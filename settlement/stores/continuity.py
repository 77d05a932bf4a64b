"""Checks that a write continues what the store contains, so that an older copy or another store is detected.

A database may be restored from a backup, or a standby without the last commits may take over. A read may be the first
statement after that, and would reconnect without an error. So every write runs these checks, not only a write after a
failure. The checks of epochs are the same in all stores and are here too.
"""

from collections.abc import Callable, Sequence

from matching.core.epochs import Epoch
from settlement.errors import NotReady, StoreReplaced
from settlement.stores.base import Checkpoint, Fenced, Outrun, Slice, StoredBlock


def refuse_older_epoch(newest: Epoch | None, epoch: Epoch) -> None:
    """Raises Fenced unless `epoch` is newer than `newest`, the newest epoch that has begun."""
    if newest is not None and newest.number >= epoch.number:
        raise Fenced(f"Epoch {newest.number} has already begun on the engine at {newest.commands}.")


def refuse_outrun(head: Checkpoint, epoch: Epoch) -> None:
    """Raises Outrun unless `epoch` can begin after `head`, the store's last block."""
    if head.block_number >= epoch.first_block:
        raise Outrun(
            f"The store already has block {head.block_number}: no epoch can begin with block {epoch.first_block}."
        )
    if head.block_number == epoch.first_block - 1 and head.hash != epoch.prev_hash:
        raise Outrun(
            f"Block {head.block_number} in the store differs from that of the engine that would begin the epoch."
        )


def refuse_fenced(blocks: Sequence[StoredBlock], *, epoch: int, first_block: int) -> None:
    """Raises Fenced if `epoch` overrules one of `blocks`: from `first_block` on, one of an older epoch."""
    for block in blocks:
        if block.epoch < epoch and block.number >= first_block:
            raise Fenced(
                f"Block {block.number} is of epoch {block.epoch}, but epoch {epoch} began with block {first_block}: "
                "the engine that made the block was replaced."
            )


def refuse_gap(head: Checkpoint, blocks: Sequence[StoredBlock], hash_of: Callable[[int], int | None]) -> None:
    """Raises StoreReplaced unless `blocks` continue `head`, the store's last block, or repeat stored blocks.

    `hash_of` returns the hash of a stored block; it is called only for repeats before the head. Comparing one block is
    enough, because each contains the hash of the block before.
    """
    first, last, number = blocks[0], blocks[-1], head.block_number
    if first.number > number + 1:
        raise StoreReplaced(
            f"Block {first.number} was about to be stored, but the store ends with block {number} and lacks the blocks "
            "that it had after that: it is an older copy or another store. Restore the store that settlement used. If "
            "that one is lost, restart settlement: it requests the missing blocks from the engines."
        )
    common = min(number, last.number)
    ours = blocks[common - first.number].hash if common >= first.number else first.prev_hash
    theirs = head.hash if common == number else hash_of(common)
    if ours != theirs:
        raise StoreReplaced(
            f"Blocks {first.number} to {last.number} were about to be stored, but block {common} in the store is "
            "missing or has another hash than in their chain: it is another store, or another program wrote to it. "
            "Keep the store and find out which chain is the right one."
        )


def refuse_leap(*, projected: Checkpoint, appended: Checkpoint, batch: Checkpoint, follows: Checkpoint) -> None:
    """Raises StoreReplaced unless a batch of stored blocks continues the projections or repeats a part of them.

    `projected` and `appended` are the store's checkpoints. `batch` is the checkpoint after the batch, and `follows` the
    one before it.
    """
    if appended.block_number < batch.block_number:
        state = f"ends with block {appended.block_number}: it is an older copy or another store"
    elif projected != follows and projected.block_number < batch.block_number:
        number = projected.block_number
        state = f"is projected to block {number}: it is an older copy, or its projections are being rebuilt"
    else:
        return
    raise StoreReplaced(
        f"Blocks {follows.block_number + 1} to {batch.block_number} were about to be projected, but the store {state}. "
        "Restore the store that settlement used, or restart settlement: it continues from the state of this store."
    )


def refuse_skip(within: int, block_number: int, part: Slice) -> None:
    """Raises StoreReplaced unless slice `part` continues at event `within`, up to which the block is projected."""
    if part.after != within:
        raise StoreReplaced(
            f"Block {block_number} was about to be projected after event {part.after}, but the store is projected to "
            f"event {within} of it: it is an older copy or another store. Restore the store that settlement used, or "
            "restart settlement: it continues from the state of this store."
        )


def refuse_release(checkpoint: Checkpoint, stored: int | None, projected: Checkpoint) -> None:
    """Raises StoreReplaced unless block `checkpoint`, of which the store has the hash `stored`, can be released."""
    if stored != checkpoint.hash or projected.block_number < checkpoint.block_number:
        state = "is another one" if stored not in (None, checkpoint.hash) else "is missing or has no rows yet"
        raise StoreReplaced(
            f"Blocks up to {checkpoint.block_number} were about to be released, but this block of the store {state}: "
            "it is another store than the archived one, or its projections are being rebuilt."
        )


def refuse_other_anchor(released: Checkpoint, stored: int | None) -> None:
    """Raises StoreReplaced unless the store has the last released block, which always stays."""
    if stored != released.hash:
        raise StoreReplaced(
            f"Blocks up to {released.block_number} are released, but the store lacks this block or has another one: "
            "run doctor."
        )


def refuse_released(first: int, released: Checkpoint) -> None:
    """Raises NotReady if the blocks from `first` on, which would be replaced, are released in part."""
    if first <= released.block_number:
        raise NotReady(
            f"Blocks up to {released.block_number} are released to the archive, so block {first} cannot be replaced."
        )
