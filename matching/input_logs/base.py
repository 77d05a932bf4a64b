"""The contract of an input log: how durable a command is when its answer goes out."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from matching.blocks import Block


class InputLog(Protocol):
    """Raises LogUnusable: nothing may be answered any more."""

    name: str

    def blocks(self) -> Iterator[Block]:
        """What the log holds, by number; what was never wholly written is cut off. Raises LogDamaged."""

    def append(self, blocks: Sequence[Block]) -> None:
        """Takes the blocks of one turn; they are as durable as this log promises when it returns.

        Raises LogFull, and then the same blocks may be given again when there is room.
        """

    def drop_before(self, number: int) -> None:
        """Blocks before `number` are not needed any more; some of them may stay."""

    def close(self) -> None: ...
