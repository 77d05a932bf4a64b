"""Snapshots as files: the newest few, each named for the block after which it was made, and when a new one is made.

A snapshot saves time and is never the truth: one that cannot be used is passed over, by name, for the one before it.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from matching.core import snapshots
from matching.core.engine import Engine
from matching.core.errors import BadFile
from matching.storage.disk import Disk
from matching.storage.ring import Ring

log = structlog.get_logger(__name__)

_SUFFIX = ".snapshot"
_DRAFT = ".part"
_UNUSABLE = ".unusable"


class SnapshotFolder:
    """Files under `folder`, which is made with the first one; `keep` of them stay."""

    def __init__(self, disk: Disk, folder: Path, keep: int) -> None:
        self.folder = folder
        self._disk = disk
        self._keep = keep

    def numbers(self) -> list[int]:
        """Blocks after which there is a snapshot, usable or not, oldest first."""
        stems = (name.removesuffix(_SUFFIX) for name in self._disk.names(self.folder, _SUFFIX))
        return [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]

    def newest_first(self) -> Iterator[Engine]:
        """An engine from each file that is whole; says which one it passes over and why."""
        for number in reversed(self.numbers()):
            try:
                yield self._load(number)
            except BadFile as error:
                self.pass_over(number, str(error))

    def pass_over(self, number: int, reason: str) -> None:
        """Puts a snapshot aside under another name: it counts as none from now on, and somebody may look at it."""
        path = self._path(number)
        log.warning("snapshot passed over", file=str(path), reason=reason)
        try:
            self._disk.rename(path, path.with_name(path.name + _UNUSABLE))
        except OSError as error:
            log.warning("snapshot cannot be put aside", file=str(path), reason=error.strerror)

    def write(self, number: int, data: bytes) -> None:
        """Durable when this returns. Raises OSError."""
        self._disk.write_whole(self._path(number), data)

    def tidy(self, apart: Collection[int] = ()) -> None:
        """Removes all but the newest, and what was left of files that were never finished. Raises OSError.

        Those `apart` take no other one's place: the newest few of them stay beside the others.
        """
        numbers = self.numbers()
        counted = [number for number in numbers if number not in apart]
        uncounted = [number for number in numbers if number in apart]
        for number in counted[: -self._keep] + uncounted[: -self._keep]:
            self._disk.remove(self._path(number))
        unusable = self._disk.names(self.folder, _SUFFIX + _UNUSABLE)
        for name in unusable[: -self._keep] + self._disk.names(self.folder, _DRAFT):
            self._disk.remove(self.folder / name)

    def read(self, number: int, offset: int, size: int) -> bytes | None:
        """At most `size` bytes of a snapshot from `offset` on; b"" at its end, None where it is gone or unreadable."""
        try:
            with self._disk.open(self._path(number)) as file:
                file.seek(offset)
                return file.read(size)
        except OSError:
            return None

    def state_hash(self, number: int) -> int:
        """Of the state in a snapshot. Raises BadFile."""
        try:
            with self._disk.open(self._path(number)) as file:
                block_number, state_hash = snapshots.read_position(file)
        except OSError as error:
            raise BadFile(f"It cannot be read: {error.strerror}.") from error
        _check_name(number, block_number)
        return state_hash

    def size_of(self, number: int) -> int | None:
        """In bytes; None where it is gone or unreadable."""
        try:
            with self._disk.open(self._path(number)) as file:
                return file.seek(0, 2)
        except OSError:
            return None

    def _load(self, number: int) -> Engine:
        try:
            with self._disk.open(self._path(number)) as file:
                engine = snapshots.decode(file.read())
        except OSError as error:
            raise BadFile(f"It cannot be read: {error.strerror}.") from error
        _check_name(number, engine.block_number)
        return engine

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:020d}{_SUFFIX}"


def _check_name(number: int, block_number: int) -> None:
    if block_number != number:
        raise BadFile(f"It is of block {block_number}, not of the block that its name says.")


class Written(NamedTuple):
    """How the writing of one snapshot ended; `failure` is why there is none, "" where there is."""

    block: int
    size_bytes: int
    pause_s: float  # the engine did nothing else for so long
    failure: str = ""


class SnapshotWriter(Protocol):
    """Writes one snapshot at a time."""

    def begin(self, engine: Engine) -> None:
        """Writes what the engine is now, which may go on as soon as this returns."""

    def outcome(self) -> Written | None:
        """Of the one that was begun, once; None while it is under way, or when none was."""

    def close(self) -> None:
        """Gives up what is under way."""


class DirectWriter:
    """Writes at once, and the engine waits."""

    def __init__(self, folder: SnapshotFolder) -> None:
        self._folder = folder
        self._outcome: Written | None = None

    def begin(self, engine: Engine) -> None:
        data = snapshots.encode(engine)
        try:
            self._folder.write(engine.block_number, data)
        except OSError as error:
            self._outcome = Written(engine.block_number, 0, 0.0, error.strerror or "unknown error")
        else:
            self._outcome = Written(engine.block_number, len(data), 0.0)

    def outcome(self) -> Written | None:
        outcome, self._outcome = self._outcome, None
        return outcome

    def close(self) -> None:
        """Nothing is under way between calls."""


class Snapshotter:
    """Has a snapshot written every `every_blocks` blocks, 0: never, and whenever one was requested.

    Files of earlier lives may be of a history that was given up, as where a leader was replaced by an engine that had
    less: such a one is put aside once the chain has come to its block, and counts for nothing before.
    """

    def __init__(self, folder: SnapshotFolder, writer: SnapshotWriter, every_blocks: int) -> None:
        self.folder = folder
        self._writer = writer
        self._every_blocks = every_blocks
        self._begun: int | None = None  # block of the last one that was begun; None: nothing is known of any yet
        self._under_way = False
        self._requested = False
        self._found: list[int] | None = None  # of earlier lives and not compared yet, oldest first; None: not looked

    def look(self, engine: Engine, ring: Ring) -> bool:
        """Once a turn, when all that the engine did is in its input log: whether a snapshot was finished since."""
        if self._uncompared:
            self._compare(self._uncompared, engine, ring)
        finished = self._under_way and self._finish()
        if not self._under_way and self._is_due(engine.block_number):
            self._begun = engine.block_number
            self._under_way = True
            self._writer.begin(engine)
        return finished

    def request(self) -> None:
        """One is written as soon as it can be, unless one is under way or there is one of the newest block."""
        self._requested = not self._under_way

    def newest(self) -> int | None:
        """Block of the newest snapshot that is not of another history, None where there is none."""
        return max(self._numbers(), default=None)

    def oldest(self) -> int | None:
        return min(self._numbers(), default=None)

    def read(self, number: int, offset: int, size: int) -> bytes | None:
        """As `SnapshotFolder.read`."""
        return self.folder.read(number, offset, size)

    def size_of(self, number: int) -> int | None:
        """As `SnapshotFolder.size_of`; None, too, where it may be of another history."""
        return None if number in self._uncompared else self.folder.size_of(number)

    def close(self) -> None:
        self._writer.close()

    @property
    def _uncompared(self) -> list[int]:
        if self._found is None:
            self._found = self.folder.numbers()
        return self._found

    def _numbers(self) -> list[int]:
        return [number for number in self.folder.numbers() if number not in self._uncompared]

    def _compare(self, waiting: list[int], engine: Engine, ring: Ring) -> None:
        """With the chain, as far as it has come; what is older than the ring stays, and nobody can go on from it."""
        oldest_of_use = (ring.first or ring.last + 1) - 1
        while waiting:
            number = waiting[0]
            known = engine.state_hash if number == engine.block_number else ring.hash_of(number)
            if known is None and number >= oldest_of_use:
                return
            del waiting[0]
            if known is not None and number in self.folder.numbers():
                self._put_aside_unless(number, known)

    def _put_aside_unless(self, number: int, state_hash: int) -> None:
        try:
            if self.folder.state_hash(number) != state_hash:
                self.folder.pass_over(number, "It is of another history: this engine's chain has another such block.")
        except BadFile as error:
            self.folder.pass_over(number, str(error))

    def _is_due(self, block: int) -> bool:
        if self._requested:
            self._requested = False
            return block > (self.newest() or 0)
        if self._begun is None:
            self._begun = min(block, self.newest() or 0)
        return self._every_blocks > 0 and block - self._begun >= self._every_blocks

    def _finish(self) -> bool:
        written = self._writer.outcome()
        if written is None:
            return False
        self._under_way = False
        if not written.failure and written.block in self._uncompared:
            self._uncompared.remove(written.block)  # it has taken that one's place
        if written.failure:
            log.warning("snapshot not written", block=written.block, reason=written.failure)
            return False
        pause_ms = round(written.pause_s * 1000, 1)
        log.info("snapshot written", block=written.block, bytes=written.size_bytes, pause_ms=pause_ms)
        try:
            self.folder.tidy(self._uncompared)
        except OSError as error:
            log.warning("old snapshots stay", folder=str(self.folder.folder), reason=error.strerror)
        return True
