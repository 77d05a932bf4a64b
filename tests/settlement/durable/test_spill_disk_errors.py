"""A spill whose folder the disk does not let it read, rename or delete: one sentence that names the folder."""

import errno
from pathlib import Path
from typing import BinaryIO, NoReturn

import pytest

from matching.storage.disk import LocalDisk
from settlement.durable.claim import SUFFIX as CLAIM
from settlement.durable.spill import Spill
from settlement.errors import SpillUnusable
from tests.settlement.durable.test_spill import BLOCKS


class BrokenDisk(LocalDisk):
    """While `fails` is true, nothing can be listed, opened, renamed or removed."""

    fails = False

    def names(self, folder: Path, suffix: str) -> list[str]:
        return self._fail() if self.fails and suffix == CLAIM else super().names(folder, suffix)

    def open(self, path: Path) -> BinaryIO:
        return self._fail() if self.fails else super().open(path)

    def rename(self, path: Path, to: Path) -> None:
        return self._fail() if self.fails else super().rename(path, to)

    def remove(self, path: Path) -> None:
        return self._fail() if self.fails else super().remove(path)

    def _fail(self) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def disk() -> BrokenDisk:
    return BrokenDisk()


@pytest.fixture
def spill(disk: BrokenDisk, tmp_path: Path) -> Spill:
    made = Spill(tmp_path, 1 << 20, disk=disk, segment_bytes=4096)
    made.append(BLOCKS)
    made.close()
    disk.fails = True
    return made


def test_claims_that_cannot_be_read_stop_settlement(spill: Spill) -> None:
    with pytest.raises(SpillUnusable, match=r"cannot be used: Input/output error\."):
        _ = spill.is_claimed
    with pytest.raises(SpillUnusable, match=r"cannot be used: Input/output error\."):
        spill.end_claim(None)


@pytest.mark.parametrize("number", [5, BLOCKS[-1].number])
def test_written_blocks_that_cannot_be_deleted_stop_settlement(number: int, spill: Spill) -> None:
    with pytest.raises(SpillUnusable):
        spill.mark_stored(number)


def test_overruled_blocks_that_cannot_be_renamed_stop_settlement(spill: Spill) -> None:
    with pytest.raises(SpillUnusable, match=r"cannot be written: Input/output error\."):
        spill.set_aside(2)


def test_a_spill_that_cannot_be_read_stops_settlement(spill: Spill, disk: BrokenDisk, tmp_path: Path) -> None:
    with pytest.raises(SpillUnusable, match="Input/output error"):
        Spill(tmp_path, 1 << 20, disk=disk)
    with pytest.raises(SpillUnusable, match="Input/output error"):
        spill.read(1)
    with pytest.raises(SpillUnusable, match=r"cannot be read: Input/output error\."):
        spill._size_of_files()
