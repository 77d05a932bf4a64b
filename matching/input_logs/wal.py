"""The local write-ahead log: nothing that was answered is lost when the process or the machine dies.

The blocks of one turn are one record, on the disk before any of them is published or answered: one fsync for all who
send at that moment.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matching.blocks import Block
from matching.disk import Disk, LocalDisk
from matching.segments import SEGMENT_BYTES, Segments

_REMEDY = "Restore the file from a copy; or, if settlement's store holds its blocks, move the folder away."


class WalLog:
    """Files under `folder`, which is made when the first block comes."""

    name = "wal"

    def __init__(self, folder: Path, disk: Disk | None = None, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._segments = Segments(disk or LocalDisk(), folder, ".wal", _REMEDY, segment_bytes)

    def blocks(self) -> Iterator[Block]:
        return self._segments.blocks()

    def append(self, blocks: Sequence[Block]) -> None:
        self._segments.append(blocks)

    def drop_before(self, number: int) -> None:
        self._segments.drop_before(number)

    def close(self) -> None:
        self._segments.close()
