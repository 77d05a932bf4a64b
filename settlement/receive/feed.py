"""Where blocks come from, as settlement sees it. `matching.feed.Feed` is one; tests script others."""

from typing import Protocol

from matching.core.blocks import Block
from matching.transport import wire


class Feed(Protocol):
    def receive(self, timeout_s: float, limit: int) -> list[Block]:
        """What arrived, in order of arrival, waiting at most `timeout_s`; may skip and repeat.

        Headers are decoded, hashes not checked. Raises matching.core.errors.BadBlock for bytes that are no block.
        """

    def request(self, first: int, last: int) -> None:
        """Asks for these blocks again; they come out of `receive`."""

    def missing(self) -> tuple[int, int] | None:
        """(first, end): what was requested last begins with `first`, and the engine has nothing before `end` any more.

        None while it has not said so.
        """

    def newest(self) -> int:
        """The newest block that the engine announced, 0 before it announced any."""

    def status(self) -> wire.Status | None:
        """The engine's newest heartbeat; None before there was one."""

    def silent_for_s(self) -> float:
        """Seconds of listening in which nothing came of the engine. Time in which nobody calls `receive` is no silence:
        what the engine sent may be waiting to be read.
        """

    def move(self, addresses: wire.Addresses) -> None:
        """Listens to the engine at `addresses` from now on, as if it were the first: nothing is announced yet."""

    def confirm(self, number: int) -> None:
        """Tells the engine that everything up to this block is durable."""

    def close(self) -> None: ...
