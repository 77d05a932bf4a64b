"""A message of a command log: the commands of one block, in the batches in which clients sent them.

Bytes: mark, versions of this form and of the records, number of batches, and the xxh3_64 of the rest; then for each
batch its size and its bytes, as on the command socket. All who read a log decide the same on any bytes: `decode` looks
at nothing else.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import xxhash

from matching.core import layout
from matching.core.codes import FIRST_REFERENCE_COMMAND
from matching.core.errors import BadMessage
from matching.transport import wire

MOST_BYTES = 1_000_000
"""Of one message: what Kafka takes by default, less what it adds."""

_MAGIC = b"XCMD"
_VERSION = 1
_FRONT = struct.Struct("<4sHHIIQ")  # magic, version, layout version, batches, zero, hash of the rest
_SIZE = struct.Struct("<I")
assert _FRONT.size + _SIZE.size + wire.MAX_BATCH_BYTES <= MOST_BYTES, "the largest batch is a message of its own"


class OtherVersion(NamedTuple):
    """Of a message that another version of this program wrote, whole: it must not be passed over."""

    version: int
    layout_version: int


def size_of(payload: bytes) -> int:
    """How many bytes a batch adds to a frame."""
    return _SIZE.size + len(payload)


EMPTY_SIZE = _FRONT.size


def encode(payloads: Sequence[bytes]) -> bytes:
    """The frame of encoded batches, in order; they fit into MOST_BYTES together."""
    rest = b"".join([part for payload in payloads for part in (_SIZE.pack(len(payload)), payload)])
    digest = xxhash.xxh3_64_intdigest(rest)
    return _FRONT.pack(_MAGIC, _VERSION, layout.LAYOUT_VERSION, len(payloads), 0, digest) + rest


def decode(frame: bytes) -> list[wire.Batch] | OtherVersion:
    """The batches of one block. Raises BadMessage for bytes that no replica writes."""
    if len(frame) < _FRONT.size or len(frame) > MOST_BYTES:
        raise BadMessage(f"A message has {_FRONT.size} to {MOST_BYTES} bytes, this one has {len(frame)}.")
    magic, version, layout_version, count, _, digest = _FRONT.unpack_from(frame)
    if magic != _MAGIC:
        raise BadMessage("These bytes are no message of commands: they do not begin with its mark.")
    if xxhash.xxh3_64_intdigest(memoryview(frame)[_FRONT.size :]) != digest:
        raise BadMessage("This message is cut or damaged: its bytes do not give the hash that it carries.")
    if (version, layout_version) != (_VERSION, layout.LAYOUT_VERSION):
        return OtherVersion(version, layout_version)
    batches = _batches(frame, count)
    for batch in batches:
        kinds = batch.commands["kind"] if batch is not batches[-1] else batch.commands["kind"][:-1]
        if (kinds >= FIRST_REFERENCE_COMMAND).any():
            raise BadMessage("A command on assets or instruments is not the last one of this message.")
    return batches


def _batches(frame: bytes, count: int) -> list[wire.Batch]:
    batches = []
    at = _FRONT.size
    while at < len(frame):
        if len(frame) < at + _SIZE.size:
            raise BadMessage("This message ends in the middle of a size.")
        (size,) = _SIZE.unpack_from(frame, at)
        at += _SIZE.size
        if len(frame) < at + size:
            raise BadMessage("This message ends in the middle of a batch.")
        batches.append(wire.decode_batch(frame[at : at + size]))
        at += size
    if not batches or len(batches) != count:
        raise BadMessage(f"This message says {count} batches and has {len(batches)}.")
    return batches
