"""The local disk with a fault that a test switches on and off."""

import errno
import os
from pathlib import Path

from matching.storage.disk import AppendFile, LocalDisk


class FillingDisk(LocalDisk):
    """While `is_full`, a write stores part of its bytes and then fails with `error`."""

    def __init__(self, error: int = errno.ENOSPC) -> None:
        self.is_full = False
        self.error = error

    def append_to(self, path: Path) -> AppendFile:
        return _FillingFile(self, super().append_to(path))


class _FillingFile:
    def __init__(self, disk: FillingDisk, file: AppendFile) -> None:
        self._disk = disk
        self._file = file

    @property
    def size(self) -> int:
        return self._file.size

    @size.setter
    def size(self, value: int) -> None:
        self._file.size = value

    def write(self, data: bytes) -> None:
        if self._disk.is_full:
            self._file.write(data[: len(data) // 2])
            raise OSError(self._disk.error, os.strerror(self._disk.error))
        self._file.write(data)

    def sync(self) -> None:
        self._file.sync()

    def truncate(self, size: int) -> None:
        self._file.truncate(size)

    def close(self) -> None:
        self._file.close()
