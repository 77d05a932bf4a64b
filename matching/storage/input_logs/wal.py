"""Local write-ahead log: no answered command is lost if the process or the machine crashes.

The blocks of one turn are written as one record with one fsync, before any of them is published or answered.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matching.core.blocks import Block
from matching.core.errors import LogUnusable
from matching.storage.disk import Disk, LocalDisk
from matching.storage.folder_lock import FolderLock
from matching.storage.segments import SEGMENT_BYTES, SegmentFile, Segments

_SUFFIX = ".wal"
_REMEDY = "Restore the file from a copy, or move the folder away if settlement's store has its blocks."
_REMEDY_UNREAD = (
    "It may hold answered blocks that settlement lacks: restore the file from a copy, or move the folder away to "
    "discard them."
)


class WalLog:
    """A log in files under `folder`, which is created with the first block."""

    name = "wal"

    def __init__(self, folder: Path, disk: Disk | None = None, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._disk = disk or LocalDisk()
        self._lock_file = folder.with_name(f"{folder.name}.lock")
        self._lock = FolderLock(self._disk, self._lock_file, f"the write-ahead log under {folder}")
        self._segments = Segments(self._disk, folder, _SUFFIX, _REMEDY, segment_bytes)

    def blocks(self) -> Iterator[Block]:
        self._hold()
        return self._segments.blocks()

    def unread_log(self) -> None:
        """None: this is the only log that writes files, and it reads them."""

    def append(self, blocks: Sequence[Block]) -> None:
        self._hold()
        self._segments.append(blocks)

    def drop_before(self, number: int) -> None:
        self._segments.drop_before(number)

    def close(self) -> None:
        self._segments.close()
        self._lock.close()

    def _hold(self) -> None:
        """Locks the log: two writers would destroy it, and reading truncates an incomplete record at its end."""
        try:
            self._lock.hold()
        except OSError as error:
            raise LogUnusable(f"{self._lock_file} cannot be opened: {error.strerror}.") from error


def newest_block(folder: Path, disk: Disk | None = None) -> Block | None:
    """The last block of the log under `folder`, without changing it. Reads only the end of the log.

    Raises LogDamaged, LogUnusable.
    """
    return Segments(disk or LocalDisk(), folder, _SUFFIX, _REMEDY_UNREAD).newest()


def examine(folder: Path, disk: Disk | None = None) -> Iterator[SegmentFile]:
    """The files of the log under `folder`, of an engine that may be running, without changing them.

    Raises LogUnusable.
    """
    return Segments(disk or LocalDisk(), folder, _SUFFIX, _REMEDY_UNREAD).examine()
