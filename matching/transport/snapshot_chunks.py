"""Chunks of a snapshot, as an engine sends them to followers: each message holds one."""

from collections.abc import Sequence
from typing import NamedTuple

from matching.core.errors import BadMessage
from matching.transport.wire import decode_numbers, encode_numbers

SNAPSHOT_CHUNK_BYTES = 256 << 10


class SnapshotChunk(NamedTuple):
    number: int  # of the block after which the snapshot was made
    offset: int
    total_bytes: int
    data: bytes


def encode_snapshot_chunk(chunk: SnapshotChunk) -> list[bytes]:
    """The frames after the verb."""
    return [*encode_numbers(chunk.number, chunk.offset, chunk.total_bytes), chunk.data]


def decode_snapshot_chunk(frames: Sequence[bytes]) -> SnapshotChunk:
    """From the frames after the verb. Raises BadMessage."""
    if len(frames) != 4:
        raise BadMessage("A chunk of a snapshot needs three numbers and its bytes after the verb.")
    number, offset, total_bytes = decode_numbers(frames[:3], 3)
    if offset + len(frames[3]) > total_bytes:
        raise BadMessage("This chunk of a snapshot extends past the snapshot's end.")
    return SnapshotChunk(number, offset, total_bytes, frames[3])
