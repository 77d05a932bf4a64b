"""File operations of logs, snapshots and the audit trail. The simulator replaces them by a disk that fails.

Written data is durable only after `sync`; a new or renamed file only after its folder was synced too. Every method may
raise OSError.
"""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO, Protocol

DRAFT = ".part"
"""Suffix of files that `write_whole` has not finished. The owner of a folder removes those of dead processes."""


class AppendFile(Protocol):
    """A file that is only appended to."""

    size: int

    def write(self, data: bytes) -> None:
        """Appends all of `data`. If this fails, a part of it may have been written."""

    def sync(self) -> None:
        """Returns when all written data survives a power cut."""

    def truncate(self, size: int) -> None: ...

    def close(self) -> None: ...


class HeldLock(Protocol):
    def close(self) -> None:
        """Releases the lock."""


class Disk(Protocol):
    def names(self, folder: Path, suffix: str) -> list[str]:
        """Sorted names of the files in `folder` with this suffix; empty if the folder does not exist."""

    def exists(self, path: Path) -> bool: ...

    def open(self, path: Path) -> BinaryIO:
        """Opens a file for reading."""

    def append_to(self, path: Path) -> AppendFile:
        """Opens a file for appending. Creates it and its parent folders if they are missing.

        Created folders are durable when this returns.
        """

    def write_whole(self, path: Path, data: bytes) -> None:
        """Replaces `path` by `data`, durably and atomically.

        Readers find the complete new or the complete old content.
        """

    def rename(self, path: Path, to: Path) -> None: ...

    def remove(self, path: Path) -> None:
        """Removes a file; does nothing if it does not exist."""

    def sync_folder(self, folder: Path) -> None: ...

    def hold(self, path: Path) -> HeldLock:
        """Locks `path` for this process until closed or the process ends.

        Raises BlockingIOError if another one holds it.
        """


class LocalDisk:
    """The machine's file system."""

    def names(self, folder: Path, suffix: str) -> list[str]:
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(suffix))

    def exists(self, path: Path) -> bool:
        return path.exists()

    def open(self, path: Path) -> BinaryIO:
        return path.open("rb")

    def append_to(self, path: Path) -> AppendFile:
        make_folder(path.parent)
        return _LocalFile(path)

    def write_whole(self, path: Path, data: bytes) -> None:
        draft = path.with_name(f".{path.name}.{os.getpid()}{DRAFT}")
        try:
            file = self.append_to(draft)
            try:
                file.truncate(0)  # remove the rest of a failed attempt
                file.write(data)
                file.sync()
            finally:
                file.close()
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self.sync_folder(path.parent)

    def rename(self, path: Path, to: Path) -> None:
        path.rename(to)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def hold(self, path: Path) -> HeldLock:
        make_folder(path.parent)
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        return file

    def sync_folder(self, folder: Path) -> None:
        _sync_folder(folder)


def make_folder(folder: Path) -> None:
    """Creates a folder and its missing parents, durably, closed to other accounts. Raises OSError."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):  # with `parents=True` the mode would be that of `folder` only
        one.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(one.parent)
    folder.mkdir(exist_ok=True)  # raises if it is a file


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class _LocalFile:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self._file).st_size

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.write(self._file, rest)
            self.size += written
            rest = rest[written:]

    def sync(self) -> None:
        os.fdatasync(self._file)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._file, size)
        self.size = size

    def close(self) -> None:
        os.close(self._file)
