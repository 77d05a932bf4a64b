"""No log: a crash loses what neither settlement nor a follower has yet. Makes no file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matching.core.blocks import Block
from matching.storage.disk import Disk
from matching.storage.input_logs import wal
from matching.storage.input_logs.base import LeftBehind


class MemoryLog:
    """`wal_folder` is where this engine would keep a write-ahead log, and may have kept one."""

    name = "memory"

    def __init__(self, wal_folder: Path | None = None, disk: Disk | None = None) -> None:
        self._wal_folder = wal_folder
        self._disk = disk

    def blocks(self) -> Iterator[Block]:
        return iter(())

    def left_behind(self) -> LeftBehind | None:
        if self._wal_folder is None:
            return None
        newest = wal.newest_block(self._wal_folder, self._disk)
        return None if newest is None else LeftBehind(self._wal_folder, newest)

    def append(self, blocks: Sequence[Block]) -> None:
        """Nothing is promised, so nothing is done."""

    def drop_before(self, number: int) -> None:
        """Nothing is held, so nothing is dropped."""

    def close(self) -> None:
        """Nothing is open."""
