"""Blocks of a size, made quickly: of records that no engine made, with the hash that they give."""

import numpy as np

from matching.core import layout
from matching.core.blocks import Block
from matching.core.codes import EventKind


def large_block(size: int, number: int = 1, prev_hash: int = 0) -> Block:
    """Of one command and so many deposits' events that it has about `size` bytes."""
    events = np.zeros(size // layout.EVENT.itemsize, layout.EVENT)
    events["sequence"] = np.arange(1, len(events) + 1)
    events["kind"] = EventKind.DEPOSITED
    return Block.encode(
        number=number,
        timestamp_ns=10**18,
        first_command_sequence=1,
        first_event_sequence=1,
        prev_hash=prev_hash,
        requests=np.array([(0, 0, 1, 0)], layout.REQUEST),
        commands=np.zeros(1, layout.COMMAND),
        events=events,
        texts=b"",
    )
