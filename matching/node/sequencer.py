"""Batches in, blocks out: the total order of commands is decided here.

Many small batches share a block; a block ends at `block_commands` commands and after a command on reference data. A
command whose (client, number) was applied before is not applied again: it is answered from the blocks of the ring. A
batch that skips numbers was overtaken by what it follows, or follows what was lost: it is refused, to come again.
Costs a few array operations a batch and a block, none a command. No socket, and the clock is injected.
"""

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from matching.core import layout
from matching.core.blocks import Block, Records
from matching.core.codes import FIRST_REFERENCE_COMMAND
from matching.core.engine import Engine
from matching.storage.ring import Ring
from matching.transport.wire import OUT_OF_ORDER, Batch, Refused, Segment, encode_answer

_NO_EVENTS = np.zeros(0, layout.EVENT)
_REQUEST = struct.Struct("<QQII")
assert _REQUEST.size == layout.REQUEST.itemsize


class Sequenced(NamedTuple):
    """What one turn made: blocks in order, and for each batch, in order, its encoded answer or why it was not taken."""

    blocks: list[Block]
    answers: list[bytes | Refused]


class _Part(NamedTuple):
    """Commands of one batch that go into one block."""

    batch: int
    client: int
    first_number: int
    commands: Records
    texts: bytes


class LogPosition(NamedTuple):
    """How far an input log has been read: part of the block that came of its message, and so of every state after."""

    client: int  # the log's, of `wire.FIRST_LOG_CLIENT` and above
    next_offset: int  # the message that comes next


class Sequencer:
    """`clock` gives nanoseconds since the Unix epoch; a block is never earlier than the one before."""

    def __init__(self, engine: Engine, ring: Ring, clock: Callable[[], int], block_commands: int) -> None:
        self._engine = engine
        self._ring = ring
        self._clock = clock
        self._block_commands = block_commands

    def sequence(self, batches: Sequence[Batch], position: LogPosition | None = None) -> Sequenced:
        """Applies what is new in batches that `Engine.check` let pass; the ring holds every block, to be released.

        Every block begins with `position`, where the batches come from a log.
        """
        # A row of no commands: all numbers before its first are done.
        mark = b"" if position is None else _REQUEST.pack(position.client, position.next_offset + 1, 0, 0)
        turn = _Turn(self._engine, self._ring, self._clock, self._block_commands, len(batches), mark)
        for index, batch in enumerate(batches):
            turn.take(index, batch)
        turn.seal()
        answers = [self._answer(batch, turn, index) for index, batch in enumerate(batches)]
        return Sequenced(turn.blocks, answers)

    def _answer(self, batch: Batch, turn: "_Turn", index: int) -> bytes | Refused:
        if index in turn.skipping:
            applied = turn.skipping[index]
            message = f"The engine has this client's commands up to {applied}: {batch.first_number} is not the next."
            return Refused(OUT_OF_ORDER, message, batch.client, batch.first_number, applied)
        segments = turn.segments[index]
        if index in turn.repeated:
            segments = repeated_segments(self._ring, batch, turn.repeated[index]) + segments
        return encode_answer(batch.client, batch.first_number, len(batch.commands), segments)

    def answer_repeated(self, batch: Batch) -> bytes | None:
        """The answer to a batch that was applied as a whole before; None for any other."""
        if self._engine.clients.get(batch.client, 0) < batch.last_number:
            return None
        count = len(batch.commands)
        return encode_answer(batch.client, batch.first_number, count, repeated_segments(self._ring, batch, count))


class _Turn:
    """Blocks under way while the batches of one turn are taken."""

    def __init__(
        self, engine: Engine, ring: Ring, clock: Callable[[], int], block_commands: int, batch_count: int, mark: bytes
    ) -> None:
        self._mark = mark  # REQUEST records with which each block begins
        self._engine = engine
        self._ring = ring
        self._clock = clock
        self._block_commands = block_commands
        self._parts: list[_Part] = []
        self._size = 0
        self._taken: dict[int, int] = {}  # client → last number in `parts`, which the engine does not know yet
        self.blocks: list[Block] = []
        self.segments: list[list[Segment]] = [[] for _ in range(batch_count)]
        self.repeated: dict[int, int] = {}  # batch → how many of its first commands were applied before
        self.skipping: dict[int, int] = {}  # batch → the last number applied, which its first does not follow

    def take(self, index: int, batch: Batch) -> None:
        applied = self._taken.get(batch.client) or self._engine.clients.get(batch.client, 0)
        at, end = 0, len(batch.commands)
        if applied < batch.first_number - 1:
            self.skipping[index] = applied
            return
        if applied >= batch.first_number:
            at = min(applied - batch.first_number + 1, end)
            self.repeated[index] = at
        for stop in _block_ends(batch.commands):
            while at < stop:
                upto = min(stop, at + self._block_commands - self._size)
                self._place(index, batch, at, upto)
                at = upto
            if _is_reference(batch.commands[stop - 1]):
                self.seal()

    def _place(self, index: int, batch: Batch, at: int, upto: int) -> None:
        commands, texts = batch.commands, batch.texts
        if upto - at < len(commands):
            commands, texts = _cut(commands[at:upto], texts)
        self._parts.append(_Part(index, batch.client, batch.first_number + at, commands, texts))
        self._size += upto - at
        self._taken[batch.client] = batch.first_number + upto - 1
        if self._size == self._block_commands:
            self.seal()

    def seal(self) -> None:
        """Makes a block of the parts so far, if there are any."""
        parts = self._parts
        if not parts:
            return
        self._parts, self._size = [], 0
        self._taken.clear()
        commands, texts = _joined(parts)
        requests = np.frombuffer(
            self._mark
            + b"".join([_REQUEST.pack(part.client, part.first_number, len(part.commands), 0) for part in parts]),
            layout.REQUEST,
        )
        now_ns = max(self._engine.timestamp_ns, self._clock())
        block = self._engine.apply(requests, commands, texts, now_ns)
        self._ring.hold(block)
        self.blocks.append(block)
        if len(parts) == 1:
            self._answer(parts[0], block, block.first_command_sequence, block.events)
            return
        sequences = block.first_command_sequence + np.cumsum([0] + [len(part.commands) for part in parts])
        bounds = np.searchsorted(block.events["command_sequence"], sequences).tolist()
        for part, sequence, start, stop in zip(parts, sequences.tolist(), bounds, bounds[1:], strict=False):
            self._answer(part, block, sequence, block.events[start:stop])

    def _answer(self, part: _Part, block: Block, sequence: int, events: Records) -> None:
        self.segments[part.batch].append(Segment(part.first_number, block.number, sequence, len(part.commands), events))


def repeated_segments(ring: Ring, batch: Batch, count: int) -> list[Segment]:
    """What came of the first `count` commands of a batch that were applied before, as far as the ring holds it."""
    segments = []
    number, end = batch.first_number, batch.first_number + count
    for place in ring.find(batch.client, number, end - 1):
        if place.first_number > number:
            segments.append(Segment(number, 0, 0, place.first_number - number, _NO_EVENTS))
        block = ring.get_any(place.block_number)
        assert block is not None, "the ring finds only what it holds"
        sequence = block.first_command_sequence + place.offset
        start, stop = np.searchsorted(block.events["command_sequence"], (sequence, sequence + place.command_count))
        segments.append(
            Segment(place.first_number, block.number, sequence, place.command_count, block.events[start:stop])
        )
        number = place.first_number + place.command_count
    if number < end:
        segments.append(Segment(number, 0, 0, end - number, _NO_EVENTS))
    return segments


def _block_ends(commands: Records) -> list[int]:
    """Where a block has to end within a batch: after each command on reference data, and at the end of the batch."""
    count = len(commands)
    if count == 1:
        return [1]
    ends: list[int] = (np.flatnonzero(commands["kind"] >= FIRST_REFERENCE_COMMAND) + 1).tolist()
    return ends if ends and ends[-1] == count else [*ends, count]


def _is_reference(command: np.void) -> bool:
    return int(command["kind"]) >= FIRST_REFERENCE_COMMAND


def _cut(commands: Records, texts: bytes) -> tuple[Records, bytes]:
    """Some neighbouring commands of a batch with their texts, which follow one another as `Engine.check` saw."""
    commands = commands.copy()
    start = int(commands["text_offset"][0])
    stop = int(commands["text_offset"][-1]) + int(commands["text_length"][-1])
    commands["text_offset"] -= start
    return commands, texts[start:stop]


def _joined(parts: Sequence[_Part]) -> tuple[Records, bytes]:
    """The commands of all parts one after another, pointing into the joined texts."""
    if len(parts) == 1:
        return parts[0].commands, parts[0].texts
    commands = np.frombuffer(bytearray().join([part.commands.tobytes() for part in parts]), layout.COMMAND)
    sizes = [len(part.texts) for part in parts]
    shifts = np.cumsum([0, *sizes[:-1]], dtype=np.uint32)
    commands["text_offset"] += np.repeat(shifts, [len(part.commands) for part in parts])
    return commands, b"".join([part.texts for part in parts])
