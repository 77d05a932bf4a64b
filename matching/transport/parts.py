"""Blocks and answers of any size are sent in frames of at most PART_BYTES, which the receiver joins."""

from collections.abc import Sequence

from matching.core.errors import BadMessage
from matching.transport.sockets import Frame

PART_BYTES = 1 << 20


def in_parts(data: bytes) -> list[Frame]:
    """The frames of a block or an answer, after its verb. They are views of its bytes."""
    if len(data) <= PART_BYTES:
        return [data]
    view = memoryview(data)
    return [view[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]


def joined(frames: Sequence[bytes]) -> bytes:
    """Joins the parts of a block or an answer, the frames after its verb. Raises BadMessage."""
    if not frames:
        raise BadMessage("This message has nothing after its verb.")
    return frames[0] if len(frames) == 1 else b"".join(frames)
