"""The local write-ahead log: nothing that was answered is lost when the process or the machine dies.

The blocks of one turn are one record, on the disk before any of them is published or answered: one fsync for all who
send at that moment.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matching.core.blocks import Block
from matching.core.errors import LogUnusable
from matching.storage.disk import Disk, LocalDisk
from matching.storage.folder_lock import FolderLock
from matching.storage.segments import SEGMENT_BYTES, Segments

_SUFFIX = ".wal"
_REMEDY = "Restore the file from a copy; or, if settlement's store holds its blocks, move the folder away."
_REMEDY_UNREAD = (
    "It may hold answered blocks that settlement lacks: restore the file from a copy, or move the folder away to give "
    "them up."
)


class WalLog:
    """Files under `folder`, which is made when the first block comes."""

    name = "wal"

    def __init__(self, folder: Path, disk: Disk | None = None, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._disk = disk or LocalDisk()
        self._lock_file = folder.with_name(f"{folder.name}.lock")
        self._lock = FolderLock(self._disk, self._lock_file, f"the write-ahead log under {folder}")
        self._segments = Segments(self._disk, folder, _SUFFIX, _REMEDY, segment_bytes)

    def blocks(self) -> Iterator[Block]:
        self._hold()
        return self._segments.blocks()

    def left_behind(self) -> None:
        """Nothing: this reads the only log that makes files."""

    def append(self, blocks: Sequence[Block]) -> None:
        self._hold()
        self._segments.append(blocks)

    def drop_before(self, number: int) -> None:
        self._segments.drop_before(number)

    def close(self) -> None:
        self._segments.close()
        self._lock.close()

    def _hold(self) -> None:
        """Two engines that write into one log destroy it; reading mends its tail."""
        try:
            self._lock.hold()
        except OSError as error:
            raise LogUnusable(f"{self._lock_file} cannot be opened: {error.strerror}.") from error


def newest_block(folder: Path, disk: Disk | None = None) -> Block | None:
    """The last block of the log under `folder`, for who does not keep it: nothing is changed, and only its end is read.

    Raises LogDamaged, LogUnusable.
    """
    return Segments(disk or LocalDisk(), folder, _SUFFIX, _REMEDY_UNREAD).newest()
