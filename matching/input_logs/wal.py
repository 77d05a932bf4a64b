"""The local write-ahead log: nothing that was answered is lost when the process or the machine dies.

The blocks of one turn are one record, on the disk before any of them is published or answered: one fsync for all who
send at that moment.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matching.blocks import Block
from matching.disk import Disk, Held, LocalDisk
from matching.errors import LogUnusable
from matching.segments import SEGMENT_BYTES, Segments

_REMEDY = "Restore the file from a copy; or, if settlement's store holds its blocks, move the folder away."


class WalLog:
    """Files under `folder`, which is made when the first block comes."""

    name = "wal"

    def __init__(self, folder: Path, disk: Disk | None = None, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._disk = disk or LocalDisk()
        self._lock = folder.with_name(f"{folder.name}.lock")
        self._held: Held | None = None
        self._segments = Segments(self._disk, folder, ".wal", _REMEDY, segment_bytes)

    def blocks(self) -> Iterator[Block]:
        self._hold()
        return self._segments.blocks()

    def append(self, blocks: Sequence[Block]) -> None:
        self._hold()
        self._segments.append(blocks)

    def drop_before(self, number: int) -> None:
        self._segments.drop_before(number)

    def close(self) -> None:
        self._segments.close()
        if self._held is not None:
            self._held.close()
            self._held = None

    def _hold(self) -> None:
        """Two engines that write into one log destroy it; reading mends its tail."""
        if self._held is not None:
            return
        try:
            self._held = self._disk.hold(self._lock)
        except BlockingIOError as error:
            raise LogUnusable(
                f"Another engine uses the write-ahead log under {self._segments.folder}: stop it first, or give this "
                "one a DATA_DIR of its own."
            ) from error
        except OSError as error:
            raise LogUnusable(f"{self._lock} cannot be opened: {error.strerror}.") from error
