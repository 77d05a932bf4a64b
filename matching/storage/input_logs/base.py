"""The contracts of input logs: how durable a command is when its answer goes out.

`InputLog` belongs to one engine and takes its blocks. `CommandLog` is shared by all replicas: it takes commands, and
every replica makes the same blocks of them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from matching.core.blocks import Block


class LeftBehind(NamedTuple):
    """A log in this engine's folder that the engine kept before and does not read now."""

    folder: Path
    newest: Block  # that it holds


class InputLog(Protocol):
    """Raises LogUnusable: nothing may be answered any more."""

    name: str

    def blocks(self) -> Iterator[Block]:
        """What the log holds, by number; what was never wholly written is cut off. Raises LogDamaged."""

    def left_behind(self) -> LeftBehind | None:
        """What an engine with another kind of log has left in this one's folder, which stays as it is.

        Raises LogDamaged.
        """

    def append(self, blocks: Sequence[Block]) -> None:
        """Takes the blocks of one turn; they are as durable as this log promises when it returns.

        Raises LogFull, and then the same blocks may be given again when there is room.
        """

    def drop_before(self, number: int) -> None:
        """Blocks before `number` are not needed any more; some of them may stay."""

    def close(self) -> None: ...


class Logged(NamedTuple):
    """One message of a log: the commands of one block."""

    offset: int  # its place; they rise by one
    time_ns: int  # when the log took it, nanoseconds since the Unix epoch
    key: bytes  # what was given with it
    frame: bytes


class Readable(Protocol):
    """What `Network.wait` takes beside sockets: `raw` is a file descriptor."""

    @property
    def raw(self) -> int: ...


class CommandLog(Protocol):
    """One order of messages for all who read it. Nothing here waits but `begin` and `close`."""

    identity: str
    """The same for all who read this log, and of no other log."""

    @property
    def arrival(self) -> Readable:
        """Has something to read while `read` has something to give."""

    def begin(self, offset: int, applied_ns: int) -> int:
        """Reads from `offset` on; returns where the log ends now.

        `applied_ns` is when the log took the message before it, or later, in nanoseconds since the Unix epoch. Raises
        LogUnusable where the log does not reach there, or has another message there now.
        """

    def read(self, most: int) -> list[Logged]:
        """The next messages that are there. Raises LogUnusable: it cannot be read any further."""

    def append(self, key: bytes, frame: bytes) -> bool:
        """Begins to put a message at the end; False: there is no room now, and nothing was begun.

        It comes out of `read` once it is as durable as the log promises, however long that takes. Raises LogUnusable.
        """

    def lost(self) -> list[bytes]:
        """Keys of messages, each told once, of which nobody knows whether they will come out of `read`."""

    def away(self) -> str:
        """Why the log takes nothing at the moment, one sentence; "" while it does."""

    def is_at_end(self) -> bool:
        """Whether `read` has given everything up to an end that the log has had since `begin`."""

    def close(self) -> None: ...
