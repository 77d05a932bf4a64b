"""The spill: files under DATA_DIR/spill with blocks that wait for an unavailable store.

The blocks have consecutive numbers and continue those of the store. Blocks in the spill are as durable as the disk and
may be confirmed to the engine, because an engine that recovers reads them too (`peek`). When the store has all of them
the files are deleted.
"""

from collections.abc import Callable, Iterator, Sequence
from os import SEEK_END
from pathlib import Path

import structlog

from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.core.errors import HashMismatch, LogDamaged, LogFull, LogUnusable
from matching.storage.disk import Disk, LocalDisk
from matching.storage.segments import SegmentFile, Segments
from settlement.durable.claim import Claim
from settlement.errors import SpillDamaged, SpillUnusable
from settlement.stores.base import Checkpoint

log = structlog.get_logger(__name__)

SUFFIX = ".spill"
SEGMENT_BYTES = 8 << 20
"""Size of a file; files are read and deleted as a whole."""
_APPEND_BYTES = 4 << 20
_READ_BYTES = 32 << 20
_OVERHEAD_BYTES = 32  # per block, at most
_REMEDY = "If the store or the engine has its blocks, move the folder away; otherwise restore it from a copy."


class Spill:
    """The spill of one settlement process; other processes only `peek`."""

    def __init__(
        self, folder: Path, max_bytes: int, disk: Disk | None = None, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Reads the blocks of an earlier process and truncates a torn record. Raises SpillDamaged, SpillUnusable."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._disk = disk or LocalDisk()
        self._claim = Claim(folder, disk=self._disk)
        self._segments = Segments(self._disk, folder, SUFFIX, _REMEDY, segment_bytes)
        self._reader: Iterator[Block] | None = None
        self._read_ahead: Block | None = None
        self._is_failed = False  # a sync failed, so the end of the files is unknown and nothing more is written
        self.head: Checkpoint | None = None  # the last block in the spill
        self.first_number = 0  # the first block that the store may not have; 0: the spill is empty
        self._oldest: list[str] = []  # name of the first file when `bytes` was last computed
        self.full = False  # the last append could not write all blocks
        for block in self._checked(self._segments.blocks()):
            self.first_number = self.first_number or block.number
            self.head = _checkpoint(block)
        self._next_number = self.first_number
        self.bytes = self._size_of_files()

    @property
    def last_number(self) -> int:
        """0 if the spill is empty."""
        return self.head.block_number if self.head else 0

    @property
    def blocks(self) -> int:
        """The number of blocks in the spill."""
        return self.last_number - self.first_number + 1 if self.head else 0

    @property
    def is_claimed(self) -> bool:
        """Whether there are blocks, and an engine is about to begin an epoch that may overrule them."""
        try:
            return self.blocks > 0 and self._claim.is_made
        except OSError as error:
            raise SpillUnusable(f"{self._folder} cannot be used: {error.strerror}.") from error

    def end_claim(self, newest_epoch: Epoch | None) -> None:
        """Removes claims that are older than this epoch. Raises SpillUnusable."""
        try:
            self._claim.remove_older(newest_epoch.number if newest_epoch else 0)
        except OSError as error:
            raise SpillUnusable(f"{self._folder} cannot be used: {error.strerror}.") from error

    def append(self, blocks: Sequence[Block]) -> int:
        """Appends blocks that continue the spill; returns how many of them are durable, counted from the first.

        Not all of them if `max_bytes` is reached, or if the disk is full or fails.
        """
        assert not self.head or blocks[0].number == self.last_number + 1, "blocks have consecutive numbers"
        taken = 0
        for part in _parts(blocks):
            size = sum(len(block.data) + _OVERHEAD_BYTES for block in part)
            if self.bytes + size > self._max_bytes or not self._write(part):
                self.full = True
                return taken
            if not self.head:
                self.first_number = self._next_number = part[0].number
            self.head = _checkpoint(part[-1])
            self.bytes += size
            taken += len(part)
        self.full = False
        return taken

    def read(self, limit: int, accepts: Callable[[Block], bool] = lambda block: True) -> list[Block]:
        """The next blocks. Ends after `limit` blocks, after about _READ_BYTES, or before one that `accepts` rejects.

        Raises SpillDamaged, SpillUnusable.
        """
        blocks: list[Block] = []
        size = 0
        while len(blocks) < limit and self.head and self._next_number <= self.last_number and size < _READ_BYTES:
            block = self._read_one()
            size += len(block.data)
            if not accepts(block):
                self._read_ahead = block
                break
            self._next_number += 1
            blocks.append(block)
        return blocks

    def restart_reading(self) -> None:
        """Makes `read` start again with the first block that is not marked as stored."""
        self._reader = self._read_ahead = None
        self._next_number = self.first_number

    def mark_stored(self, number: int) -> None:
        """Call when the store has all blocks up to `number`: deletes files with only such blocks.

        Raises SpillUnusable.
        """
        if not self.head or number < self.first_number:
            return
        try:
            if number >= self.last_number:
                self._segments.clear()
                self._forget()
            else:
                self._segments.drop_before(number + 1)
                self.first_number = number + 1
                self._next_number = max(self._next_number, self.first_number)
                if self._disk.names(self._folder, SUFFIX)[:1] != self._oldest:
                    self.bytes = self._size_of_files()
                    self.full = False  # if the disk is still full, the next append sets it again
        except LogUnusable as error:
            raise SpillUnusable(str(error)) from error

    def set_aside(self, epoch: int) -> list[Path]:
        """Renames the files, whose blocks `epoch` overrules, so that they are not read again. Raises SpillUnusable."""
        self._segments.close()
        aside = []
        try:
            for name in self._disk.names(self._folder, SUFFIX):
                aside.append(self._folder / f"{name}.overruled-by-epoch-{epoch}")
                self._disk.rename(self._folder / name, aside[-1])
            self._disk.sync_folder(self._folder)
        except OSError as error:
            raise SpillUnusable(f"{self._folder} cannot be written: {error.strerror}.") from error
        self._forget()
        return aside

    def close(self) -> None:
        self._segments.close()

    def _write(self, blocks: Sequence[Block]) -> bool:
        if self._is_failed:
            return False
        try:
            self._segments.append(blocks)
        except LogFull as error:
            log.warning("settlement.spill_disk_full", error=str(error))
            return False
        except LogUnusable as error:
            # After a failed sync it is unknown what is on the disk, so nothing is appended after earlier records.
            log.error("settlement.spill_write_failed", error=str(error))
            self._is_failed = True
            self._segments.close()
            return False
        return True

    def _read_one(self) -> Block:
        """The next block. Tries twice, because files may have grown after the reader reached their end."""
        if self._read_ahead is not None:
            block, self._read_ahead = self._read_ahead, None
            return block
        for _ in range(2):
            # `peek`, because `blocks` truncates a torn record, and blocks have been appended since the start.
            self._reader = self._reader or self._checked(self._segments.peek())
            while (found := next(self._reader, None)) is not None:
                if found.number == self._next_number:
                    return found
            self._reader = None
        raise SpillDamaged(f"Block {self._next_number} was written to {self._folder} but is missing now: {_REMEDY}")

    def _checked(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Verifies the hash of each block and that it continues the one before."""
        before: Block | None = None
        try:
            for block in blocks:
                block.verify(before.number + 1 if before else block.number, before.hash if before else block.prev_hash)
                before = block
                yield block
        except (LogDamaged, HashMismatch) as error:
            raise SpillDamaged(f"{self._folder} is damaged: {error}") from error
        except LogUnusable as error:
            raise SpillUnusable(str(error)) from error

    def _size_of_files(self) -> int:
        size, names = 0, self._disk.names(self._folder, SUFFIX)
        self._oldest = names[:1]
        try:
            for name in names:
                with self._disk.open(self._folder / name) as file:
                    size += file.seek(0, SEEK_END)
        except OSError as error:
            raise SpillUnusable(f"{self._folder} cannot be read: {error.strerror}.") from error
        return size

    def _forget(self) -> None:
        self.head = self._reader = self._read_ahead = None
        self.first_number = self._next_number = self.bytes = 0
        self.full = self._is_failed = False


def peek(folder: Path, disk: Disk | None = None) -> Iterator[Block]:
    """The blocks in the spill of a settlement that may be running, read-only, for an engine that recovers.

    Raises LogUnusable.
    """
    return Segments(disk or LocalDisk(), folder, SUFFIX, _REMEDY).peek()


def examine(folder: Path, disk: Disk | None = None) -> Iterator[SegmentFile]:
    """The files of the spill of a settlement that may be running, without changing them. Raises LogUnusable."""
    return Segments(disk or LocalDisk(), folder, SUFFIX, _REMEDY).examine()


def _checkpoint(block: Block) -> Checkpoint:
    return Checkpoint(block.number, block.hash, block.epoch)


def _parts(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    """Splits blocks into parts of about _APPEND_BYTES, so that a nearly full spill can take the first part."""
    start = size = 0
    for at, block in enumerate(blocks):
        size += len(block.data)
        if size >= _APPEND_BYTES:
            yield blocks[start : at + 1]
            start, size = at + 1, 0
    if start < len(blocks):
        yield blocks[start:]
