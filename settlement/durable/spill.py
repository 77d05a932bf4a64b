"""Blocks that the store could not take yet, durable on this machine: files under DATA_DIR/spill.

They have neighbouring numbers and continue what the store holds. What is here is as durable as this disk, so it may
be confirmed to the engine: one that recovers reads it too (`peek`). Once the store has everything the files go.
"""

from collections.abc import Callable, Iterator, Sequence
from os import SEEK_END
from pathlib import Path

import structlog

from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.core.errors import HashMismatch, LogDamaged, LogFull, LogUnusable
from matching.storage.disk import Disk, LocalDisk
from matching.storage.segments import Segments
from settlement.durable.claim import Claim
from settlement.errors import SpillDamaged, SpillUnusable
from settlement.stores.base import Checkpoint

log = structlog.get_logger(__name__)

SUFFIX = ".spill"
SEGMENT_BYTES = 8 << 20
"""So much is read at a time, and given back to the disk at a time."""
_BYTES_AN_APPEND = 4 << 20
_BYTES_A_READ = 32 << 20
_OVERHEAD_BYTES = 32  # a block's share of its record, at most
_REMEDY = "Where the store or the engine holds its blocks, move the folder away; otherwise restore it from a copy."


class Spill:
    """The blocks of one settlement; no other process writes or reads them, but for `peek`."""

    def __init__(
        self, folder: Path, max_bytes: int, disk: Disk | None = None, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Reads what an earlier settlement left, and cuts a torn tail off. Raises SpillDamaged, SpillUnusable."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._disk = disk or LocalDisk()
        self._claim = Claim(folder, disk=self._disk)
        self._segments = Segments(self._disk, folder, SUFFIX, _REMEDY, segment_bytes)
        self._reader: Iterator[Block] | None = None
        self._read_ahead: Block | None = None
        self._is_failed = False  # the end of the files is in doubt: nothing is written after it
        self.head: Checkpoint | None = None  # the last block held
        self.first_number = 0  # the first block that the store may not have, 0: nothing is held
        self._oldest: list[str] = []  # name of the first file, when sizes were last added up
        self.full = False  # the last append found no room
        for block in self._checked(self._segments.blocks()):
            self.first_number = self.first_number or block.number
            self.head = _checkpoint(block)
        self._next_number = self.first_number
        self.bytes = self._size_of_files()

    @property
    def last_number(self) -> int:
        """0 where nothing is held."""
        return self.head.block_number if self.head else 0

    @property
    def blocks(self) -> int:
        """How many blocks wait here."""
        return self.last_number - self.first_number + 1 if self.head else 0

    @property
    def is_claimed(self) -> bool:
        """Blocks are here, and an engine is about to begin an epoch that may be without them."""
        try:
            return self.blocks > 0 and self._claim.is_made
        except OSError as error:
            raise SpillUnusable(f"{self._folder} cannot be used: {error.strerror}.") from error

    def end_claim(self, newest_epoch: Epoch | None) -> None:
        """Raises SpillUnusable."""
        try:
            self._claim.end_if_over(newest_epoch.number if newest_epoch else 0)
        except OSError as error:
            raise SpillUnusable(f"{self._folder} cannot be used: {error.strerror}.") from error

    def append(self, blocks: Sequence[Block]) -> int:
        """Puts blocks here that continue what is held; so many of them, from the first on, are durable.

        Fewer than all where `max_bytes` or the disk is full, or the disk fails; the next call tries again.
        """
        assert not self.head or blocks[0].number == self.last_number + 1, "blocks have neighbouring numbers"
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

    def read(self, most: int, may: Callable[[Block], bool] = lambda block: True) -> list[Block]:
        """The next blocks: up to `most`, or a few megabytes, or the first that `may` not be taken.

        Raises SpillDamaged, SpillUnusable.
        """
        blocks: list[Block] = []
        size = 0
        while len(blocks) < most and self.head and self._next_number <= self.last_number and size < _BYTES_A_READ:
            block = self._read_one()
            size += len(block.data)
            if not may(block):
                self._read_ahead = block
                break
            self._next_number += 1
            blocks.append(block)
        return blocks

    def reread(self) -> None:
        """`read` begins again, with the first block that is not `written`."""
        self._reader = self._read_ahead = None
        self._next_number = self.first_number

    def written(self, number: int) -> None:
        """The store holds everything up to block `number`. Raises SpillUnusable."""
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
                    self.full = False  # where the disk is, the next append finds out
        except LogUnusable as error:
            raise SpillUnusable(str(error)) from error

    def set_aside(self, epoch: int) -> list[Path]:
        """Gives the files names that are no spill's: `epoch` has overruled them. Raises SpillUnusable."""
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
            log.warning("the spill's disk is full", error=str(error))
            return False
        except LogUnusable as error:
            # After a failed sync nobody knows what is on the disk: what was durable before is, and nothing follows.
            log.error("the spill cannot be written", error=str(error))
            self._is_failed = True
            self._segments.close()
            return False
        return True

    def _read_one(self) -> Block:
        """The block that is next. The files may have grown since the reader has seen their end."""
        if self._read_ahead is not None:
            block, self._read_ahead = self._read_ahead, None
            return block
        for _ in range(2):
            # Not `blocks`, which mends the end of the last file: blocks have been put there since it was read.
            self._reader = self._reader or self._checked(self._segments.peek())
            while (found := next(self._reader, None)) is not None:
                if found.number == self._next_number:
                    return found
            self._reader = None
        raise SpillDamaged(f"Block {self._next_number} is not in {self._folder} any more, where it was put: {_REMEDY}")

    def _checked(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Blocks of the files, each with its own hash and following the one before."""
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
    """The blocks that a settlement has put there, which may be running: for an engine that recovers, read-only.

    Raises LogUnusable.
    """
    return Segments(disk or LocalDisk(), folder, SUFFIX, _REMEDY).peek()


def _checkpoint(block: Block) -> Checkpoint:
    return Checkpoint(block.number, block.hash, block.epoch)


def _parts(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    """Neighbouring blocks of a few megabytes: a spill that is nearly full takes the first of them."""
    start = size = 0
    for at, block in enumerate(blocks):
        size += len(block.data)
        if size >= _BYTES_AN_APPEND:
            yield blocks[start : at + 1]
            start, size = at + 1, 0
    if start < len(blocks):
        yield blocks[start:]
