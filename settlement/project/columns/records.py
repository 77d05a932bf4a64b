"""The records of consecutive blocks as one array each, whatever their record layouts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matching.core import layout, migrations
from matching.core.blocks import Block, Records
from settlement.stores.base import Slice
from settlement.stores.base.columns import Integers

_EARLIER_EVENT = migrations.event_type(migrations.OLDEST_LAYOUT)
_SHARED = [name for name in layout.EVENT.names or () if name in (_EARLIER_EVENT.names or ())]

BLOCK = np.dtype(
    [
        ("number", "<i8"),
        ("timestamp_ns", "<i8"),
        ("first_command", "<i8"),  # sequence of its first command
        ("commands_at", "<i8"),  # index of its first command in `commands`
        ("texts_at", "<i8"),  # index of its first character in `texts`
        ("is_early", "u1"),  # 1: of a layout before triggers
    ]
)
"""What the loops need to know of a block."""


class BatchRecords(NamedTuple):
    """Records of blocks, or of a slice of one block, in writable copies: Numba compiles for those only."""

    events: Records  # EVENT
    unlocked: Integers  # `taker_unlock` of each event of record layouts 1 and 2, else 0
    block_of: Integers  # index in `blocks` of each event's block
    blocks: npt.NDArray[np.void]  # BLOCK
    commands: Records  # COMMAND
    texts: npt.NDArray[np.uint8]

    def numbers(self, events: Any) -> Integers:
        """The block numbers of events, given by index or mask."""
        return self._of_blocks("number", events)

    def times_ns(self, events: Any) -> Integers:
        return self._of_blocks("timestamp_ns", events)

    def _of_blocks(self, name: str, events: Any) -> Integers:
        found: Integers = np.ascontiguousarray(self.blocks[name])[self.block_of[events]]
        return found


def records_of(blocks: Sequence[Block], part: Slice) -> BatchRecords:
    """`part` is WHOLE, or a slice of the only block."""
    parts = [events_of(block, part) for block in blocks]
    counts = [len(events) for events in parts]
    texts = [np.frombuffer(block.texts, np.uint8) for block in blocks]
    commands_at = _starts([block.command_count for block in blocks])
    texts_at = _starts([len(one) for one in texts])
    rows = [
        (block.number, block.timestamp_ns, block.first_command_sequence, command, text, _is_early(block))
        for block, command, text in zip(blocks, commands_at, texts_at, strict=True)
    ]
    return BatchRecords(
        events=np.concatenate([_in_todays_form(events) for events in parts]),
        unlocked=np.concatenate([_unlocked(events) for events in parts]),
        block_of=np.repeat(np.arange(len(blocks), dtype=np.int64), counts),
        blocks=np.array(rows, BLOCK),
        commands=np.concatenate([block.commands for block in blocks]),
        texts=np.concatenate(texts),
    )


def events_of(block: Block, part: Slice) -> Records:
    """The events of the block's slice."""
    first = block.first_event_sequence
    start = part.after + 1 - first if part.after else 0
    stop = part.through + 1 - first if part.through else block.event_count
    return block.events[start:stop]


def _starts(lengths: list[int]) -> list[int]:
    return [0, *np.cumsum(lengths[:-1], dtype=np.int64).tolist()]


def _is_early(block: Block) -> bool:
    return block.layout_version < migrations.FIRST_LAYOUT_WITH_TRIGGERS


def _in_todays_form(events: Records) -> Records:
    if events.dtype == layout.EVENT:
        return events
    made = np.zeros(len(events), layout.EVENT)
    for name in _SHARED:
        made[name] = events[name]
    return made


def _unlocked(events: Records) -> Integers:
    if events.dtype == layout.EVENT:
        return np.zeros(len(events), np.int64)
    return np.ascontiguousarray(events["taker_unlock"])
