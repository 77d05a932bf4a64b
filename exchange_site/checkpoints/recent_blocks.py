"""The blocks that settlement has just stored, for the signer's thread."""

from collections import deque
from collections.abc import Sequence

from settlement.stores.base import StoredBlock

_MAX_BYTES = 64 << 20


class RecentBlocks:
    """At most about `max_bytes` of the newest blocks. One thread adds, another one gets."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._by_number: dict[int, StoredBlock] = {}
        self._order: deque[int] = deque()
        self._bytes = 0

    def add(self, blocks: Sequence[StoredBlock]) -> None:
        """Adds stored blocks in the order of the chain. A block that is stored again replaces its earlier copy."""
        for block in blocks:
            replaced = self._by_number.get(block.number)
            self._by_number[block.number] = block
            self._bytes += len(block.data) - (len(replaced.data) if replaced else 0)
            if replaced is None:
                self._order.append(block.number)
        while self._bytes > self._max_bytes:
            self._bytes -= len(self._by_number.pop(self._order.popleft()).data)

    def get(self, number: int) -> StoredBlock | None:
        return self._by_number.get(number)
