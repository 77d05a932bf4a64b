"""Finds blocks by time and digest from their headers: small rows, while the data of a block may be large."""

from matching.core.hashes import hash_text
from settlement.stores.base import Store, StoredBlock


def header_of(store: Store, number: int) -> StoredBlock | None:
    """The block with empty `data`, which may be large."""
    found = next(iter(store.newest_blocks(1, number + 1)), None)
    return found if found is not None and found.number == number else None


def first_block_since(store: Store, time_ns: int) -> StoredBlock | None:
    """The header of the first block at or after a time; None: there is none.

    A block's time is never earlier than that of the block before, so a binary search finds it.
    """
    found = next(iter(store.newest_blocks(1)), None)
    if found is None or found.timestamp_ns < time_ns:
        return None
    first = 1
    while first < found.number:
        number = (first + found.number) // 2
        middle = header_of(store, number)
        if middle is None or middle.timestamp_ns < time_ns:  # None: it has left the store, as older ones
            first = number + 1
        else:
            found = middle
    return found


def first_event_since(store: Store, time_ns: int) -> int:
    """The sequence of the first event at or after a time; of the next one to come if there is none.

    The events of a block have its time.
    """
    block = first_block_since(store, time_ns)
    if block is not None:
        return block.first_event_sequence
    newest = next(iter(store.newest_blocks(1)), None)
    return newest.last_event_sequence + 1 if newest else 1


def first_unprojected_event(store: Store) -> int:
    """The sequence after the last event of the last block that is projected."""
    last = next(iter(store.newest_blocks(1, store.projected().block_number + 1)), None)
    return last.last_event_sequence + 1 if last else 1


def blocks_of_digest(store: Store, digest: str) -> list[StoredBlock]:
    """The blocks for which a signed checkpoint states this chain digest, newest first, with empty `data`.

    The signature is not checked. A checkpoint of a block that the store does not have, or has with another hash, counts
    for nothing.
    """
    found: dict[int, StoredBlock] = {}
    for checkpoint in store.checkpoints_of_digest(digest):
        header = header_of(store, checkpoint.block_number)
        if header and hash_text(header.hash) == checkpoint.state_hash:
            found[header.number] = header
    return list(found.values())
