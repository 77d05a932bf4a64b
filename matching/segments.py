"""Blocks in files: what the write-ahead log and settlement's spill are made of.

One record holds the blocks of one `append` and is on the disk when that returns. Files are named for their first
block. A record is written only after the one before it is durable, so a record that cannot be read is a torn tail when
it is the last, and is cut off; anywhere else it is damage, and nothing is read past it.
"""

import errno
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import xxhash

from matching.blocks import Block
from matching.disk import AppendFile, Disk
from matching.errors import BadBlock, LogDamaged, LogFull, LogUnusable

SEGMENT_BYTES = 64 << 20

_HEADER = struct.Struct("<IIQ")  # mark, bytes of the blocks, xxh3_64 of them
_MARK = 0x4C415758  # b"XWAL" read as a little-endian integer
_MARK_BYTES = _MARK.to_bytes(4, "little")
_ALIGNMENT = 8  # every record is a multiple of it
_BLOCK_SIZE = struct.Struct("<I")  # before each block
_SECTOR = 512  # what a disk writes as a whole
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Segments:
    """Files under `folder`, which is made when the first block comes. `remedy` ends the sentence about damage."""

    def __init__(self, disk: Disk, folder: Path, suffix: str, remedy: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._disk = disk
        self._suffix = suffix
        self._remedy = remedy
        self._segment_bytes = segment_bytes
        self._file: AppendFile | None = None

    def blocks(self) -> Iterator[Block]:
        """Every block held, by number; cuts a torn tail off the last file. Raises LogDamaged, LogUnusable."""
        names = self._disk.names(self.folder, self._suffix)
        for name in names:
            yield from self._blocks_of(self.folder / name, is_last=name == names[-1])

    def peek(self) -> Iterator[Block]:
        """The blocks that can be read while another process may be writing or clearing: up to the first that cannot.

        Raises LogUnusable.
        """
        for name in self._disk.names(self.folder, self._suffix):
            path = self.folder / name
            try:
                with self._disk.open(path) as file:
                    data = file.read()
            except FileNotFoundError:  # cleared meanwhile
                return
            except OSError as error:
                raise LogUnusable(f"{path} cannot be read: {error.strerror}.") from error
            for _, payload in _records(data):
                yield from _blocks(path, payload)

    def append(self, blocks: Sequence[Block]) -> None:
        """Durable when this returns. Raises LogFull, and then holds what it held before; LogUnusable."""
        payload = b"".join(_BLOCK_SIZE.pack(len(block.data)) + block.data for block in blocks)
        payload += bytes(-(_HEADER.size + len(payload)) % _ALIGNMENT)
        record = _HEADER.pack(_MARK, len(payload), xxhash.xxh3_64_intdigest(payload)) + payload
        try:
            file = self._current(blocks[0].number)
            self._write(file, record)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise LogFull(f"The disk under {self.folder} is full.") from error
            raise LogUnusable(f"{self.folder} cannot be written: {error.strerror}.") from error

    def drop_before(self, number: int) -> None:
        """Removes files that hold only blocks before `number`; the last file stays. Raises LogUnusable."""
        names = self._disk.names(self.folder, self._suffix)
        try:
            for name, following in pairwise(names):
                if int(following.removesuffix(self._suffix)) <= number:
                    self._disk.remove(self.folder / name)
        except OSError as error:
            raise LogUnusable(f"{self.folder} cannot be cleared: {error.strerror}.") from error

    def clear(self) -> None:
        """Removes every file. Raises LogUnusable."""
        self.close()
        try:
            names = self._disk.names(self.folder, self._suffix)
            for name in names:
                self._disk.remove(self.folder / name)
            if names:
                self._disk.sync_folder(self.folder)
        except OSError as error:
            raise LogUnusable(f"{self.folder} cannot be cleared: {error.strerror}.") from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _current(self, first_block: int) -> AppendFile:
        if self._file is None or self._file.size >= self._segment_bytes:
            self.close()
            file = self._disk.append_to(self.folder / f"{first_block:020d}{self._suffix}")
            try:
                self._disk.sync_folder(self.folder)  # or a crash could lose the file's name
            except OSError:
                file.close()
                raise
            self._file = file
        return self._file

    def _write(self, file: AppendFile, record: bytes) -> None:
        size = file.size
        try:
            file.write(record)
            file.sync()
        except OSError as error:
            if error.errno in _NO_ROOM:
                file.truncate(size)  # a part of a record with a good one after it would be damage
            raise

    def _blocks_of(self, path: Path, *, is_last: bool) -> Iterator[Block]:
        try:
            with self._disk.open(path) as file:
                data = file.read()
            good = 0
            for end, payload in _records(data):
                yield from _blocks(path, payload)
                good = end
            if good < len(data) and not (is_last and _is_torn(data, good)):
                raise LogDamaged(f"{path} is damaged at byte {good}: nothing is started from it. {self._remedy}")
            if is_last:
                self._settle(path, good)
        except OSError as error:
            raise LogUnusable(f"{path} cannot be read: {error.strerror}.") from error

    def _settle(self, path: Path, size: int) -> None:
        """Cuts a torn tail off, and makes what is left durable.

        Whoever wrote it may have died before its fsync: the next file must not be on the disk before this one is.
        """
        file = self._disk.append_to(path)
        try:
            if file.size > size:
                file.truncate(size)
            file.sync()
        finally:
            file.close()
        self._disk.sync_folder(self.folder)


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset after it, blocks' bytes) of each good record from the start, up to the first that is not."""
    at = 0
    while (payload := _record_at(data, at)) is not None:
        at += _HEADER.size + len(payload)
        yield at, payload


def _record_at(data: bytes, at: int) -> bytes | None:
    if len(data) < at + _HEADER.size:
        return None
    mark, size, digest = _HEADER.unpack_from(data, at)
    payload = data[at + _HEADER.size : at + _HEADER.size + size]
    if mark != _MARK or len(payload) != size or xxhash.xxh3_64_intdigest(payload) != digest:
        return None
    return payload


def _blocks(path: Path, payload: bytes) -> Iterator[Block]:
    at = 0
    while len(payload) - at >= _ALIGNMENT:
        (size,) = _BLOCK_SIZE.unpack_from(payload, at)
        at += _BLOCK_SIZE.size
        try:
            yield Block.decode(memoryview(payload)[at : at + size])
        except BadBlock as error:
            raise LogDamaged(f"{path} holds bytes that are no block of this version: {error}") from error
        at += size


def _is_torn(data: bytes, offset: int) -> bool:
    """Whether what begins at `offset` and cannot be read is a record that was being written, and not a damaged one.

    A crash in the middle of writing leaves a part of the record, or the whole length with sectors that were never
    written, which read as zeros; and no good record after it.
    """
    at = data.find(_MARK_BYTES, offset + 1)
    while at >= 0:
        if at % _ALIGNMENT == 0 and _record_at(data, at) is not None:
            return False
        at = data.find(_MARK_BYTES, at + 1)
    if len(data) < offset + _HEADER.size:
        return True
    mark, size, _ = _HEADER.unpack_from(data, offset)
    if mark == _MARK and len(data) < offset + _HEADER.size + size:
        return True
    starts = range(offset - offset % _SECTOR, len(data), _SECTOR)
    return any(not any(data[max(start, offset) : start + _SECTOR]) for start in starts)
