"""An engine's history in memory instead of settlement's store; several engines can share one."""

from collections.abc import Iterable, Iterator, Sequence

from matching.core.blocks import Block
from matching.core.epochs import Epoch, admits, newest

STORE = bytes(range(16))
"""Identity of the store that all these histories stand for."""


class MemoryHistory:
    """Follows the rules of the store interface: no blocks of ended epochs, and no epoch begins twice."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self.kept = list(blocks)
        self.begun: list[Epoch] = []

    def store_identity(self) -> bytes:
        return STORE

    def append(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            assert admits(self.begun, block.epoch, block.number), f"block {block.number} is fenced"
            self.kept.append(block)

    def withdraw(self) -> None:
        """Does nothing: there are no claims."""

    def epochs(self) -> Sequence[Epoch]:
        return tuple(self.begun)

    def hash_of(self, number: int) -> int | None:
        return next((block.hash for block in self.kept if block.number == number), None)

    def blocks(self, first: int) -> Iterator[Block]:
        return iter([block for block in self.kept if block.number >= first])

    def begin_epoch(self, epoch: Epoch) -> bool:
        last = newest(self.begun)
        if last is not None and last.number >= epoch.number:
            return False
        if self.kept and self.kept[-1].number >= epoch.first_block:
            return False
        if self.kept and self.kept[-1].number == epoch.first_block - 1 and self.kept[-1].hash != epoch.prev_hash:
            return False
        self.begun.append(epoch)
        return True
