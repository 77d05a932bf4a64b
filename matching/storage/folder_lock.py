"""One engine at a time uses a folder: two would destroy what they keep there, and take each other for a restart."""

from pathlib import Path

from matching.core.errors import FolderInUse
from matching.storage.disk import Disk, Held


class FolderLock:
    """A file that one process holds, from `hold` until `close` or its death, however it dies.

    `guarded` is what the file stands for, as the sentence names it that refuses another engine.
    """

    def __init__(self, disk: Disk, file: Path, guarded: str) -> None:
        self._disk = disk
        self._file = file
        self._guarded = guarded
        self._held: Held | None = None

    def hold(self) -> None:
        """Nothing happens where this holds it already. Raises FolderInUse, OSError."""
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
