"""No log: a crash loses blocks that neither settlement nor a follower has. Writes no files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matching.core.blocks import Block
from matching.storage.disk import Disk
from matching.storage.input_logs import wal
from matching.storage.input_logs.base import UnreadLog


class MemoryLog:
    """`wal_folder` is where an earlier run of this engine may have written a write-ahead log."""

    name = "memory"

    def __init__(self, wal_folder: Path | None = None, disk: Disk | None = None) -> None:
        self._wal_folder = wal_folder
        self._disk = disk

    def blocks(self) -> Iterator[Block]:
        return iter(())

    def unread_log(self) -> UnreadLog | None:
        if self._wal_folder is None:
            return None
        newest = wal.newest_block(self._wal_folder, self._disk)
        return None if newest is None else UnreadLog(self._wal_folder, newest)

    def append(self, blocks: Sequence[Block]) -> None:
        """Does nothing: this log promises nothing."""

    def drop_before(self, number: int) -> None:
        """Does nothing: this log holds no blocks."""

    def close(self) -> None:
        """Does nothing: no file is open."""
