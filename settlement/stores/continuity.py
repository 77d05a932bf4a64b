"""Whether what is about to be written continues what a store holds: an older copy of it, or another store, it does not.

Asked within each write, not only after failures: a database may be put back, or a standby that lacks the last commits
take over, while some other statement meets the change first and connects again as if nothing had been.
"""

from collections.abc import Callable, Sequence

from settlement.errors import StoreReplaced
from settlement.stores.base import Checkpoint, Slice, StoredBlock


def refuse_gap(head: Checkpoint, blocks: Sequence[StoredBlock], hash_of: Callable[[int], int | None]) -> None:
    """Lets blocks through that follow on `head`, the store's last one, or repeat what it holds. Raises StoreReplaced.

    `hash_of` a stored block is asked for repeats behind the head only. One block is compared: each holds the hash of
    the one before.
    """
    first, last, number = blocks[0], blocks[-1], head.block_number
    if first.number > number + 1:
        raise StoreReplaced(
            f"Block {first.number} was about to be stored, but the store ends with block {number} and lacks what it "
            "had after that: it is an older copy, or another store. Give settlement the one that it had; where that is "
            "lost, start it again, and it asks the engines for the missing blocks."
        )
    common = min(number, last.number)
    ours = blocks[common - first.number].hash if common >= first.number else first.prev_hash
    theirs = head.hash if common == number else hash_of(common)
    if ours != theirs:
        raise StoreReplaced(
            f"Blocks {first.number} to {last.number} were about to be stored, but the store holds another block "
            f"{common} than theirs, or lacks it: it is another store, or somebody else has written to it. Keep it, and "
            "find out which chain is the right one."
        )


def refuse_leap(at: Checkpoint, head: Checkpoint, batch: Checkpoint, follows: Checkpoint) -> None:
    """Lets a batch through that continues the projections, or repeats some, of blocks that are there.

    `at` is the store's `projected` checkpoint and `head` its `appended` one. Raises StoreReplaced.
    """
    if head.block_number < batch.block_number:
        is_at = f"ends with block {head.block_number}: it is an older copy, or another store"
    elif at != follows and at.block_number < batch.block_number:
        is_at = f"is projected to block {at.block_number}: it is an older copy, or its projections are being rebuilt"
    else:
        return
    raise StoreReplaced(
        f"Blocks {follows.block_number + 1} to {batch.block_number} were about to be projected, but the store {is_at}. "
        "Give settlement the one that it had, or start it again: it goes on from where this one is."
    )


def refuse_skip(within: int, block_number: int, part: Slice) -> None:
    """Lets a slice through that follows on event `within`, to which the block is projected. Raises StoreReplaced."""
    if part.after != within:
        raise StoreReplaced(
            f"Block {block_number} was about to be projected after event {part.after}, but the store is projected to "
            f"event {within} of it: it is an older copy, or another store. Give settlement the one that it had, or "
            "start it again: it goes on from where this one is."
        )
