"""A disk as databases have to expect it: what was not synced is there, is not there, or is there in part.

A process that dies leaves what it wrote, in the page cache. A machine that loses power keeps what was synced, and of
the rest whatever the disk had got to: any part of what was appended, sectors that read as zeros, names that are not in
their folder. An fsync during which the power goes has not happened.
"""

import errno
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from matching.storage.disk import DRAFT, AppendFile, Held
from simulator.world import Machine, Process, World

_SECTOR = 512
_DANGER = 10.0
"""A sync is where it shows what was durable: processes die there more often than elsewhere."""


@dataclass
class _File:
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    has_name: bool = False  # whether its folder was synced


class SimDrive:
    """The files of one machine, in folders under `home`, which was there before."""

    def __init__(self, world: World, machine: Machine, home: Path) -> None:
        self.world = world
        self.home = home
        self.folders: dict[Path, bool] = {}  # below `home`; whether the folder above was synced since it was made
        self.files: dict[Path, _File] = {}
        self._removed: dict[Path, _File] = {}  # since their folder was synced
        self.holders: dict[Path, Process] = {}
        self.full_until_s = 0.0
        machine.lose_power.append(self._lose_power)
        world.repeatedly("disk full", world.rates.disk_full_a_minute, self._fill)

    def _fill(self) -> None:
        self.full_until_s = self.world.scheduler.now_s + self.world.rng.uniform(0.2, 6)

    @property
    def is_full(self) -> bool:
        return self.world.is_faulty and self.world.scheduler.now_s < self.full_until_s

    def _lose_power(self) -> None:
        rng = self.world.rng
        vanished = set()
        for folder, has_name in sorted(self.folders.items()):
            if not has_name and rng.random() < 0.5:
                self._lose_folder(folder)
        self.folders = dict.fromkeys(self.folders, True)
        for path, file in sorted(self.files.items()):
            if not file.has_name and rng.random() < 0.5:
                del self.files[path]
                vanished.add(path)
                continue
            file.data = bytearray(self._left_of(file))
            file.synced, file.has_name = bytes(file.data), True
        for path, file in sorted(self._removed.items()):
            # A name that was to be replaced still has its old file; one that was removed may have it again.
            if path not in self.files and (path in vanished or rng.random() < 0.5):
                self.files[path] = _File(bytearray(file.synced), file.synced, has_name=True)
        self._removed.clear()

    def _lose_folder(self, folder: Path) -> None:
        self.world.counts["folder lost"] += 1
        del self.folders[folder]
        for files in (self.files, self._removed):
            for path in [path for path in files if path.parent == folder]:
                del files[path]

    def _left_of(self, file: _File) -> bytes:
        """What of a file is there after the power came back."""
        rng, synced, written = self.world.rng, file.synced, bytes(file.data)
        if not written.startswith(synced):  # it was cut and written anew
            return rng.choice((synced, written))
        left = written[: rng.randint(len(synced), len(written))]
        if len(left) > len(synced) and rng.random() < 0.3:  # its length is there, but not all of its sectors
            self.world.counts["torn write"] += 1
            first = -(-len(synced) // _SECTOR) * _SECTOR
            sectors = range(first, len(left), _SECTOR)
            torn = bytearray(left)
            for at in [at for at in sectors if rng.random() < 0.5] or [first] * (first < len(left)):
                end = min(at + _SECTOR, len(torn))
                torn[at:end] = bytes(end - at)
            return bytes(torn)
        if len(left) < len(written):
            self.world.counts["torn write"] += 1
        return left


class SimDisk:
    """`matching.storage.disk.Disk` of one process on a machine's drive."""

    def __init__(self, drive: SimDrive, process: Process) -> None:
        self.drive = drive
        self.process = process

    def names(self, folder: Path, suffix: str) -> list[str]:
        self.process.io()
        return sorted(path.name for path in self.drive.files if path.parent == folder and path.name.endswith(suffix))

    def exists(self, path: Path) -> bool:
        return path in self.drive.files

    def open(self, path: Path) -> BinaryIO:
        self.process.io()
        return io.BytesIO(bytes(self._file(path).data))

    def append_to(self, path: Path) -> AppendFile:
        self.process.io()
        if path not in self.drive.files:
            self._refuse_if_full()
        self._make_folder(path.parent)
        return SimFile(self, self.drive.files.setdefault(path, _File()))

    def write_whole(self, path: Path, data: bytes) -> None:
        draft = path.with_name(f".{path.name}{DRAFT}")
        file = self.append_to(draft)
        file.truncate(0)
        file.write(data)
        file.sync()
        self.rename(draft, path)
        self.sync_folder(path.parent)

    def rename(self, path: Path, to: Path) -> None:
        self.process.io()
        file = self.drive.files.pop(path)
        if to in self.drive.files and self.drive.files[to].has_name:
            self.drive._removed[to] = self.drive.files[to]
        self.drive.files[to] = _File(file.data, file.synced)

    def remove(self, path: Path) -> None:
        self.process.io()
        file = self.drive.files.pop(path, None)
        if file is not None and file.has_name:
            self.drive._removed[path] = file

    def sync_folder(self, folder: Path) -> None:
        self.process.io(latency_s=self._sync_s())
        for path, file in self.drive.files.items():
            if path.parent == folder:
                file.has_name = True
        for made in self.drive.folders:
            if made.parent == folder:
                self.drive.folders[made] = True
        for path in [path for path in self.drive._removed if path.parent == folder]:
            del self.drive._removed[path]

    def hold(self, path: Path) -> Held:
        self.process.io()
        holder = self.drive.holders.get(path)
        if holder is not None and holder.alive and holder is not self.process:
            raise BlockingIOError(errno.EWOULDBLOCK, "Resource temporarily unavailable")
        self.drive.holders[path] = self.process
        return _Lock(self.drive, path)

    def _make_folder(self, folder: Path) -> None:
        """One level of them is all that there is below the machine's `home`."""
        if folder == self.drive.home or folder in self.drive.folders:
            return
        self.drive.folders[folder] = False
        self.sync_folder(folder.parent)

    def _sync_s(self) -> float:
        return self.drive.world.rng.expovariate(1 / 0.002)

    def _file(self, path: Path) -> _File:
        try:
            return self.drive.files[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path)) from None

    def _refuse_if_full(self) -> None:
        if self.drive.is_full:
            self.drive.world.counts["no room on disk"] += 1
            raise OSError(errno.ENOSPC, "No space left on device")


class _Lock:
    def __init__(self, drive: SimDrive, path: Path) -> None:
        self._drive = drive
        self._path = path

    def close(self) -> None:
        self._drive.holders.pop(self._path, None)


class SimFile:
    def __init__(self, disk: SimDisk, file: _File) -> None:
        self._disk = disk
        self._file = file
        self.size = len(file.data)

    def write(self, data: bytes) -> None:
        world = self._disk.drive.world
        part = data[: world.rng.randrange(len(data) + 1)]
        if self._disk.drive.is_full:
            self._file.data += part
            self.size += len(part)
            self._disk._refuse_if_full()
        self._file.data += part  # a crash here leaves this much
        self._disk.process.io()
        self._file.data += data[len(part) :]
        self.size += len(data)

    def sync(self) -> None:
        self._disk.process.io(latency_s=self._disk._sync_s())
        self._disk.process.io(danger=_DANGER)
        self._file.synced = bytes(self._file.data)

    def truncate(self, size: int) -> None:
        self._disk.process.io()
        del self._file.data[size:]
        self.size = size

    def close(self) -> None:
        """Nothing is buffered here."""
