"""Segment files of blocks, used by the write-ahead log and by settlement's spill.

A record holds the blocks of one `append`, between a header and a trailer that repeats the header's hash. It is durable
when `append` returns. Files are named after their first block. A record is written only after the previous one is
durable. So an unreadable record at the end is a torn tail and is cut off; anywhere else it is damage, and nothing after
it is read.
"""

import errno
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import xxhash

from matching.core.blocks import Block
from matching.core.errors import BadBlock, LogDamaged, LogFull, LogUnusable
from matching.storage.disk import DRAFT, AppendFile, Disk

SEGMENT_BYTES = 64 << 20

_HEADER = struct.Struct("<IIQ")  # mark, size of the blocks in bytes, xxh3_64 of the blocks
_SEAL = struct.Struct("<Q")  # xxh3_64 of the header; after it, and again as trailer, so that no record ends in zeros
_FRAME = _HEADER.size + 2 * _SEAL.size
_MARK = 0x474F4C58  # b"XLOG" read as a little-endian integer
_MARK_BYTES = _MARK.to_bytes(4, "little")
_ALIGNMENT = 8  # the size of every record is a multiple of this
_BLOCK_SIZE = struct.Struct("<I")  # before each block
_SECTOR = 512  # unit that a disk writes atomically, in bytes
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class SegmentFile(NamedTuple):
    """What one file holds, read without changing it."""

    path: Path
    blocks: list[Block]  # up to the first unreadable record
    torn_bytes: int  # of an unfinished record at the end of the last file
    damage: str  # why the rest cannot be read, as a sentence; "": all of it was read


class Segments:
    """Files under `folder`, which is created with the first block. `remedy` is appended to errors about damage."""

    def __init__(self, disk: Disk, folder: Path, suffix: str, remedy: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._disk = disk
        self._suffix = suffix
        self._remedy = remedy
        self._segment_bytes = segment_bytes
        self._file: AppendFile | None = None

    def blocks(self) -> Iterator[Block]:
        """Every block held, by number. Only for the writing process, because it cuts a torn tail off the last file.

        Raises LogDamaged, LogUnusable.
        """
        names = self._opened()
        for name in names:
            yield from self._blocks_of(self.folder / name, is_last=name == names[-1])

    def newest(self) -> Block | None:
        """The last block held. For processes that do not write here: nothing is changed.

        Raises LogDamaged, LogUnusable.
        """
        try:
            names = self._disk.names(self.folder, self._suffix)
            for name in reversed(names):
                path = self.folder / name
                with self._disk.open(path) as file:
                    data = file.read()
                last = deque(_records(data), maxlen=1)
                good, payload = last[0] if last else (0, b"")
                self._refuse_damage(path, data, good, is_last=name == names[-1])
                if payload:
                    return list(_blocks(path, payload))[-1]
        except OSError as error:
            raise LogUnusable(f"{error.filename or self.folder} cannot be read: {error.strerror}.") from error
        return None

    def peek(self) -> Iterator[Block]:
        """The blocks up to the first unreadable one. Another process may write or clear the files meanwhile.

        Raises LogUnusable.
        """
        for name in self._disk.names(self.folder, self._suffix):
            path = self.folder / name
            data = self._content(path)
            if data is None:  # cleared meanwhile
                return
            for _, payload in _records(data):
                yield from _blocks(path, payload)

    def examine(self) -> Iterator[SegmentFile]:
        """Each file as it is now. For processes that do not write here: nothing is changed. Raises LogUnusable."""
        names = self._disk.names(self.folder, self._suffix)
        for name in names:
            path = self.folder / name
            data = self._content(path)
            if data is not None:  # not dropped meanwhile
                yield self._examined(path, data, is_last=name == names[-1])

    def _content(self, path: Path) -> bytes | None:
        """None if the file is gone. Raises LogUnusable."""
        try:
            with self._disk.open(path) as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LogUnusable(f"{path} cannot be read: {error.strerror}.") from error

    def _examined(self, path: Path, data: bytes, *, is_last: bool) -> SegmentFile:
        blocks: list[Block] = []
        good = 0
        try:
            for end, payload in _records(data):
                blocks += _blocks(path, payload)
                good = end
            self._refuse_damage(path, data, good, is_last=is_last)
        except LogDamaged as error:
            return SegmentFile(path, blocks, 0, str(error))
        return SegmentFile(path, blocks, len(data) - good, "")

    def append(self, blocks: Sequence[Block]) -> None:
        """The blocks are durable when this returns. Raises LogFull, after which nothing has changed; LogUnusable."""
        record = _record(blocks)
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
                self._disk.sync_folder(self.folder.parent)  # a crash may have come between creating and syncing it
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
                file.truncate(size)  # a partial record followed by another one would count as damage
            raise

    def _blocks_of(self, path: Path, *, is_last: bool) -> Iterator[Block]:
        try:
            with self._disk.open(path) as file:
                data = file.read()
            good = 0
            for end, payload in _records(data):
                yield from _blocks(path, payload)
                good = end
            self._refuse_damage(path, data, good, is_last=is_last)
            if is_last:
                self._rewrite(path, data[:good])
        except OSError as error:
            raise LogUnusable(f"{path} cannot be read: {error.strerror}.") from error

    def _refuse_damage(self, path: Path, data: bytes, good: int, *, is_last: bool) -> None:
        """Raises LogDamaged unless only the first `good` bytes are followed by a torn tail of the last file."""
        if good < len(data) and not (is_last and _is_torn(data, good)):
            raise LogDamaged(f"{path} is damaged at byte {good}: nothing is started from it. {self._remedy}")

    def _opened(self) -> list[str]:
        """Names of the files. Removes drafts that `_rewrite` left behind in a crash; each can be as large as a file."""
        try:
            names = self._disk.names(self.folder, "")
            for name in names:
                if name.endswith(DRAFT) and f"{self._suffix}." in name:  # the folder may hold other files
                    self._disk.remove(self.folder / name)
        except OSError as error:
            raise LogUnusable(f"{self.folder} cannot be used: {error.strerror}.") from error
        return [name for name in names if name.endswith(self._suffix)]

    def _rewrite(self, path: Path, good: bytes) -> None:
        """Cuts off a torn tail and makes the rest durable, which it must be before the next file is created.

        The previous writer may have crashed before fsync, or because fsync failed. After a failed fsync a file system
        may mark pages as written that are not, so another fsync is not enough: the file is written again.
        """
        self._disk.write_whole(path, good)


def _record(blocks: Sequence[Block]) -> bytes:
    """The record of these blocks. It is the only copy of their bytes, because a block may have a hundred MiB."""
    payload = [piece for block in blocks for piece in (_BLOCK_SIZE.pack(len(block.data)), block.data)]
    size = sum(map(len, payload))
    payload.append(bytes(-size % _ALIGNMENT))
    hasher = xxhash.xxh3_64()
    for piece in payload:
        hasher.update(piece)
    header = _HEADER.pack(_MARK, size + len(payload[-1]), hasher.intdigest())
    seal = _SEAL.pack(xxhash.xxh3_64_intdigest(header))
    return b"".join((header, seal, *payload, seal))


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(end offset, payload) of each valid record, up to the first invalid one. The payload is the blocks' bytes."""
    at = 0
    while (payload := _record_at(data, at)) is not None:
        at += _FRAME + len(payload)
        yield at, payload


def _size_at(data: bytes, at: int) -> int | None:
    """Payload size of the record at offset `at`; None if its header is incomplete or invalid."""
    if len(data) < at + _HEADER.size + _SEAL.size:
        return None
    mark, size, _ = _HEADER.unpack_from(data, at)
    (seal,) = _SEAL.unpack_from(data, at + _HEADER.size)
    is_good = mark == _MARK and seal == xxhash.xxh3_64_intdigest(data[at : at + _HEADER.size])
    return int(size) if is_good else None


def _record_at(data: bytes, at: int) -> bytes | None:
    size = _size_at(data, at)
    if size is None or len(data) < at + _FRAME + size:
        return None
    start = at + _HEADER.size + _SEAL.size
    payload, seal = data[start : start + size], data[start + size : start + size + _SEAL.size]
    (_, _, digest), known = _HEADER.unpack_from(data, at), data[start - _SEAL.size : start]
    return payload if xxhash.xxh3_64_intdigest(payload) == digest and seal == known else None


def _blocks(path: Path, payload: bytes) -> Iterator[Block]:
    at = 0
    while len(payload) - at >= _ALIGNMENT:
        (size,) = _BLOCK_SIZE.unpack_from(payload, at)
        at += _BLOCK_SIZE.size
        try:
            yield Block.decode(memoryview(payload)[at : at + size])
        except BadBlock as error:
            raise LogDamaged(f"{path} has bytes that are not a block of this version: {error}") from error
        at += size


def _is_torn(data: bytes, offset: int) -> bool:
    """Whether the unreadable bytes from `offset` on are an unfinished record rather than damage.

    A crash during a write leaves either a part of the record, or its whole length with unwritten sectors that read as
    zeros. (No record contains a sector of zeros or ends in one.) No valid record follows it.
    """
    at = data.find(_MARK_BYTES, offset + 1)
    while at >= 0:
        if at % _ALIGNMENT == 0 and _record_at(data, at) is not None:
            return False
        at = data.find(_MARK_BYTES, at + 1)
    size = _size_at(data, offset)
    whole = _HEADER.size + _SEAL.size if size is None else _FRAME + size
    is_cut = len(data) < offset + whole
    starts = range(offset - offset % _SECTOR, len(data), _SECTOR)
    return is_cut or any(not any(data[max(start, offset) : start + _SECTOR]) for start in starts)
