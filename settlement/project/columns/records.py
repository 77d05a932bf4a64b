"""The records of consecutive blocks as one array each, whatever their record layouts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matching.core import layout, migrations
from matching.core.blocks import Block, Records
from settlement.errors import StoreDamaged
from settlement.stores.base import Slice
from settlement.stores.base.columns import Integers

_EARLIER_EVENT = migrations.event_type(migrations.OLDEST_LAYOUT)
_SHARED = [name for name in layout.EVENT.names or () if name in (_EARLIER_EVENT.names or ())]

BLOCK = np.dtype(
    [
        ("number", "<i8"),
        ("timestamp_ns", "<i8"),
        ("first_command", "<i8"),  # sequence of its first command in `commands`
        ("commands_at", "<i8"),  # index of that command
        ("texts_at", "<i8"),  # index in `texts` of the character at offset 0 of its strings, if it were there
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
    """`part` is WHOLE, or a slice of the only block. Of commands and texts, only those that its events need.

    Raises StoreDamaged for references out of the block, which compiled loops would follow without a check.
    """
    events = [events_of(block, part) for block in blocks]
    commands = [_commands_of(block, found) for block, found in zip(blocks, events, strict=True)]
    texts = [_texts_of(block, found) for block, found in zip(blocks, commands, strict=True)]
    rows = [
        (block.number, block.timestamp_ns, first, at, texts_at - begin, _is_early(block))
        for block, (first, _), at, (begin, _), texts_at in zip(
            blocks, commands, _starts(commands), texts, _starts(texts), strict=True
        )
    ]
    return BatchRecords(
        events=np.concatenate([_in_todays_form(found) for found in events]),
        unlocked=np.concatenate([_unlocked(found) for found in events]),
        block_of=np.repeat(np.arange(len(blocks), dtype=np.int64), [len(found) for found in events]),
        blocks=np.array(rows, BLOCK),
        commands=np.concatenate([found for _, found in commands]),
        texts=np.concatenate([found for _, found in texts]),
    )


def events_of(block: Block, part: Slice) -> Records:
    """The events of the block's slice."""
    first = block.first_event_sequence
    start = part.after + 1 - first if part.after else 0
    stop = part.through + 1 - first if part.through else block.event_count
    return block.events[start:stop]


def _commands_of(block: Block, events: Records) -> tuple[int, Records]:
    """(sequence of the first one, the commands) from the first to the last one that has an event."""
    if not len(events):
        return block.first_command_sequence, block.commands[:0]
    sequences = events["command_sequence"]
    first, last = int(sequences.min()), int(sequences.max())
    if first < block.first_command_sequence or last > block.last_command_sequence:
        raise _unfit(block)
    start = first - block.first_command_sequence
    return first, block.commands[start : start + last - first + 1]


def _texts_of(block: Block, of: tuple[int, Records]) -> tuple[int, npt.NDArray[np.uint8]]:
    """(offset of the first character, the characters) from the first to the last one of the commands."""
    _, commands = of
    if not len(commands):
        return 0, np.empty(0, np.uint8)
    offsets = commands["text_offset"].astype(np.int64)
    first, end = int(offsets.min()), int((offsets + commands["text_length"]).max())
    if end > block.text_size:
        raise _unfit(block)
    return first, np.frombuffer(block.texts, np.uint8)[first:end]


def _unfit(block: Block) -> StoreDamaged:
    return StoreDamaged(f"Records of block {block.number} refer to others that it lacks: run verify_settlement.")


def _starts(parts: Sequence[tuple[int, Any]]) -> list[int]:
    """Where each array begins when they are put together."""
    return [0, *np.cumsum([len(array) for _, array in parts[:-1]], dtype=np.int64).tolist()]


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
