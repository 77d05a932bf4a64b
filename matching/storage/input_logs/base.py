"""Interfaces of input logs, which decide how durable a command is when it is answered.

An `InputLog` belongs to one engine and stores its blocks. A `CommandLog` is shared by all replicas and stores commands,
from which every replica makes the same blocks.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from matching.core.blocks import Block


class UnreadLog(NamedTuple):
    """A log that this engine wrote in an earlier run and does not read in this one."""

    folder: Path
    newest: Block  # the newest block in it


class InputLog(Protocol):
    """Methods raise LogUnusable: then the engine must not answer anything any more."""

    name: str

    def blocks(self) -> Iterator[Block]:
        """The blocks in the log, by number. Truncates an incomplete record at the end. Raises LogDamaged."""

    def unread_log(self) -> UnreadLog | None:
        """A log of another kind that an earlier run left in the engine's folder. It is not changed.

        Raises LogDamaged.
        """

    def append(self, blocks: Sequence[Block]) -> None:
        """Stores the blocks of one turn. When it returns, they are as durable as this kind of log promises.

        Raises LogFull: the same blocks may be given again when there is room.
        """

    def drop_before(self, number: int) -> None:
        """Blocks before `number` are no longer needed. The log may keep some of them."""

    def close(self) -> None: ...


class Logged(NamedTuple):
    """One message of a log: the commands of one block."""

    offset: int  # position in the log; increases by one
    time_ns: int  # when the log stored it, nanoseconds since the Unix epoch
    key: bytes  # given by the writer
    frame: bytes


class Readable(Protocol):
    """A source for `Network.wait` besides sockets; `raw` is a file descriptor."""

    @property
    def raw(self) -> int: ...


class CommandLog(Protocol):
    """A log of messages with one order for all readers. Only `begin` and `close` may block."""

    identity: str
    """Identifies this log: the same for all its readers, different from any other log."""

    @property
    def arrival(self) -> Readable:
        """Is readable while `read` has messages."""

    def begin(self, offset: int, applied_ns: int) -> int:
        """Starts reading at `offset`; returns the current end offset of the log.

        `applied_ns` is the time at which the log stored the message before `offset`, or later, in nanoseconds since the
        Unix epoch. Raises LogUnusable if the log does not contain that position, or has another message there now.
        """

    def read(self, limit: int) -> list[Logged]:
        """The next messages that have arrived. Raises LogUnusable if the log cannot be read any further."""

    def append(self, key: bytes, frame: bytes) -> bool:
        """Starts appending a message. Returns False, without appending, if the queue is full.

        `read` returns the message once it is as durable as the log promises. Raises LogUnusable.
        """

    def lost(self) -> list[bytes]:
        """Keys of messages that may or may not come out of `read` later; each key is returned once."""

    def away(self) -> str:
        """Why the log accepts no messages at the moment, as a sentence; "" while it does."""

    def has_reached_end(self) -> bool:
        """Whether `read` has reached the end of the log at some time since `begin`."""

    def close(self) -> None: ...
