"""A file beside the spill by which an engine says: I have read the spill, and am about to begin an epoch after it.

What settlement puts into the spill from then on, that engine does not have, and its epoch will overrule it. So the
engine makes the claim before it reads, and settlement looks for one after it has written and before it confirms: then
whatever was confirmed was there to be read. The claim names the newest epoch at that time; it is over once the store
tells of a newer one.
"""

from pathlib import Path

from matching.disk import Disk, LocalDisk

NAME = "claim"


class Claim:
    """In `folder`, that of the spill. Raises OSError."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._disk = disk or LocalDisk()
        self._path = folder / NAME

    @property
    def is_made(self) -> bool:
        return self._disk.exists(self._path)

    def make(self, newest_epoch: int) -> None:
        """Both processes run on one machine, and lose it together: nothing has to survive that."""
        self._disk.write_whole(self._path, f"{newest_epoch}\n".encode())

    def withdraw(self) -> None:
        self._disk.remove(self._path)

    def end_if_over(self, newest_epoch: int) -> None:
        """Once an epoch has begun since, settlement goes by that."""
        if self.is_made:
            with self._disk.open(self._path) as file:
                said = file.read().strip()
            if not said.isdigit() or int(said) < newest_epoch:
                self.withdraw()
