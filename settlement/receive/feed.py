"""The interface of settlement's source of blocks. `matching.feed.Feed` implements it; tests use scripted ones."""

from typing import Protocol

from matching.core.blocks import Block
from matching.transport import wire


class Feed(Protocol):
    def receive(self, timeout_s: float, limit: int) -> list[Block]:
        """At most `limit` blocks; waits up to `timeout_s` for the first. There may be gaps and repeats.

        Hashes are not verified. Raises matching.core.errors.BadBlock for bytes that are not a block.
        """

    def request(self, first: int, last: int) -> None:
        """Requests these blocks again; `receive` returns them."""

    def missing(self) -> tuple[int, int] | None:
        """The engine's answer to the last request that it does not have the blocks; None if it gave no such answer.

        (first, end): the request began with block `first`, and the engine no longer has blocks before `end`.
        """

    def newest(self) -> int:
        """The newest block that the engine announced; 0: none yet."""

    def status(self) -> wire.Status | None:
        """The engine's newest heartbeat; None: none yet."""

    def silent_for_s(self) -> float:
        """Seconds spent in `receive` since the engine's last message. Outside `receive`, messages may wait unread."""

    def move(self, addresses: wire.Addresses) -> None:
        """Listens to the engine at `addresses` from now on; `newest` is 0 until that engine announces a block."""

    def confirm(self, confirmation: wire.Confirmation) -> None:
        """Confirms to the engine that all blocks up to this one are durable."""

    def refusal(self) -> wire.Refused | None:
        """The engine's last refusal of a confirmation (WRONG_STORE, WRONG_BLOCK); None: it has refused none."""

    def close(self) -> None: ...
