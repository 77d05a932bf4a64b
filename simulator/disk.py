"""Simulated disk: after a power loss, data that was not synced is there, missing, or there in part.

When a process dies, its writes survive in the page cache. When a machine loses power, synced data survives; of the
rest, any part may: a prefix of the appended data, sectors that read as zeros, files whose name is not in their folder.
An fsync that is interrupted by the power loss has no effect.
"""

import errno
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from matching.storage.disk import DRAFT, AppendFile, HeldLock
from simulator.world import Machine, Process, World

_SECTOR = 512
_SYNC_CRASH_FACTOR = 10.0
"""Factor of the crash rate at a sync: crashes there are the most likely to reveal missing durability."""


@dataclass
class _File:
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    has_name: bool = False  # whether its folder was synced


class SimDrive:
    """The files of one machine, in folders under `home`, which always exists."""

    def __init__(self, world: World, machine: Machine, home: Path) -> None:
        self.world = world
        self.home = home
        self.folders: dict[Path, bool] = {}  # below `home` → whether the parent folder was synced since it was created
        self.files: dict[Path, _File] = {}
        self._removed: dict[Path, _File] = {}  # removed since their folder was last synced
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
            file.data = bytearray(self._content_after_power_loss(file))
            file.synced, file.has_name = bytes(file.data), True
        for path, file in sorted(self._removed.items()):
            # A rename that was lost leaves the old file; a removed file may come back.
            if path not in self.files and (path in vanished or rng.random() < 0.5):
                self.files[path] = _File(bytearray(file.synced), file.synced, has_name=True)
        self._removed.clear()

    def _lose_folder(self, folder: Path) -> None:
        self.world.counts["folder lost"] += 1
        del self.folders[folder]
        for files in (self.files, self._removed):
            for path in [path for path in files if path.parent == folder]:
                del files[path]

    def _content_after_power_loss(self, file: _File) -> bytes:
        """The content of a file after a power loss."""
        rng, synced, written = self.world.rng, file.synced, bytes(file.data)
        if not written.startswith(synced):  # the file was truncated and rewritten
            return rng.choice((synced, written))
        kept = written[: rng.randint(len(synced), len(written))]
        if len(kept) > len(synced) and rng.random() < 0.3:  # the length was written, but not all sectors
            self.world.counts["torn write"] += 1
            first = -(-len(synced) // _SECTOR) * _SECTOR
            sectors = range(first, len(kept), _SECTOR)
            torn = bytearray(kept)
            for at in [at for at in sectors if rng.random() < 0.5] or [first] * (first < len(kept)):
                end = min(at + _SECTOR, len(torn))
                torn[at:end] = bytes(end - at)
            return bytes(torn)
        if len(kept) < len(written):
            self.world.counts["torn write"] += 1
        return kept


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

    def hold(self, path: Path) -> HeldLock:
        self.process.io()
        holder = self.drive.holders.get(path)
        if holder is not None and holder.alive and holder is not self.process:
            raise BlockingIOError(errno.EWOULDBLOCK, "Resource temporarily unavailable")
        self.drive.holders[path] = self.process
        return _Lock(self.drive, path)

    def _make_folder(self, folder: Path) -> None:
        """Creates a folder directly below `home`; deeper folders are not supported."""
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
            self.drive.world.counts["write to full disk"] += 1
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
        self._file.data += part  # a crash in the next line leaves this part
        self._disk.process.io()
        self._file.data += data[len(part) :]
        self.size += len(data)

    def sync(self) -> None:
        self._disk.process.io(latency_s=self._disk._sync_s())
        self._disk.process.io(crash_factor=_SYNC_CRASH_FACTOR)
        self._file.synced = bytes(self._file.data)

    def truncate(self, size: int) -> None:
        self._disk.process.io()
        del self._file.data[size:]
        self.size = size

    def close(self) -> None:
        """Does nothing: there is no buffer."""
