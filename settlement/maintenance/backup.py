"""Backups: a folder that holds what an exchange needs to begin again, consistent at one block, for every kind of store.

    blocks/*.blocks     the chain of blocks from block 1 on, in the files that the write-ahead log has too
    snapshots/          the newest snapshot of that chain, which only saves time
    keys/               key files and register; root.key only on request
    engine-id           the name of the engine, which the epochs name
    accounts.json       operators: users and groups of the back office, with the hashes of their passwords
    dead_letters.json   blocks whose rows the store rejected; a restore adds them as resolved
    manifest.json       the last block, the epochs, and size and SHA-256 of every other file; written last

Rows are not in it: trades, orders, ledger entries, balances and the CSV trail are made again from the blocks.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matching.core import layout
from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.core.errors import BadBlock, BadFile, MatchingError
from matching.core.hashes import hash_text, hash_value
from matching.storage.disk import Disk, LocalDisk, make_folder
from matching.storage.segments import Segments
from matching.storage.snapshot_files import SnapshotFolder
from settlement.errors import BackupUnusable, StoreDamaged
from settlement.maintenance.kept_blocks import NO_BLOCK, Link, Source, blocks_of, link_of
from settlement.stores.base import Store

MANIFEST = "manifest.json"
ENGINE_ID = "engine-id"
ACCOUNTS = "accounts.json"
ROOT_KEY = "root.key"

_FORMAT = 1
_BLOCKS = "blocks"
_LETTERS = "dead_letters.json"
_SUFFIX = ".blocks"
_REMEDY = "Take another backup."
_BATCH_BLOCKS = 256
_BATCH_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int], object]
"""Called with (block, last block)."""


class Manifest(NamedTuple):
    first_hash: int  # of block 1: identifies the exchange; 0: there are no blocks
    block: int
    hash: int
    epochs: list[Epoch]
    files: dict[str, dict[str, Any]]  # path in the folder → bytes and sha256


def write(
    folder: Path,
    *,
    store: Store,
    data_dir: Path,
    accounts: str,
    with_root_key: bool,
    time_ns: int,
    progress: Progress = lambda done, last: None,
) -> Manifest:
    """Writes a backup into `folder`, which must be new or empty, and reads all of it again.

    The exchange may run: the backup ends with the block that is the store's last one now. Raises BackupUnusable,
    StoreDamaged, StoreError.
    """
    disk = LocalDisk()
    try:
        if folder.exists() and any(folder.iterdir()):
            raise BackupUnusable(f"{folder} is not empty: name a new folder for the backup.")
        make_folder(folder)
        last = store.appended().block_number
        epochs = store.epochs()  # after `last`, so that those of all blocks are among them
        end = _write_blocks(folder, store, last, progress)
        _copy_snapshot(folder, store, data_dir, last)
        _copy_keys(folder, data_dir, with_root_key=with_root_key)
        letters = [store.get_dead_letter(letter.id) for letter in store.dead_letters(unresolved_only=False)]
        _put(disk, folder / _LETTERS, json.dumps([letter._asdict() for letter in letters if letter]))
        _put(disk, folder / ACCOUNTS, accounts)
        if (data_dir / ENGINE_ID).exists():
            disk.write_whole(folder / ENGINE_ID, (data_dir / ENGINE_ID).read_bytes())
        manifest = Manifest(
            first_hash=next((block.hash for block in blocks_of(source_of(folder))), 0),
            block=end.number,
            hash=end.hash,
            epochs=[epoch for epoch in epochs if _is_of(epoch, end)],
            files={str(path.relative_to(folder)): _digest(path) for path in _files(folder)},
        )
        _put(disk, folder / MANIFEST, json.dumps(_form(manifest, time_ns), indent=1))
    except OSError as error:
        raise BackupUnusable(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    return read(folder)


def read(folder: Path) -> Manifest:
    """The manifest of a backup, after every file and the whole chain were checked. Raises BackupUnusable."""
    manifest = _read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            found = _digest(path)
        except OSError as error:
            raise BackupUnusable(f"The backup lacks {path} ({error.strerror}). {_REMEDY}") from error
        if found != expected:
            raise BackupUnusable(f"{path} is not the file that the backup was made with: it was changed. {_REMEDY}")
    end = NO_BLOCK
    try:
        for block in blocks_of(source_of(folder)):
            block.verify(end.number + 1, end.hash)
            end = link_of(block)
    except MatchingError as error:
        raise BackupUnusable(f"The blocks in {folder} are damaged: {error} {_REMEDY}") from error
    if (end.number, end.hash) != (manifest.block, manifest.hash):
        raise BackupUnusable(f"The blocks in {folder} end with {end.number}, not with {manifest.block}. {_REMEDY}")
    return manifest


def source_of(folder: Path) -> Source:
    """The blocks of a backup."""
    return Source("backup", str(folder / _BLOCKS), lambda: _segments(folder).examine())


def files_below(folder: Path, name: str) -> list[Path]:
    """The backup's files in one of its folders."""
    return sorted(path for path in (folder / name).glob("*") if path.is_file())


def letters_of(folder: Path) -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = json.loads((folder / _LETTERS).read_text(encoding="utf-8"))
    return letters


def _write_blocks(folder: Path, store: Store, last: int, progress: Progress) -> Link:
    segments, end = _segments(folder), NO_BLOCK
    batch: list[Block] = []
    for row in store.blocks(1, last):
        try:
            block = Block.decode(row.data)
            block.verify(end.number + 1, end.hash)
        except BadBlock as error:
            raise StoreDamaged(f"Block {end.number + 1} of the store is damaged: {error} Run doctor.") from error
        end = link_of(block)
        batch.append(block)
        if len(batch) == _BATCH_BLOCKS or sum(len(one.data) for one in batch) > _BATCH_BYTES:
            segments.append(batch)
            progress(end.number, last)
            batch = []
    if batch:
        segments.append(batch)
    segments.close()
    if end.number != last:
        raise StoreDamaged(f"The store lacks block {end.number + 1}: run doctor.")
    return end


def _segments(folder: Path) -> Segments:
    return Segments(LocalDisk(), folder / _BLOCKS, _SUFFIX, _REMEDY)


def _copy_snapshot(folder: Path, store: Store, data_dir: Path, last: int) -> None:
    """The newest one that is of the stored chain; none if there is no such file."""
    kept = SnapshotFolder(LocalDisk(), data_dir / "snapshots", keep=1)
    for number in reversed(kept.numbers()):
        row = store.get_block(number) if number <= last else None
        try:
            if row is None or kept.state_hash(number) != row.hash:
                continue
            data = kept.path_of(number).read_bytes()
        except (BadFile, FileNotFoundError):  # damaged, or removed meanwhile because there are newer ones
            continue
        SnapshotFolder(LocalDisk(), folder / "snapshots", keep=1).write(number, data)
        return


def _copy_keys(folder: Path, data_dir: Path, *, with_root_key: bool) -> None:
    disk: Disk = LocalDisk()
    for path in files_below(data_dir, "keys"):
        is_copied = path.suffix in (".key", ".pub", ".json") and not path.name.startswith(".")
        if is_copied and (with_root_key or path.name != ROOT_KEY):
            disk.write_whole(folder / "keys" / path.name, path.read_bytes())


def _is_of(epoch: Epoch, end: Link) -> bool:
    """Whether the epoch began within the chain, or right after its end."""
    return epoch.first_block <= end.number or (epoch.first_block, epoch.prev_hash) == (end.number + 1, end.hash)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _digest(path: Path) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _put(disk: Disk, path: Path, text: str) -> None:
    disk.write_whole(path, f"{text}\n".encode())


def _form(manifest: Manifest, time_ns: int) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "layout_version": layout.LAYOUT_VERSION,
        "written_at_ns": time_ns,
        "first_hash": hash_text(manifest.first_hash),
        "block": manifest.block,
        "hash": hash_text(manifest.hash),
        "epochs": [{**epoch._asdict(), "prev_hash": hash_text(epoch.prev_hash)} for epoch in manifest.epochs],
        "files": manifest.files,
    }


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        form = json.loads(path.read_bytes())
        if (form["format"], form["layout_version"]) != (_FORMAT, layout.LAYOUT_VERSION):
            raise BackupUnusable(f"{folder} is a backup of another version of this program: restore it with that one.")
        epochs = [Epoch(**{**epoch, "prev_hash": hash_value(epoch["prev_hash"])}) for epoch in form["epochs"]]
        names: Sequence[str] = list(form["files"])
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
            raise BackupUnusable(f"{path} names files outside of the backup.")
        return Manifest(
            hash_value(form["first_hash"]), int(form["block"]), hash_value(form["hash"]), epochs, dict(form["files"])
        )
    except FileNotFoundError as error:
        raise BackupUnusable(f"{folder} has no {MANIFEST}: it is no backup, or one that was not finished.") from error
    except OSError as error:
        raise BackupUnusable(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupUnusable(f"{path} is not the manifest of a backup: it was changed. {_REMEDY}") from error
