"""Re-executes a chain that began in a record layout whose rules this program does not have.

Blocks of such a layout are passed over: their hashes are checked, their commands are not executed. Execution begins at
the migration block that follows them, from the snapshot of the block before it, which `migrate_layout` has kept. The
migration block contains the digest of that state, so another state is noticed.
"""

from pathlib import Path

from matching.core import migrations
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import BadMessage
from matching.storage.disk import LocalDisk
from matching.storage.snapshot_files import SnapshotFolder

FOLDER = "layout-snapshots"
_KEPT = 1000
"""More than a chain has layouts: none is ever removed."""


def kept_states(data_dir: Path) -> SnapshotFolder:
    """The snapshots of the last block of each earlier layout, in the form of that layout."""
    return SnapshotFolder(LocalDisk(), data_dir / FOLDER, _KEPT)


def is_executable(block: Block) -> bool:
    """Whether an engine of this program executes the block's commands, if it has any."""
    return not block.command_count or block.layout_version >= migrations.FIRST_LAYOUT_WITH_TRIGGERS


class ChainExecutor:
    """A `matching.core.block_diff.ReExecutor` for all blocks of a chain, from block 1 on."""

    def __init__(self, kept: SnapshotFolder) -> None:
        self._kept = kept
        self._numbers = set(kept.numbers())
        self._engine = Engine()

    def follow(self, block: Block) -> Block:
        """Executes a block; returns the block itself if it is passed over. Raises MatchingError."""
        if self._engine.block_number != block.number - 1:
            self._begin_before(block)
        if self._engine.block_number == block.number - 1 and is_executable(block):
            return self._engine.follow(block)
        if block.layout_version >= migrations.FIRST_LAYOUT_WITH_TRIGGERS:
            raise BadMessage(
                f"Block {block.number} begins record layout {block.layout_version}, and the snapshot of block "
                f"{block.number - 1} that migrate_layout made is not in {self._kept.folder}: put it back."
            )
        return block

    def _begin_before(self, block: Block) -> None:
        """Loads the kept state of the block before, if there is one."""
        number = block.number - 1
        if number in self._numbers and self._kept.state_hash(number) == block.prev_hash:
            self._engine = self._kept.load(number)
