"""A claim file beside the spill: an engine reads the spill and is about to begin an epoch after it.

The engine does not have blocks that settlement spills after that, so its epoch overrules them. Therefore the engine
writes the claim before it reads the spill, and settlement checks for a claim after it has written blocks and before it
confirms them. So every confirmed block was in the spill when the engine read it. The claim contains the number of the
newest epoch at that time, and ends when the store has a newer epoch.
"""

from pathlib import Path

from matching.storage.disk import Disk, LocalDisk

SUFFIX = ".claim"


class Claim:
    """The claims in `folder`, the spill's; each engine (`owner`) has its own file. Raises OSError."""

    def __init__(self, folder: Path, owner: str = "", disk: Disk | None = None) -> None:
        self._disk = disk or LocalDisk()
        self._folder = folder
        self._path = folder / f"{owner}{SUFFIX}"

    @property
    def is_made(self) -> bool:
        """Whether any engine has a claim."""
        return bool(self._disk.names(self._folder, SUFFIX))

    def make(self, newest_epoch: int) -> None:
        """Writes the owner's claim. It need not survive a crash of the machine, on which both processes run."""
        self._disk.write_whole(self._path, f"{newest_epoch}\n".encode())

    def withdraw(self) -> None:
        """Removes the owner's claim."""
        self._disk.remove(self._path)

    def remove_older(self, newest_epoch: int) -> None:
        """Removes claims that were made before epoch `newest_epoch` began."""
        for path, claimed in made(self._folder, self._disk).items():
            if claimed < newest_epoch:
                self._disk.remove(path)


def made(folder: Path, disk: Disk | None = None) -> dict[Path, int]:
    """The claims in `folder`, each with the epoch that it names; -1: it names none. Raises OSError."""
    disk = disk or LocalDisk()
    found = {}
    for name in disk.names(folder, SUFFIX):
        with disk.open(folder / name) as file:
            text = file.read().strip()
        found[folder / name] = int(text) if text.isdigit() else -1
    return found
