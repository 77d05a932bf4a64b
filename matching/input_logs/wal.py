"""The local write-ahead log: nothing that was answered is lost when the process or the machine dies.

One record holds the blocks of one turn and is on the disk (fsync) before any of them is published or answered. Files
are named for their first block. A record is written only after the one before it is durable; so a record that cannot
be read is a torn tail when no good record follows, and is cut off, and damage when one does, and then nothing starts.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import xxhash

from matching.blocks import Block
from matching.errors import BadBlock
from matching.input_logs.base import InputLogDamaged, InputLogError

SEGMENT_BYTES = 64 << 20

_HEADER = struct.Struct("<IIQ")  # mark, bytes of the blocks, xxh3_64 of them
_MARK = 0x4C415758  # b"XWAL" read as a little-endian integer
_ALIGNMENT = 8  # every record is a multiple of it
_BLOCK_SIZE = struct.Struct("<I")  # before each block


class WalLog:
    """Files under `folder`, which is made when the first block comes."""

    name = "wal"

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._file: int | None = None
        self._size = 0

    def blocks(self) -> Iterator[Block]:
        """Every block held, by number; cuts a torn tail off the last file. Raises InputLogDamaged."""
        segments = sorted(self._folder.glob("*.wal"))
        for segment in segments:
            try:
                data = segment.read_bytes()
                good = 0
                for end, payload in _records(data):
                    yield from _blocks(segment, payload)
                    good = end
                if good < len(data):
                    _refuse_damage(segment, data, good, is_last=segment == segments[-1])
                    _cut(segment, good)
            except OSError as error:
                raise InputLogError(f"{segment} cannot be read: {error.strerror}.") from error

    def append(self, blocks: Sequence[Block]) -> None:
        payload = b"".join(_framed(block) for block in blocks)
        payload += bytes(-(_HEADER.size + len(payload)) % _ALIGNMENT)
        record = _HEADER.pack(_MARK, len(payload), xxhash.xxh3_64_intdigest(payload)) + payload
        try:
            if self._file is None or self._size >= self._segment_bytes:
                self._open_segment(blocks[0].number)
            assert self._file is not None
            written = os.write(self._file, record)
            if written != len(record):
                raise InputLogError(f"The disk under {self._folder} took {written} of {len(record)} bytes.")
            os.fdatasync(self._file)
        except OSError as error:
            raise InputLogError(f"The log under {self._folder} cannot be written: {error.strerror}.") from error
        self._size += len(record)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open_segment(self, first_block: int) -> None:
        self.close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = self._folder / f"{first_block:020d}.wal"
        self._file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size
        _sync_folder(self._folder)  # or a crash could lose the file's name


def _framed(block: Block) -> bytes:
    return _BLOCK_SIZE.pack(len(block.data)) + block.data


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


def _blocks(segment: Path, payload: bytes) -> Iterator[Block]:
    at = 0
    while len(payload) - at >= _ALIGNMENT:
        (size,) = _BLOCK_SIZE.unpack_from(payload, at)
        at += _BLOCK_SIZE.size
        try:
            yield Block.decode(memoryview(payload)[at : at + size])
        except BadBlock as error:
            raise InputLogDamaged(f"{segment} holds bytes that are no block of this version: {error}") from error
        at += size


def _refuse_damage(segment: Path, data: bytes, offset: int, *, is_last: bool) -> None:
    """A torn tail is in the last file, and no good record follows it; anything else is damage."""
    mark = _MARK.to_bytes(4, "little")
    at = data.find(mark, offset + 1)
    while is_last and at >= 0:
        if at % _ALIGNMENT == 0 and _record_at(data, at) is not None:
            break
        at = data.find(mark, at + 1)
    if not is_last or at >= 0:
        raise InputLogDamaged(
            f"{segment} is damaged at byte {offset}, and more was written after it: nothing is started from it. "
            "Restore the file from a copy, or recover from settlement's store."
        )


def _cut(segment: Path, size: int) -> None:
    with segment.open("r+b") as opened:
        opened.truncate(size)
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
