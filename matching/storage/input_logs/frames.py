"""Encoding of a command log's message: the commands of one block, in the batches that clients sent.

Bytes: magic number, version of this format, layout version of the records, number of batches, xxh3_64 of the body; then
the size and owner of each batch and its bytes, as on the command socket. `decode` depends on nothing but the bytes, so
that all readers of a log accept and reject the same messages.
"""

import struct
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import xxhash

from matching.core import layout
from matching.core.codes import is_definition
from matching.core.errors import BadMessage
from matching.transport import wire

MAX_BYTES = 1_000_000
"""Limit of one message: Kafka's default limit minus its overhead."""

_MAGIC = b"XCMD"
_VERSION = 2
_PREFIX = struct.Struct("<4sHHIIQ")  # magic, version, layout version, batches, zero, hash of the body
_SIZE = struct.Struct("<IQ")  # bytes of the batch, its owner
assert _PREFIX.size + _SIZE.size + wire.MAX_BATCH_BYTES <= MAX_BYTES, "the largest batch fits into a message"


class UnsupportedVersion(NamedTuple):
    """Versions of a complete message that another version of this program wrote. It must not be skipped."""

    version: int
    layout_version: int


def size_of(payload: bytes) -> int:
    """Bytes that a batch adds to a frame."""
    return _SIZE.size + len(payload)


EMPTY_SIZE = _PREFIX.size


def encode(payloads: Sequence[bytes], owners: Sequence[int] = ()) -> bytes:
    """The frame of encoded batches and their owners, in order.

    Without `owners` all are 0. The caller makes sure that the frame does not exceed MAX_BYTES.
    """
    named = zip(payloads, owners or repeat(0), strict=False)
    body = b"".join([part for payload, owner in named for part in (_SIZE.pack(len(payload), owner), payload)])
    digest = xxhash.xxh3_64_intdigest(body)
    return _PREFIX.pack(_MAGIC, _VERSION, layout.LAYOUT_VERSION, len(payloads), 0, digest) + body


def decode(frame: bytes) -> list[wire.Batch] | UnsupportedVersion:
    """The batches of one block. Raises BadMessage for bytes that are not a message of a replica."""
    if len(frame) < _PREFIX.size or len(frame) > MAX_BYTES:
        raise BadMessage(f"A message has {_PREFIX.size} to {MAX_BYTES} bytes, but this one has {len(frame)}.")
    magic, version, layout_version, count, _, digest = _PREFIX.unpack_from(frame)
    if magic != _MAGIC:
        raise BadMessage("These bytes are not a message of commands: they do not begin with the magic number.")
    if xxhash.xxh3_64_intdigest(memoryview(frame)[_PREFIX.size :]) != digest:
        raise BadMessage("This message is truncated or damaged: its bytes do not match its hash.")
    if (version, layout_version) != (_VERSION, layout.LAYOUT_VERSION):
        return UnsupportedVersion(version, layout_version)
    batches = _batches(frame, count)
    for batch in batches:
        kinds = batch.commands["kind"] if batch is not batches[-1] else batch.commands["kind"][:-1]
        if is_definition(kinds).any():
            raise BadMessage("This message has a command on assets or instruments that is not its last one.")
    return batches


def _batches(frame: bytes, count: int) -> list[wire.Batch]:
    batches = []
    at = _PREFIX.size
    while at < len(frame):
        if len(frame) < at + _SIZE.size:
            raise BadMessage("This message ends in the middle of a size.")
        size, owner = _SIZE.unpack_from(frame, at)
        at += _SIZE.size
        if len(frame) < at + size:
            raise BadMessage("This message ends in the middle of a batch.")
        batches.append(wire.decode_batch(frame[at : at + size], owner))
        at += size
    if not batches or len(batches) != count:
        raise BadMessage(f"This message should have {count} batches but has {len(batches)}.")
    return batches
