"""A file beside the spill by which an engine says: I have read the spill, and am about to begin an epoch after it.

What settlement puts into the spill from then on, that engine does not have, and its epoch will overrule it. So the
engine makes the claim before it reads, and settlement looks for one after it has written and before it confirms: then
whatever was confirmed was there to be read. The claim names the newest epoch at that time; it is over once the store
tells of a newer one.
"""

from pathlib import Path

from matching.storage.disk import Disk, LocalDisk

SUFFIX = ".claim"


class Claim:
    """In `folder`, that of the spill; each engine (`owner`) has a file of its own. Raises OSError."""

    def __init__(self, folder: Path, owner: str = "", disk: Disk | None = None) -> None:
        self._disk = disk or LocalDisk()
        self._folder = folder
        self._path = folder / f"{owner}{SUFFIX}"

    @property
    def is_made(self) -> bool:
        """By any engine."""
        return bool(self._disk.names(self._folder, SUFFIX))

    def make(self, newest_epoch: int) -> None:
        """Both processes run on one machine, and lose it together: nothing has to survive that."""
        self._disk.write_whole(self._path, f"{newest_epoch}\n".encode())

    def withdraw(self) -> None:
        """The owner's."""
        self._disk.remove(self._path)

    def end_if_over(self, newest_epoch: int) -> None:
        """Once an epoch has begun since, settlement goes by that."""
        for name in self._disk.names(self._folder, SUFFIX):
            with self._disk.open(self._folder / name) as file:
                said = file.read().strip()
            if not said.isdigit() or int(said) < newest_epoch:
                self._disk.remove(self._folder / name)
