"""The ring: the newest blocks in memory, for readers that missed one and for requests that are sent again.

Limited in number and bytes. Blocks that settlement has confirmed are dropped when room is needed; unconfirmed ones
never are. If those fill the ring (`full`), the engine halts.

A leader's blocks are visible to readers only once its input log has them (`hold`, then `release`).
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from matching.core.blocks import Block


class CommandRange(NamedTuple):
    """The position of a client's commands `first_number` … `first_number + command_count - 1`."""

    first_number: int
    command_count: int
    block_number: int
    offset: int  # index of the first command in the block


@dataclass(slots=True)
class _ClientRanges:
    """Command ranges of one client, oldest first. The first `dropped` of them belong to dropped blocks."""

    first_numbers: list[int] = field(default_factory=list)
    ranges: list[CommandRange] = field(default_factory=list)
    dropped: int = 0

    def drop_one(self) -> None:
        self.dropped += 1
        if self.dropped > 64 and 2 * self.dropped > len(self.ranges):  # rarely, to keep the average cost low
            del self.first_numbers[: self.dropped], self.ranges[: self.dropped]
            self.dropped = 0


class Ring:
    """Blocks with consecutive numbers. Raises nothing; `append` asserts the order."""

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
        self._ranges_by_client: dict[int, _ClientRanges] = {}
        self._unindexed: list[Block] = []

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def first(self) -> int:
        """Number of the oldest block in the ring, 0 if it is empty."""
        return self._first if self._blocks else 0

    @property
    def last(self) -> int:
        """Number of the newest block that was visible to readers, 0 before the first."""
        return self._released

    @property
    def withheld(self) -> Block | None:
        """The oldest block that is not visible to readers yet, None if all are."""
        return self._blocks[self._released + 1] if self._released < self._last else None

    @property
    def unconfirmed(self) -> int:
        """Number of unconfirmed blocks."""
        return self._last - max(self.confirmed, self._first - 1)

    @property
    def room(self) -> int:
        """Number of blocks that may still be made; 0 or less if the ring is full."""
        return self.max_blocks - self.unconfirmed if self.unconfirmed_bytes < self.max_bytes else 0

    @property
    def full(self) -> bool:
        return self.room <= 0

    def begin_after(self, number: int) -> None:
        """Starts an empty ring after block `number`: blocks up to it are durable elsewhere."""
        assert not self._blocks
        self._first = number + 1
        self._last = self._released = self.confirmed = number

    def append(self, block: Block) -> None:
        """Adds the next block. Drops the oldest confirmed blocks if room is needed."""
        self.hold(block)
        self.release()

    def hold(self, block: Block) -> None:
        """Adds the next block as `append` does, but invisible to readers until `release`."""
        if not self._blocks:
            self._first = block.number
            self.confirmed = max(self.confirmed, block.number - 1)
            self._released = max(self._released, block.number - 1)
        assert self._last in (0, block.number - 1), "blocks have consecutive numbers"
        self._blocks[block.number] = block
        self._last = block.number
        self.size_bytes += len(block.data)
        self.unconfirmed_bytes += len(block.data)
        self._unindexed.append(block)
        self._make_room()

    def release(self) -> None:
        """Makes all blocks visible to readers."""
        self._released = self._last

    def confirm(self, number: int) -> None:
        """Marks blocks up to `number` as durable. Ignores numbers above the newest or below a confirmed block."""
        if number > self._released:
            return
        while self.confirmed < number:
            self.confirmed += 1
            self.unconfirmed_bytes -= len(self._blocks[self.confirmed].data)

    def unconfirm_after(self, number: int) -> None:
        """Marks the blocks after `number` as unconfirmed again, so that they are not dropped."""
        while self.confirmed > max(number, self._first - 1):
            self.unconfirmed_bytes += len(self._blocks[self.confirmed].data)
            self.confirmed -= 1

    def reset(self) -> None:
        """Removes all blocks. The next one may have any number."""
        vars(self).update(vars(Ring(self.max_blocks, self.max_bytes)))

    def get(self, number: int) -> Block | None:
        """A block that is in the ring and visible to readers."""
        return self._blocks.get(number) if number <= self._released else None

    def get_any(self, number: int) -> Block | None:
        """A block that is in the ring, visible to readers or not."""
        return self._blocks.get(number)

    def hash_of(self, number: int) -> int | None:
        """The hash of a block in the ring or of the one before the oldest; None for others."""
        block, following = self.get(number), self.get(number + 1)
        if block is not None:
            return block.hash
        return following.prev_hash if following is not None else None

    def index(self) -> None:
        """Indexes the requests of the newest blocks.

        `find` does this too. Call it when the answers are sent: then it delays none of them.
        """
        for block in self._unindexed:
            self._remember_requests(block)
        self._unindexed.clear()

    def find(self, client: int, first_number: int, last_number: int) -> list[CommandRange]:
        """The positions of a client's commands with these numbers, in order, without those in dropped blocks."""
        self.index()
        client_ranges = self._ranges_by_client.get(client)
        if client_ranges is None:
            return []
        found = []
        start_index = max(client_ranges.dropped, bisect_right(client_ranges.first_numbers, first_number) - 1)
        for commands in client_ranges.ranges[start_index:]:
            if commands.first_number > last_number:
                break
            start = max(first_number, commands.first_number)
            count = min(last_number + 1, commands.first_number + commands.command_count) - start
            if count > 0:
                found.append(
                    CommandRange(start, count, commands.block_number, commands.offset + start - commands.first_number)
                )
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
        for client, first_number, _, _, count, _ in block.requests.tolist():
            if client and count:  # a request without commands records how far an input log was read
                client_ranges = self._ranges_by_client.setdefault(client, _ClientRanges())
                client_ranges.first_numbers.append(first_number)
                client_ranges.ranges.append(CommandRange(first_number, count, block.number, offset))
            offset += count

    def _forget_requests(self, block: Block) -> None:
        for client, _, _, _, count, _ in block.requests.tolist():
            if client and count:
                client_ranges = self._ranges_by_client[client]
                client_ranges.drop_one()
                if client_ranges.dropped == len(client_ranges.ranges):
                    del self._ranges_by_client[client]
