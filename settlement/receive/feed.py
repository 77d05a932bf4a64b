"""The interface of settlement's source of blocks. `matching.feed.Feed` implements it; tests use scripted ones."""

from typing import Protocol

from matching.core.blocks import Block
from matching.transport import wire


class Feed(Protocol):
    def receive(self, timeout_s: float, limit: int) -> list[Block]:
        """The blocks that arrived, waiting at most `timeout_s`. There may be gaps and repeats.

        Headers are decoded, hashes not verified. Raises matching.core.errors.BadBlock for bytes that are not a block.
        """

    def request(self, first: int, last: int) -> None:
        """Requests these blocks again; `receive` returns them."""

    def missing(self) -> tuple[int, int] | None:
        """(first, end): the last request began with `first`, and the engine no longer has blocks before `end`.

        None unless the engine has answered so.
        """

    def newest(self) -> int:
        """The newest block that the engine announced; 0: none yet."""

    def status(self) -> wire.Status | None:
        """The engine's newest heartbeat; None: none yet."""

    def silent_for_s(self) -> float:
        """Seconds within `receive` since the engine's last message.

        Time outside `receive` does not count, because messages may be waiting to be read.
        """

    def move(self, addresses: wire.Addresses) -> None:
        """Listens to the engine at `addresses` from now on; nothing is announced until it does so."""

    def confirm(self, number: int) -> None:
        """Tells the engine that everything up to this block is durable."""

    def close(self) -> None: ...
