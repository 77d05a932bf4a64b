"""No log: a crash loses what neither settlement nor a follower has yet. Makes no file."""

from collections.abc import Iterator, Sequence

from matching.blocks import Block


class MemoryLog:
    name = "memory"

    def blocks(self) -> Iterator[Block]:
        return iter(())

    def append(self, blocks: Sequence[Block]) -> None:
        """Nothing is promised, so nothing is done."""

    def drop_before(self, number: int) -> None:
        """Nothing is held, so nothing is dropped."""

    def close(self) -> None:
        """Nothing is open."""
