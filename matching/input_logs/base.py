"""The contract of an input log: how durable a command is when its answer goes out.

InputLogError (a MatchingError)
└── InputLogDamaged     bytes in the middle that are not what was written: stop, keep the files, look at the disk
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from matching.blocks import Block
from matching.errors import MatchingError


class InputLogError(MatchingError):
    """The log cannot be read or written: nothing may be answered any more."""


class InputLogDamaged(InputLogError):
    pass


class InputLog(Protocol):
    """Raises InputLogError."""

    name: str

    def blocks(self) -> Iterator[Block]:
        """What the log holds, by number. Called once, before the first `append`."""

    def append(self, blocks: Sequence[Block]) -> None:
        """Takes the blocks of one turn; they are as durable as this log promises when it returns."""

    def close(self) -> None: ...
