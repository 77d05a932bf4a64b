"""Chains as programs of record layouts 1 and 2 wrote them, made of today's."""

from collections.abc import Sequence

import numpy as np

from matching.core.blocks import Block
from matching.core.codes import EventKind, Reason
from matching.core.migrations import to_3


def in_early_layout(blocks: Sequence[Block], version: int, *, until: int) -> list[Block]:
    """The blocks, those up to block `until` in record layout 1 or 2.

    Those layouts have no event for the end of an order by quote_quantity that has used it: the last event of its
    command carries what it unlocked.
    """
    made: list[Block] = []
    removed = prev_hash = 0
    for block in blocks:
        is_early = block.number <= until
        events = np.zeros(block.event_count, to_3.EVENT) if is_early else block.events.copy()
        if is_early:
            for name in set(to_3.EVENT.names or ()) - {"taker_unlock"}:
                events[name] = block.events[name]
            ends = (events["kind"] == EventKind.ORDER_CANCELLED) & (events["reason"] == Reason.QUOTE_QUANTITY_USED)
            ends[0:1] = False
            ends[1:] &= events["command_sequence"][1:] == events["command_sequence"][:-1]
            places = np.flatnonzero(ends)
            events["taker_unlock"][places - 1] = events["amount"][places]
            events = events[~ends]
        first = block.first_event_sequence - removed
        removed += block.event_count - len(events)
        events["sequence"] = np.arange(first, first + len(events))
        encoded = Block.encode(
            number=block.number,
            timestamp_ns=block.timestamp_ns,
            first_command_sequence=block.first_command_sequence,
            first_event_sequence=first,
            prev_hash=prev_hash,
            requests=block.requests,
            commands=block.commands,
            events=events,
            texts=block.texts,
            layout_version=version if is_early else block.layout_version,
        )
        made.append(encoded)
        prev_hash = encoded.hash
    return made
