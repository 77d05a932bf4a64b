"""The newest blocks, in memory: for readers that missed one, and for requests that come a second time.

Bounded by count and bytes. A block that settlement has confirmed stays as long as there is room; one that it has not
is never dropped: with too many of those the ring is `full`, and the engine halts.

A leader's blocks are held back until its input log has them: readers see what was released, the engine makes more.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from matching.core.blocks import Block
from matching.core.layout import BLOCK_HEADER, REQUEST

_REQUEST = struct.Struct("<QQII")
assert _REQUEST.size == REQUEST.itemsize


class Place(NamedTuple):
    """Where the commands `first_number` … `first_number + command_count - 1` of one client stand."""

    first_number: int
    command_count: int
    block_number: int
    offset: int  # of the first of them in its block


@dataclass(slots=True)
class _Trail:
    """Places of one client, oldest first; the first `gone` of them are of blocks that were dropped."""

    first_numbers: list[int] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    gone: int = 0

    def drop_one(self) -> None:
        self.gone += 1
        if self.gone > 64 and 2 * self.gone > len(self.places):  # rarely, so that dropping stays cheap
            del self.first_numbers[: self.gone], self.places[: self.gone]
            self.gone = 0


class Ring:
    """Blocks with neighbouring numbers. Raises nothing; `append` asserts the order."""

    def __init__(self, max_blocks: int, max_bytes: int) -> None:
        self.max_blocks = max_blocks
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self.unconfirmed_bytes = 0
        self.confirmed = 0
        self._blocks: dict[int, Block] = {}
        self._first = 1
        self._last = 0
        self._released = 0
        self._trails: dict[int, _Trail] = {}
        self._unindexed: list[Block] = []

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def first(self) -> int:
        """Number of the oldest block held, 0 when there is none."""
        return self._first if self._blocks else 0

    @property
    def last(self) -> int:
        """Number of the newest block that readers ever saw, 0 before the first."""
        return self._released

    @property
    def withheld(self) -> Block | None:
        """The oldest block that readers do not see yet; None when they see all."""
        return self._blocks[self._released + 1] if self._released < self._last else None

    @property
    def unconfirmed(self) -> int:
        """How many blocks wait to be confirmed."""
        return self._last - max(self.confirmed, self._first - 1)

    @property
    def room(self) -> int:
        """How many more blocks may be made; 0 or less: full."""
        return self.max_blocks - self.unconfirmed if self.unconfirmed_bytes < self.max_bytes else 0

    @property
    def full(self) -> bool:
        return self.room <= 0

    def begin_after(self, number: int) -> None:
        """For an empty ring: blocks up to `number` are durable elsewhere, the next one comes first."""
        assert not self._blocks
        self._first = number + 1
        self._last = self._released = self.confirmed = number

    def append(self, block: Block) -> None:
        """Takes the next block; drops confirmed ones, oldest first, for which there is no room any more."""
        self.hold(block)
        self.release()

    def hold(self, block: Block) -> None:
        """Takes the next block as `append` does, but readers do not see it until `release`."""
        if not self._blocks:
            self._first = block.number
            self.confirmed = max(self.confirmed, block.number - 1)
            self._released = max(self._released, block.number - 1)
        assert self._last in (0, block.number - 1), "blocks have neighbouring numbers"
        self._blocks[block.number] = block
        self._last = block.number
        self.size_bytes += len(block.data)
        self.unconfirmed_bytes += len(block.data)
        self._unindexed.append(block)
        self._make_room()

    def release(self) -> None:
        """Readers see every block from now on."""
        self._released = self._last

    def confirm(self, number: int) -> None:
        """Everything up to block `number` is durable. A number past the newest block or an old one changes nothing."""
        if number > self._released:
            return
        while self.confirmed < number:
            self.confirmed += 1
            self.unconfirmed_bytes -= len(self._blocks[self.confirmed].data)

    def confirmed_only_up_to(self, number: int) -> None:
        """What was counted as confirmed after block `number` is not, as far as it is held: it may not be dropped."""
        while self.confirmed > max(number, self._first - 1):
            self.unconfirmed_bytes += len(self._blocks[self.confirmed].data)
            self.confirmed -= 1

    def reset(self) -> None:
        """Forgets every block: the next one may have any number."""
        vars(self).update(vars(Ring(self.max_blocks, self.max_bytes)))

    def get(self, number: int) -> Block | None:
        """A block that is held and that readers may see."""
        return self._blocks.get(number) if number <= self._released else None

    def made(self, number: int) -> Block | None:
        """A block that is held, whether readers may see it or not."""
        return self._blocks.get(number)

    def hash_of(self, number: int) -> int | None:
        """The chain's hash after a block that is held, or that the oldest held one follows; None for all others."""
        block, following = self.get(number), self.get(number + 1)
        if block is not None:
            return block.hash
        return following.prev_hash if following is not None else None

    def index(self) -> None:
        """Makes the newest blocks' requests findable. `find` does it too; done after the answers, it delays none."""
        for block in self._unindexed:
            self._remember_requests(block)
        self._unindexed.clear()

    def find(self, client: int, first_number: int, last_number: int) -> list[Place]:
        """Where these numbers of a client stand, in order; numbers of dropped blocks are left out."""
        self.index()
        trail = self._trails.get(client)
        if trail is None:
            return []
        found = []
        for place in trail.places[max(trail.gone, bisect_right(trail.first_numbers, first_number) - 1) :]:
            if place.first_number > last_number:
                break
            start = max(first_number, place.first_number)
            count = min(last_number + 1, place.first_number + place.command_count) - start
            if count > 0:
                found.append(Place(start, count, place.block_number, place.offset + start - place.first_number))
        return found

    def _make_room(self) -> None:
        while self._first <= self.confirmed and (
            len(self._blocks) > self.max_blocks or self.size_bytes > self.max_bytes
        ):
            self.index()
            block = self._blocks.pop(self._first)
            self._first += 1
            self.size_bytes -= len(block.data)
            self._forget_requests(block)

    def _remember_requests(self, block: Block) -> None:
        offset = 0
        for client, first_number, count, _ in _requests(block):
            if client and count:  # a row of no commands says how far an input log was read
                trail = self._trails.setdefault(client, _Trail())
                trail.first_numbers.append(first_number)
                trail.places.append(Place(first_number, count, block.number, offset))
            offset += count

    def _forget_requests(self, block: Block) -> None:
        for client, _, count, _ in _requests(block):
            if client and count:
                trail = self._trails[client]
                trail.drop_one()
                if trail.gone == len(trail.places):
                    del self._trails[client]


def _requests(block: Block) -> Iterator[tuple[int, int, int, int]]:
    start = BLOCK_HEADER.itemsize
    return _REQUEST.iter_unpack(memoryview(block.data)[start : start + block.request_count * _REQUEST.size])
