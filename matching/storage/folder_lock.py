"""Locks a folder for one engine: two engines would damage each other's files there."""

from pathlib import Path

from matching.core.errors import FolderInUse
from matching.storage.disk import Disk, HeldLock


class FolderLock:
    """A lock file, held by one process from `hold` until `close` or the end of the process.

    `guarded` names the locked resource in the error message.
    """

    def __init__(self, disk: Disk, file: Path, guarded: str) -> None:
        self._disk = disk
        self._file = file
        self._guarded = guarded
        self._held: HeldLock | None = None

    def hold(self) -> None:
        """Takes the lock; does nothing if this object holds it already. Raises FolderInUse, OSError."""
        if self._held is not None:
            return
        try:
            self._held = self._disk.hold(self._file)
        except BlockingIOError as error:
            raise FolderInUse(
                f"Another engine uses {self._guarded}: stop it first, or give this one a DATA_DIR of its own."
            ) from error

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
