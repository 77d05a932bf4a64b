"""Blocks of a given size, created quickly: from generated records instead of an engine, with a valid hash."""

import numpy as np

from matching.core import layout
from matching.core.blocks import Block
from matching.core.codes import EventKind


def large_block(size: int, number: int = 1, prev_hash: int = 0) -> Block:
    """A block of about `size` bytes: one command and many deposit events."""
    events = np.zeros(size // layout.EVENT.itemsize, layout.EVENT)
    events["sequence"] = np.arange(1, len(events) + 1)
    events["kind"] = EventKind.DEPOSITED
    return Block.encode(
        number=number,
        timestamp_ns=10**18,
        first_command_sequence=1,
        first_event_sequence=1,
        prev_hash=prev_hash,
        requests=np.array([(0, 0, 0, 0, 1, 0)], layout.REQUEST),
        commands=np.zeros(1, layout.COMMAND),
        events=events,
        texts=b"",
    )
