"""Rebuilds a store from the archive: `manage.py restore_settlement --from-archive`.

Blocks are checked, executed again and appended in order, each epoch before its first block. Rows are then projected
from the stored blocks. A restore that was killed is continued by the next one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from archive.archive import Archive
from archive.errors import ArchiveDamaged
from archive.iceberg.schema import BLOCKS
from archive.manifests import Manifest
from matching.core.block_diff import ReExecutor, difference_when_executed
from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.core.errors import MatchingError
from matching.core.hashes import hash_text
from settlement.errors import NotReady, StoreNotEmpty
from settlement.receive.chain import stored
from settlement.stores.base import Store, StoredBlock

_BATCH_BLOCKS = 64
_BATCH_BYTES = 8 << 20

Progress = Callable[[int, int], object]
"""Called with (block, last block)."""


class Restored(NamedTuple):
    first: int
    last: int  # before `first`: nothing was added


def restore_blocks(
    archive: Archive, store: Store, engine: ReExecutor, progress: Progress = lambda block, last: None
) -> Restored:
    """Appends the archived blocks that the store lacks. `engine` is a new one.

    Raises StoreNotEmpty if the store has other blocks than the archive; NotReady if the archive has none;
    ArchiveDamaged, ArchiveUnavailable, StoreError.
    """
    manifests = archive.complete()
    if not manifests:
        raise NotReady("The archive has no complete day to restore from.")
    end = manifests[-1].last.number
    head = store.appended()
    missing = _missing_epochs(store, manifests[-1])
    batch: list[StoredBlock] = []
    size = 0
    for row in _checked(archive, manifests, engine):
        if row.number <= head.block_number:
            if row.number == head.block_number and row.hash != head.hash:
                raise StoreNotEmpty(f"The store has another block {row.number} than the archive: name an empty store.")
            continue
        begun = [epoch for epoch in missing if epoch.first_block <= row.number]
        if batch and (begun or len(batch) == _BATCH_BLOCKS or size > _BATCH_BYTES):
            store.append_blocks(batch)
            progress(batch[-1].number, end)
            batch, size = [], 0
        for epoch in begun:
            store.begin_epoch(epoch)
        missing = missing[len(begun) :]
        batch.append(row)
        size += len(row.data)
    if batch:
        store.append_blocks(batch)
        progress(batch[-1].number, end)
    return Restored(head.block_number + 1, max(head.block_number, end))


def _missing_epochs(store: Store, last: Manifest) -> list[Epoch]:
    known = {epoch.number for epoch in store.epochs()}
    return sorted(epoch for epoch in last.epochs if epoch.number not in known)


def _checked(archive: Archive, manifests: Sequence[Manifest], engine: ReExecutor) -> Iterator[StoredBlock]:
    """All archived blocks in order, each of which is what its commands give. Raises ArchiveDamaged."""
    number = digest = 0
    for manifest in manifests:
        for batch in archive.tables.batches(BLOCKS, manifest.partition):
            for row in BLOCKS.rows(batch):
                number += 1
                block = _check(row, number, digest, engine)
                digest = block.hash
                yield block
        if (number, digest) != manifest.last:
            raise ArchiveDamaged(
                f"The archived blocks of {manifest.partition.day} end with {number}, hash {hash_text(digest)}, and not "
                "as its manifest says: run verify_archive."
            )


def _check(row: StoredBlock, number: int, prev_hash: int, engine: ReExecutor) -> StoredBlock:
    """The row for the store, made from the block's bytes. Raises ArchiveDamaged."""
    try:
        block = Block.decode(row.data)
        block.verify(number, prev_hash)
        found = difference_when_executed(engine, block)
    except MatchingError as error:
        raise ArchiveDamaged(f"The archived block {number} cannot be restored: {error}") from error
    if found:
        raise ArchiveDamaged(f"The archived block {number} is not what its commands give: run verify_archive.")
    return stored(block)
