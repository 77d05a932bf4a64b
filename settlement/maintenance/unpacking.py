"""What `restore` takes from a backup besides its blocks: keys, the engine's name, a snapshot, operators' accounts."""

from collections.abc import Sequence
from pathlib import Path

from matching.core.epochs import Epoch
from matching.storage.disk import LocalDisk
from settlement.errors import BackupUnusable, ChainConflict, StoreNotEmpty
from settlement.maintenance import backup, operators
from settlement.maintenance.backup import Manifest
from settlement.maintenance.kept_blocks import blocks_of
from settlement.stores.base import Checkpoint, DeadLetter, Store

_ROOT_PUBLIC = "root.pub"


def refuse_other_content(store: Store, manifest: Manifest, folder: Path) -> None:
    """Raises StoreNotEmpty if the store has another chain than the backup, or epochs that contradict it.

    A store that has a part of the chain, or continues it, is accepted: an older copy, or a restore that was killed.
    """
    last = store.appended()
    if not (_is_same_chain(store, last, manifest, folder) and _are_epochs_alike(store.epochs(), manifest)):
        raise StoreNotEmpty(
            f"The store is not empty (last block {last.block_number}) and has other blocks or epochs than the backup "
            f"{folder}, which ends with block {manifest.block}: move the database away, or name an empty one in "
            "DATABASE_URL. Without a folder, restore adds to this store what spill and write-ahead log hold."
        )


def _is_same_chain(store: Store, last: Checkpoint, manifest: Manifest, folder: Path) -> bool:
    """One block is enough, because each has the hash of the block before."""
    common = min(last.block_number, manifest.block)
    row = store.get_block(common)
    of_backup = (block.hash for block in blocks_of(backup.source_of(folder)) if block.number == common)
    return not common or (row is not None and next(of_backup, None) == row.hash)


def _are_epochs_alike(known: Sequence[Epoch], manifest: Manifest) -> bool:
    of_backup = {epoch.number: epoch for epoch in manifest.epochs}
    return all(
        epoch == of_backup[epoch.number] if epoch.number in of_backup else epoch.first_block > manifest.block
        for epoch in known
    )


def copy_files(folder: Path, data_dir: Path) -> None:
    """Copies the files that DATA_DIR lacks. Raises ChainConflict for keys of another exchange; BackupUnusable."""
    try:
        mine, theirs = (place / "keys" / _ROOT_PUBLIC for place in (data_dir, folder))
        if mine.exists() and theirs.exists() and mine.read_bytes() != theirs.read_bytes():
            raise ChainConflict(
                f"The keys in {data_dir / 'keys'} are of another exchange than the backup {folder}: move them away, or "
                "restore into another DATA_DIR."
            )
        copied = [*backup.files_below(folder, "keys"), *backup.files_below(folder, "snapshots")]
        if (folder / backup.ENGINE_ID).exists():
            copied.append(folder / backup.ENGINE_ID)
        for path in copied:
            target = data_dir / path.relative_to(folder)
            if not target.exists():
                LocalDisk().write_whole(target, path.read_bytes())
    except OSError as error:
        raise BackupUnusable(f"{error.filename or folder} cannot be copied: {error.strerror}.") from error


def add_records(folder: Path, store: Store, now_ns: int) -> None:
    """Adds accounts and dead letters. The letters' rows were projected again, so all of them are resolved."""
    operators.load(folder / backup.ACCOUNTS)
    for fields in backup.letters_of(folder):
        letter = DeadLetter(**fields)
        if store.get_dead_letter(letter.id) is None:
            store.put_dead_letter(letter._replace(resolved_at_ns=letter.resolved_at_ns or now_ns))
