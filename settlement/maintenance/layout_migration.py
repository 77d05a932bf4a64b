"""The command `migrate_layout`: carries a stopped exchange over to this program's record layout.

    1. The store gets the blocks that only the spill and the write-ahead log hold.
    2. An engine goes to the end of the chain. Blocks of a layout whose rules this program does not have cannot be
       executed: then it begins with a snapshot of the last one, which is kept in `layout-snapshots`.
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
from matching.storage.snapshot_files import SnapshotFolder
from settlement.errors import SnapshotNeeded, StoreDamaged
from settlement.maintenance import kept_blocks
from settlement.maintenance.filling import Progress, fill
from settlement.receive.chain import stored
from settlement.receive.earlier_layouts import ChainExecutor, is_executable, kept_states
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

    `leader` is the engine of DATA_DIR, for epochs that only its blocks tell of. Raises SnapshotNeeded, GapUnfilled,
    ChainConflict, StoreDamaged, LogUnusable, StoreError, OSError.
    """
    kept = kept_states(data_dir)
    filled = fill(store, kept_blocks.sources(data_dir), ChainExecutor(kept), leader)
    engine = _engine_at_end(store, folders, kept, progress)
    begun = []
    while engine.block_number and engine.layout_version < layout.LAYOUT_VERSION:
        epoch = newest(store.epochs())
        block = engine.migrate(max(engine.epoch, epoch.number if epoch else 0))
        store.append_blocks([stored(block)])
        begun.append(block.number)
    written = [folder.folder for folder in folders if _write_snapshot(folder, engine)]
    return Migrated(max(0, filled.last - filled.first + 1), begun, engine.block_number, written)


def _engine_at_end(store: Store, folders: Sequence[SnapshotFolder], kept: SnapshotFolder, progress: Progress) -> Engine:
    """An engine at the end of the store's chain, from the newest snapshot of this chain on."""
    last = store.appended().block_number
    engine = _restored(store, folders, kept)
    for row in store.blocks(engine.block_number + 1, last):
        try:
            block = Block.decode(row.data)
            if not is_executable(block):
                raise SnapshotNeeded(_NEEDED.format(last=last, version=block.layout_version, at=engine.block_number))
            block.verify(engine.block_number + 1, engine.state_hash)
            found = difference_when_executed(engine, block)
        except MatchingError as error:
            raise StoreDamaged(f"Block {row.number} of the store cannot be executed: {error}") from error
        if found:
            raise StoreDamaged(f"Block {row.number} of the store is not what its commands give: {found}.")
        progress(row.number, last)
    if engine.block_number != last:
        raise StoreDamaged(f"The store lacks block {engine.block_number + 1}: put back a copy of the store.")
    return engine


_NEEDED = (
    "The store ends with block {last}. This program cannot execute the blocks of record layout {version} after block "
    "{at}, of which it has a snapshot: start engine and settlement of the version before with "
    "SETTLEMENT_SNAPSHOT_BLOCKS=1, send any command, such as a cancel_all, and stop both when its block is settled. "
    "Then run migrate_layout again."
)


def _restored(store: Store, folders: Sequence[SnapshotFolder], kept: SnapshotFolder) -> Engine:
    """From the first of the folders that has snapshots. Engines and settlement trust only their own.

    A snapshot of an earlier layout is copied to `kept`.
    """
    folder = next((one for one in folders if one.numbers()), None)
    for number in reversed(folder.numbers() if folder else []):
        row = store.get_block(number)
        try:
            if folder and row is not None and folder.state_hash(number) == row.hash:
                engine = folder.load(number)
                if engine.layout_version < layout.LAYOUT_VERSION:
                    kept.write(number, folder.path_of(number).read_bytes())
                return engine
        except BadFile:
            continue  # the next older one; the process that reads it says so and renames it
    return Engine()


def _write_snapshot(folder: SnapshotFolder, engine: Engine) -> bool:
    """Whether a snapshot was written: if the folder is in use and its newest snapshot has an earlier layout."""
    numbers = folder.numbers()
    if not numbers or folder.layout_version(numbers[-1]) == layout.LAYOUT_VERSION:
        return False
    folder.write(engine.block_number, snapshots.encode(engine))
    return True
