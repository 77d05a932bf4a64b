"""The command `migrate_layout`: carries a stopped exchange over to this program's record layout.

    1. The store gets the blocks that only the spill and the write-ahead log hold.
    2. An engine goes to the end of the chain. It does not execute blocks of earlier rules, but applies their events.
       The state is compared with the snapshots of the program before.
    3. The migration block, which begins the new layout, is appended to the store.
    4. Each folder that has snapshots gets one of the state after that block.

Step 3 is one transaction. Every step can be repeated, so the command can be killed at any time and run again. Nothing
is removed: the blocks and rows of the old layout stay, and so do the files, which are dropped as they become old.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matching.core import layout, snapshots
from matching.core.block_diff import difference_when_executed
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch, newest
from matching.core.errors import BadFile, MatchingError
from matching.core.migrations.state import is_same_in_earlier_layout
from matching.storage.snapshot_files import SnapshotFolder
from settlement.errors import StoreDamaged
from settlement.maintenance import kept_blocks
from settlement.maintenance.filling import Progress, fill
from settlement.receive.chain import stored
from settlement.stores.base import Store


class Migrated(NamedTuple):
    """What was done."""

    filled: int  # blocks that were added to the store from files
    begun: list[int]  # numbers of the migration blocks that were appended
    block: int  # the store's last block
    written: list[Path]  # folders that got a snapshot


def migrate(
    store: Store,
    data_dir: Path,
    folders: Sequence[SnapshotFolder],
    leader: Epoch,
    progress: Progress = lambda done, last: None,
) -> Migrated:
    """`folders` hold the snapshots of settlement's and of the engine's state, settlement's first.

    `leader` is the engine of DATA_DIR, for epochs that only its blocks tell of. Raises GapUnfilled, ChainConflict,
    StoreDamaged, LogUnusable, StoreError, OSError.
    """
    filled = fill(store, kept_blocks.sources(data_dir), Engine(), leader)
    engine = _engine_at_end(store, folders, progress)
    begun = []
    while engine.block_number and engine.layout_version < layout.LAYOUT_VERSION:
        epoch = newest(store.epochs())
        block = engine.migrate(max(engine.epoch, epoch.number if epoch else 0))
        store.append_blocks([stored(block)])
        begun.append(block.number)
    for folder in folders:
        _reject_newer(folder, engine.block_number)
    written = [folder.folder for folder in folders if _write_snapshot(folder, engine)]
    return Migrated(max(0, filled.last - filled.first + 1), begun, engine.block_number, written)


def _engine_at_end(store: Store, folders: Sequence[SnapshotFolder], progress: Progress) -> Engine:
    """An engine at the end of the store's chain, from the newest snapshot of today's layout on, or from block 1."""
    last = store.appended().block_number
    engine = _restored(store, folders)
    compared = [(number, folder) for folder in folders for number in _of_earlier_layout(folder)]
    for row in store.blocks(engine.block_number + 1, last):
        try:
            block = Block.decode(row.data)
            block.verify(engine.block_number + 1, engine.state_hash)
            found = difference_when_executed(engine, block)
        except MatchingError as error:
            raise StoreDamaged(f"Block {row.number} of the store cannot be executed: {error}") from error
        if found:
            raise StoreDamaged(f"Block {row.number} of the store is not what its commands give: {found}.")
        for number, folder in compared:
            if number == block.number:
                _compare(folder, engine)
        progress(row.number, last)
    if engine.block_number != last:
        raise StoreDamaged(f"The store lacks block {engine.block_number + 1}: put back a copy of the store.")
    return engine


def _restored(store: Store, folders: Sequence[SnapshotFolder]) -> Engine:
    """From the first of the folders that has snapshots. Engines and settlement trust only their own."""
    folder = next((one for one in folders if one.numbers()), None)
    for number in reversed(folder.numbers() if folder else []):
        row = store.get_block(number)
        try:
            if folder and row is not None and folder.state_hash(number) == row.hash:
                engine = folder.load(number)
                if engine.layout_version == layout.LAYOUT_VERSION:
                    return engine
        except BadFile:
            continue  # the next older one; the process that reads it says so and renames it
    return Engine()


def _compare(folder: SnapshotFolder, engine: Engine) -> None:
    """Compares the state with the folder's snapshot of this block, which has an earlier layout.

    The program before executed the commands to make it, this one has applied their events. Raises StoreDamaged.
    """
    number = engine.block_number
    try:
        found = folder.load(number)
    except BadFile:
        return
    if found.state_hash == engine.state_hash and not is_same_in_earlier_layout(found, engine):
        raise StoreDamaged(
            f"Blocks 1 to {number} of the store do not give the state in {folder.path_of(number)}: one of them was "
            "changed. Put back a copy of the store from before."
        )


def _of_earlier_layout(folder: SnapshotFolder) -> list[int]:
    return [number for number in folder.numbers() if 0 < folder.layout_version(number) < layout.LAYOUT_VERSION]


def _reject_newer(folder: SnapshotFolder, last: int) -> None:
    """Rejects snapshots of an earlier layout whose blocks are nowhere, as the program before does at its start."""
    for number in _of_earlier_layout(folder):
        if number > last:
            folder.reject(number, "It is newer than every durable block.")


def _write_snapshot(folder: SnapshotFolder, engine: Engine) -> bool:
    """Whether a snapshot was written: if the folder is in use and its newest snapshot has an earlier layout."""
    numbers = folder.numbers()
    if not numbers or folder.layout_version(numbers[-1]) == layout.LAYOUT_VERSION:
        return False
    folder.write(engine.block_number, snapshots.encode(engine))
    return True
