"""Files as logs, snapshots and the audit trail use them: a seam, so that the simulator can bring a disk that fails.

What was written is on the disk only after `sync`; a new or renamed file only after its folder was synced too. Every
method raises OSError.
"""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO, Protocol

DRAFT = ".part"
"""Names of files that `write_whole` has not finished end so; who owns the folder removes those of dead processes."""


class AppendFile(Protocol):
    """A file that is written at its end only."""

    size: int

    def write(self, data: bytes) -> None:
        """All of it; where that fails, a part may be there."""

    def sync(self) -> None:
        """Returns when all that was written survives a power cut."""

    def truncate(self, size: int) -> None: ...

    def close(self) -> None: ...


class Held(Protocol):
    def close(self) -> None:
        """Lets go."""


class Disk(Protocol):
    def names(self, folder: Path, suffix: str) -> list[str]:
        """Names of the files in `folder` that end so, sorted; none where there is no such folder."""

    def exists(self, path: Path) -> bool: ...

    def open(self, path: Path) -> BinaryIO:
        """For reading."""

    def append_to(self, path: Path) -> AppendFile:
        """Opens a file at its end; makes it, and the folders above, where they are missing.

        Folders that were made are on the disk when this returns.
        """

    def write_whole(self, path: Path, data: bytes) -> None:
        """Puts `data` in the place of `path`, durably: whoever reads finds all of it or what was there before."""

    def rename(self, path: Path, to: Path) -> None: ...

    def remove(self, path: Path) -> None:
        """Nothing happens where it is gone already."""

    def sync_folder(self, folder: Path) -> None: ...

    def hold(self, path: Path) -> Held:
        """This process alone holds `path`, until it lets go or dies. Raises BlockingIOError where another one does."""


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
                file.truncate(0)  # a part of an earlier try
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

    def hold(self, path: Path) -> Held:
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
    """Makes it, and those above, where they are missing: what was made is on the disk then. Raises OSError."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in reversed(missing):
        _sync_folder(made.parent)


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
        left = memoryview(data)
        while left:
            written = os.write(self._file, left)
            self.size += written
            left = left[written:]

    def sync(self) -> None:
        os.fdatasync(self._file)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._file, size)
        self.size = size

    def close(self) -> None:
        os.close(self._file)
