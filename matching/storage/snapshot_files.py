"""Snapshot files: writes new ones when they are due, keeps the newest few, reads them at the start.

A file is named for the block after which the snapshot was made. Snapshots only save time: one that cannot be used is
rejected, and the next older one is used.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from matching.core import layout, snapshots
from matching.core.engine import Engine
from matching.core.errors import BadFile
from matching.storage.disk import Disk
from matching.storage.ring import Ring

log = structlog.get_logger(__name__)

_SUFFIX = ".snapshot"
_DRAFT = ".part"
_UNUSABLE = ".unusable"


class SnapshotFolder:
    """The snapshot files in `folder`, which is created with the first one. The newest `keep` of them are kept."""

    def __init__(self, disk: Disk, folder: Path, keep: int) -> None:
        self.folder = folder
        self._disk = disk
        self._keep = keep

    def numbers(self) -> list[int]:
        """Block numbers of the snapshots, usable or not, in ascending order."""
        stems = (name.removesuffix(_SUFFIX) for name in self._disk.names(self.folder, _SUFFIX))
        return [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]

    def newest_first(self) -> Iterator[Engine]:
        """An engine from each valid file of today's layout, newest first. Rejects damaged files.

        Those of earlier layouts are left alone: a chain cannot be continued from them.
        """
        for number in reversed(self.numbers()):
            if 0 < self.layout_version(number) < layout.LAYOUT_VERSION:
                continue
            try:
                yield self.load(number)
            except BadFile as error:
                self.reject(number, str(error))

    def reject(self, number: int, reason: str) -> None:
        """Renames a snapshot, so that it is no longer used but can be examined."""
        path = self.path_of(number)
        log.warning("snapshot.rejected", file=str(path), reason=reason)
        try:
            self._disk.rename(path, path.with_name(path.name + _UNUSABLE))
        except OSError as error:
            log.warning("snapshot.rename_failed", file=str(path), reason=error.strerror)

    def write(self, number: int, data: bytes) -> None:
        """Writes a snapshot, durably. Raises OSError."""
        self._disk.write_whole(self.path_of(number), data)

    def tidy(self, apart: Collection[int] = ()) -> None:
        """Removes all but the newest snapshots, and unfinished files. Raises OSError.

        Snapshots in `apart` are counted separately: the newest of them are kept in addition to the others.
        """
        numbers = self.numbers()
        counted = [number for number in numbers if number not in apart]
        uncounted = [number for number in numbers if number in apart]
        for number in counted[: -self._keep] + uncounted[: -self._keep]:
            self._disk.remove(self.path_of(number))
        unusable = self._disk.names(self.folder, _SUFFIX + _UNUSABLE)
        for name in unusable[: -self._keep] + self._disk.names(self.folder, _DRAFT):
            self._disk.remove(self.folder / name)

    def read(self, number: int, offset: int, size: int) -> bytes | None:
        """At most `size` bytes of a snapshot from `offset` on: b"" at its end, None if it is missing or unreadable."""
        try:
            with self._disk.open(self.path_of(number)) as file:
                file.seek(offset)
                return file.read(size)
        except OSError:
            return None

    def state_hash(self, number: int) -> int:
        """The state hash of a snapshot. Raises BadFile."""
        return self._position(number).state_hash

    def layout_version(self, number: int) -> int:
        """The record layout of a snapshot, 0 if it cannot be read."""
        try:
            return self._position(number).layout_version
        except BadFile:
            return 0

    def newest_layout(self) -> int:
        """The record layout of the newest snapshot that can be read; today's if there is none."""
        layouts = (self.layout_version(number) for number in reversed(self.numbers()))
        return next(filter(None, layouts), layout.LAYOUT_VERSION)

    def _position(self, number: int) -> snapshots.Position:
        try:
            with self._disk.open(self.path_of(number)) as file:
                position = snapshots.read_position(file)
        except OSError as error:
            raise BadFile(f"It cannot be read: {error.strerror}.") from error
        _check_name(number, position.block_number)
        return position

    def size_of(self, number: int) -> int | None:
        """Size in bytes, None if it is missing or unreadable."""
        try:
            with self._disk.open(self.path_of(number)) as file:
                return file.seek(0, 2)
        except OSError:
            return None

    def load(self, number: int) -> Engine:
        """The engine of a snapshot. Raises BadFile."""
        try:
            with self._disk.open(self.path_of(number)) as file:
                engine = snapshots.decode(file.read())
        except OSError as error:
            raise BadFile(f"It cannot be read: {error.strerror}.") from error
        _check_name(number, engine.block_number)
        return engine

    def path_of(self, number: int) -> Path:
        return self.folder / f"{number:020d}{_SUFFIX}"


def _check_name(number: int, block_number: int) -> None:
    if block_number != number:
        raise BadFile(f"It is a snapshot of block {block_number}, but its file is named for another block.")


class Written(NamedTuple):
    """Outcome of writing one snapshot; `failure` is the reason if it failed, else ""."""

    block: int
    size_bytes: int
    pause_s: float  # time for which the engine was blocked
    failure: str = ""


class SnapshotWriter(Protocol):
    """Writes one snapshot at a time."""

    def begin(self, engine: Engine) -> None:
        """Starts writing the engine's current state. The engine may continue when this returns."""

    def outcome(self) -> Written | None:
        """The outcome of the snapshot that was begun, returned once.

        None while it is being written or if there is none.
        """

    def close(self) -> None:
        """Cancels the snapshot that is being written."""


class DirectWriter:
    """Writes synchronously: the engine is blocked meanwhile."""

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
        """Nothing to cancel: `begin` returns when the snapshot is written."""


class Snapshotter:
    """Has a snapshot written every `every_blocks` blocks (0: never) and on request.

    Files from before the start may belong to an abandoned chain, for example if this engine was a leader that was
    replaced by one with fewer blocks. So such a file is used only after it was compared with the chain, when the chain
    has reached its block; a file of another chain is rejected then.
    """

    def __init__(self, folder: SnapshotFolder, writer: SnapshotWriter, every_blocks: int) -> None:
        self.folder = folder
        self._writer = writer
        self._every_blocks = every_blocks
        self._begun: int | None = None  # block of the last snapshot that was begun; None: not known yet
        self._is_writing = False
        self._requested = False
        self._found: list[int] | None = None  # from before the start, not compared yet, oldest first; None: not listed

    def note_compared(self) -> None:
        """The caller has compared all files with this engine's chain and rejected those of another one."""
        self._found = []

    def advance(self, engine: Engine, ring: Ring | None = None) -> bool:
        """Called once a turn, when all blocks are durable. `ring` may be None after `note_compared`.

        Returns whether a snapshot was finished since the last call.
        """
        if self._uncompared:
            assert ring is not None, "files are compared with its blocks"
            self._compare(self._uncompared, engine, ring)
        finished = self._is_writing and self._finish()
        is_of_today = engine.layout_version == layout.LAYOUT_VERSION  # a follower may not have come so far yet
        if not self._is_writing and is_of_today and self._is_due(engine.block_number):
            self._begun = engine.block_number
            self._is_writing = True
            self._writer.begin(engine)
        return finished

    def request(self) -> None:
        """Requests a snapshot as soon as possible, unless one is being written or there is one of the newest block."""
        self._requested = not self._is_writing

    def newest(self) -> int | None:
        """Block of the newest snapshot that is known to be of this chain, None if there is none."""
        return max(self._numbers(), default=None)

    def oldest(self) -> int | None:
        return min(self._numbers(), default=None)

    def read(self, number: int, offset: int, size: int) -> bytes | None:
        """As `SnapshotFolder.read`."""
        return self.folder.read(number, offset, size)

    def size_of(self, number: int) -> int | None:
        """As `SnapshotFolder.size_of`, but None also for a file that may be of another chain."""
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
        """Compares files with the chain as far as it has come.

        Those older than the ring are kept; nobody can use them.
        """
        oldest_usable = (ring.first or ring.last + 1) - 1
        while waiting:
            number = waiting[0]
            known = engine.state_hash if number == engine.block_number else ring.hash_of(number)
            if known is None and number >= oldest_usable:
                return
            del waiting[0]
            if known is not None and number in self.folder.numbers():
                self._reject_unless(number, known)

    def _reject_unless(self, number: int, state_hash: int) -> None:
        try:
            if self.folder.state_hash(number) != state_hash:
                self.folder.reject(number, "It is of another chain: this engine's chain has another block there.")
        except BadFile as error:
            self.folder.reject(number, str(error))

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
        self._is_writing = False
        if not written.failure and written.block in self._uncompared:
            self._uncompared.remove(written.block)  # the new file replaced it
        if written.failure:
            log.warning("snapshot.write_failed", block=written.block, reason=written.failure)
            return False
        pause_ms = round(written.pause_s * 1000, 1)
        log.info("snapshot.written", block=written.block, bytes=written.size_bytes, pause_ms=pause_ms)
        try:
            self.folder.tidy(self._uncompared)
        except OSError as error:
            log.warning("snapshot.cleanup_failed", folder=str(self.folder.folder), reason=error.strerror)
        return True
