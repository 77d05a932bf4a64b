"""The sequencer: turns batches into blocks, which decides the total order of commands.

Small batches share a block. A block ends after `block_commands` commands, after a command on reference data, before a
batch that begins with an order that requires its previous command, and where the engine ends it because it has many
events. The two records of a one-cancels-other are never in different blocks: a block that would end between them has
one command more. A batch that was applied before is not applied again; its answer is read from the blocks in the ring.
A batch that skips numbers is refused, and its client sends it again: an earlier batch was lost or is delayed. A batch
with numbers that were used for another one, or with the client id of another key, is refused permanently
(`matching.core.clients`).

A turn may have a budget of orders touched (`Engine.touched`). When it is used up, the turn ends, and the caller passes
the unfinished batches to the sequencer again.

The cost is a few array operations per batch and per block, none per command. It uses no socket; the clock is injected.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from matching.core import layout
from matching.core.blocks import Block, Records
from matching.core.clients import Client, Judged
from matching.core.codes import CommandKind, is_definition
from matching.core.engine import UNLIMITED, Engine, requires_previous
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.wire import Batch, Refused, Segment, encode_answer

_NO_EVENTS = np.zeros(0, layout.EVENT)
_REQUEST = struct.Struct("<QQQQII")
assert _REQUEST.size == layout.REQUEST.itemsize


class Sequenced(NamedTuple):
    """The result of one turn: blocks in order, and for each batch, in order, its encoded answer or refusal.

    If the turn's budget was used up, `costly` is the index of the batch that used it up, and `unfinished` has the index
    of each batch without an answer, with the answers to its commands so far.
    """

    blocks: list[Block]
    answers: list[bytes | Refused | None]
    costly: int | None = None
    unfinished: Mapping[int, Sequence[Segment]] = MappingProxyType({})


class _Part(NamedTuple):
    """The commands of one batch that go into one block."""

    batch_index: int
    batch: Batch
    at: int  # index of the first command in the batch
    commands: Records
    texts: bytes

    @property
    def request(self) -> tuple[int, int, int, int, int, int]:
        """The fields of a REQUEST record."""
        batch = self.batch
        number = batch.first_number + self.at
        return batch.client, number, batch.owner, batch.digest, len(self.commands), self.at


class LogPosition(NamedTuple):
    """How far an input log has been read. Every block made from a message of the log contains this position."""

    client: int  # the log's client id, `clients.FIRST_LOG_CLIENT` or above
    next_offset: int  # offset of the next message


class Sequencer:
    """`clock` returns nanoseconds since the Unix epoch. A block is never earlier than the previous one."""

    def __init__(self, engine: Engine, ring: Ring, clock: Callable[[], int], block_commands: int) -> None:
        self._engine = engine
        self._ring = ring
        self._clock = clock
        self._block_commands = block_commands

    def sequence(
        self,
        batches: Sequence[Batch],
        position: LogPosition | None = None,
        *,
        budget: int = UNLIMITED,
        earlier: Sequence[Segment] = (),
    ) -> Sequenced:
        """Applies the new commands of batches that passed `Engine.check`. The ring keeps the blocks until `release`.

        If the batches come from a log, every block begins with `position`. `earlier` are the answers to commands of the
        first batch that an earlier turn did not finish.
        """
        # A REQUEST without commands means: all numbers before its first number are applied.
        mark = b"" if position is None else _REQUEST.pack(position.client, position.next_offset + 1, 0, 0, 0, 0)
        turn = _Turn(self._engine, self._ring, self._clock, self._block_commands, len(batches), mark)
        turn.budget = budget
        for index, batch in enumerate(batches):
            turn.take(index, batch)
        turn.seal()
        if earlier and turn.repeated.get(0) == sum(segment.command_count for segment in earlier):
            turn.segments[0][:0] = earlier
            del turn.repeated[0]
        answers = [self._answer(batch, turn, index) for index, batch in enumerate(batches)]
        return Sequenced(turn.blocks, answers, turn.costly, {index: turn.segments[index] for index in turn.unfinished})

    def _answer(self, batch: Batch, turn: "_Turn", index: int) -> bytes | Refused | None:
        if index in turn.unfinished:
            return None
        if index in turn.refused:
            return turn.refused[index]
        segments = turn.segments[index]
        if index in turn.repeated:
            segments = repeated_segments(self._ring, batch, turn.repeated[index]) + segments
        return encode_answer(batch.client, batch.first_number, len(batch.commands), segments)

    def answer_repeated(self, batch: Batch) -> bytes | None:
        """The answer to a batch whose commands were all applied before; None for other batches."""
        client, count = self._engine.clients.get(batch.client), len(batch.commands)
        if client is None or _judged(client, batch) != Judged(applied=count):
            return None
        return encode_answer(batch.client, batch.first_number, count, repeated_segments(self._ring, batch, count))


class _Turn:
    """The blocks of one turn, while they are being built."""

    def __init__(
        self, engine: Engine, ring: Ring, clock: Callable[[], int], block_commands: int, batch_count: int, mark: bytes
    ) -> None:
        self._mark = mark  # the REQUEST record at the beginning of each block, b"" for none
        self._engine = engine
        self._ring = ring
        self._clock = clock
        self._block_commands = block_commands
        self._parts: list[_Part] = []
        self._size = 0
        self._taken: dict[int, tuple[int, int]] = {}  # client → (owner, last number) in `_parts`, not applied yet
        self.blocks: list[Block] = []
        self.segments: list[list[Segment]] = [[] for _ in range(batch_count)]
        self.repeated: dict[int, int] = {}  # batch → how many of its first commands were applied before
        self.refused: dict[int, Refused] = {}  # by batch
        self.budget = UNLIMITED  # orders that the rest of the turn may touch
        self.costly: int | None = None  # the batch that used up the budget
        self.unfinished: set[int] = set()

    def take(self, index: int, batch: Batch) -> None:
        if self.costly is not None:
            self.unfinished.add(index)
            return
        at = self._already_applied(index, batch)
        if at is None:
            return
        end = len(batch.commands)
        if at:
            self.repeated[index] = at
        for stop in _block_ends(batch.commands):
            while at < stop and self.costly is None:
                upto = self._end_of_part(batch.commands, at, stop)
                if upto > at:
                    self._place(index, batch, at, upto)
                    at = upto
                else:
                    self.seal()
            if _is_reference(batch.commands[stop - 1]):
                self.seal()
        if at < end:
            self.unfinished.add(index)

    def _end_of_part(self, commands: Records, at: int, stop: int) -> int:
        """Where the part from `at` on ends that fits into the block; `at` if the block must be sealed before it."""
        if self._parts and requires_previous(commands[at]):
            return at
        upto = min(stop, at + self._block_commands - self._size)
        if upto < stop and int(commands["kind"][upto]) == CommandKind.OCO_STOP:
            upto += 1 if upto == at + 1 and not self._parts else -1
        return upto

    def _already_applied(self, index: int, batch: Batch) -> int | None:
        """How many of the batch's first commands were applied before; None if it is not taken now."""
        taken = self._taken.get(batch.client)
        if taken == (batch.owner, batch.first_number - 1):
            return 0
        if taken is not None:
            self.seal()  # then the engine knows all of this client's batches
            if self.costly is not None:
                self.unfinished.add(index)
                return None
        clients = self._engine.clients
        client = clients.get(batch.client)
        if client is not None:
            judged = _judged(client, batch)
        else:
            now_ns = max(self._engine.timestamp_ns, self._clock())
            judged = clients.judge_new(batch.client, batch.first_number, batch.owner, now_ns)
        if judged.reason:
            applied = clients.last_number(batch.client, batch.owner)
            self.refused[index] = refusal(judged.reason, batch, applied, clients.floor_of(batch.owner))
            return None
        return judged.applied

    def _place(self, index: int, batch: Batch, at: int, upto: int) -> None:
        commands, texts = batch.commands, batch.texts
        if upto - at < len(commands):
            commands, texts = _cut(commands[at:upto], texts)
        self._parts.append(_Part(index, batch, at, commands, texts))
        self._size += upto - at
        self._taken[batch.client] = batch.owner, batch.first_number + upto - 1
        if self._size >= self._block_commands:
            self.seal()

    def seal(self) -> None:
        """Makes blocks from the parts so far: one, unless the engine ends it earlier."""
        parts = self._parts
        self._parts, self._size = [], 0
        self._taken.clear()
        while parts:
            parts = self._make_block(parts)

    def _make_block(self, parts: list[_Part]) -> list[_Part]:
        """Returns the parts that are not in the block, none when the budget is used up."""
        commands, texts = _joined(parts)
        requests = np.frombuffer(
            self._mark + b"".join([_REQUEST.pack(*part.request) for part in parts]),
            layout.REQUEST,
        )
        now_ns = max(self._engine.timestamp_ns, self._clock())
        block = self._engine.apply(requests, commands, texts, now_ns, self.budget)
        self._ring.hold(block)
        self.blocks.append(block)
        parts, rest = _divided(parts, block.command_count)
        self._answer_all(parts, block)
        return rest if self._charge(parts, rest) else []

    def _answer_all(self, parts: list[_Part], block: Block) -> None:
        if len(parts) == 1:
            self._answer(parts[0], block, block.first_command_sequence, block.events)
            return
        sequences = block.first_command_sequence + np.cumsum([0] + [len(part.commands) for part in parts])
        bounds = np.searchsorted(block.events["command_sequence"], sequences).tolist()
        for part, sequence, start, stop in zip(parts, sequences.tolist(), bounds, bounds[1:], strict=False):
            self._answer(part, block, sequence, block.events[start:stop])

    def _charge(self, parts: list[_Part], rest: list[_Part]) -> bool:
        """Subtracts from the budget what the last block touched. False if it is used up: then `rest` is unfinished."""
        is_exceeded = self._engine.touched > self.budget
        self.budget -= self._engine.touched
        if is_exceeded:
            self.costly = parts[-1].batch_index
            self.unfinished.update(part.batch_index for part in rest)
        return not is_exceeded

    def _answer(self, part: _Part, block: Block, sequence: int, events: Records) -> None:
        number = part.batch.first_number + part.at
        self.segments[part.batch_index].append(Segment(number, block.number, sequence, len(part.commands), events))


def refusal(reason: str, batch: Batch, applied: int, floor: int) -> Refused:
    """The refusal of a batch for its client id or its numbers. `applied` is the client's last applied command."""
    return Refused(reason, _sentence(reason, batch, applied), batch.client, batch.first_number, applied, floor=floor)


def _sentence(reason: str, batch: Batch, applied: int) -> str:
    client, first, last = batch.client, batch.first_number, batch.last_number
    return {
        wire.OUT_OF_ORDER: f"The engine has this client's commands up to {applied}: {first} is not the next.",
        wire.REQUEST_MISMATCH: (
            f"Commands {first} to {last} of client {client} were not applied: the client used these numbers before for "
            "other commands. Give each program a client id of its own."
        ),
        wire.REQUEST_FORGOTTEN: (
            f"Commands {first} to {last} of client {client} were not applied now: the client used these numbers "
            "before, and the engine no longer knows for which commands. Look up what was applied before you send them "
            "again."
        ),
        wire.CLIENT_OF_ANOTHER_KEY: (
            f"Client id {client} belongs to another key, so commands {first} to {last} were not applied. Use the key "
            "that began with it, or a new client id."
        ),
        wire.CLIENT_FORGOTTEN: (
            f"The engine has forgotten client id {client} or never knew it, and newer ids have been used since: "
            f"commands {first} to {last} were not applied now. Use a new client id."
        ),
        wire.CLIENT_AHEAD: (
            f"Client id {client} is of a time far after the engine's, so commands {first} to {last} were not applied. "
            "Correct the clock of the client's machine, or that of the engine's."
        ),
    }[reason]


def _judged(client: Client, batch: Batch) -> Judged:
    return client.judge(batch.first_number, len(batch.commands), batch.owner, batch.digest)


def repeated_segments(ring: Ring, batch: Batch, count: int) -> list[Segment]:
    """Answers to a batch's first `count` commands, which were applied before. Block 0: no longer in the ring."""
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
    """Where blocks may have to end: after each command on reference data, and at the end of the batch."""
    count = len(commands)
    if count == 1:
        return [1]
    ends: list[int] = (np.flatnonzero(is_definition(commands["kind"])) + 1).tolist()
    return ends if ends and ends[-1] == count else [*ends, count]


def _is_reference(command: np.void) -> bool:
    return bool(is_definition(int(command["kind"])))


def _divided(parts: list[_Part], count: int) -> tuple[list[_Part], list[_Part]]:
    """The parts of the first `count` commands, and of those after them."""
    for place, part in enumerate(parts):
        if count < len(part.commands):
            if not count:
                return parts[:place], parts[place:]
            first = part._replace(commands=part.commands[:count])
            commands, texts = _cut(part.commands[count:], part.texts)
            return [*parts[:place], first], [
                part._replace(at=part.at + count, commands=commands, texts=texts),
                *parts[place + 1 :],
            ]
        count -= len(part.commands)
    return parts, []


def _cut(commands: Records, texts: bytes) -> tuple[Records, bytes]:
    """Consecutive commands of a batch with their texts, which are contiguous (`Engine.check` has verified that)."""
    commands = commands.copy()
    start = int(commands["text_offset"][0])
    stop = int(commands["text_offset"][-1]) + int(commands["text_length"][-1])
    commands["text_offset"] -= start
    return commands, texts[start:stop]


def _joined(parts: Sequence[_Part]) -> tuple[Records, bytes]:
    """The concatenated commands of all parts, with offsets into the concatenated texts."""
    if len(parts) == 1:
        return parts[0].commands, parts[0].texts
    commands = np.frombuffer(bytearray().join([part.commands.tobytes() for part in parts]), layout.COMMAND)
    sizes = [len(part.texts) for part in parts]
    shifts = np.cumsum([0, *sizes[:-1]], dtype=np.uint32)
    commands["text_offset"] += np.repeat(shifts, [len(part.commands) for part in parts])
    return commands, b"".join([part.texts for part in parts])
