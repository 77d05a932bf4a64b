"""The spill's files: limits, full and failing disks, damage, crashes, other readers."""

import errno
from pathlib import Path

import pytest

from matching.storage.disk import AppendFile, LocalDisk
from settlement.durable import spill as spill_module
from settlement.durable.spill import SUFFIX, Spill, peek
from settlement.errors import SpillDamaged, SpillUnusable
from settlement.stores.base import Checkpoint
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.fakes import note_calls

BLOCKS = chain_of(random_commands(5, 160, instruments=1, accounts=4, wild=False), 12).blocks
LAST = BLOCKS[-1].number


def spill_in(folder: Path, max_bytes: int = 1 << 20, segment_bytes: int = 4096) -> Spill:
    return Spill(folder, max_bytes, segment_bytes=segment_bytes)


def numbers(folder: Path) -> list[int]:
    return [block.number for block in peek(folder)]


def test_blocks_come_back_in_order_until_they_are_written(tmp_path: Path) -> None:
    spill = spill_in(tmp_path)
    assert (spill.blocks, spill.bytes, spill.first_number, spill.last_number, spill.head) == (0, 0, 0, 0, None)
    assert spill.append(BLOCKS[4:7]) == 3
    assert spill.append(BLOCKS[7:]) == LAST - 7
    assert (spill.first_number, spill.last_number, spill.blocks) == (5, LAST, LAST - 4)
    assert spill.head == Checkpoint(LAST, BLOCKS[-1].hash, 1)
    assert spill.read(2) == BLOCKS[4:6]
    assert spill.read(100) == BLOCKS[6:]
    assert spill.read(100) == []
    spill.mark_stored(6)
    spill.restart_reading()
    assert spill.first_number == 7
    assert spill.read(3) == BLOCKS[6:9]


def test_large_blocks_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill_module, "_READ_BYTES", len(BLOCKS[0].data) + 1)
    spill = spill_in(tmp_path)
    spill.append(BLOCKS)
    found = []
    while blocks := spill.read(100):
        assert sum(len(block.data) for block in blocks[:-1]) <= len(BLOCKS[0].data)
        found += blocks
    assert found == BLOCKS


def test_nothing_is_left_on_the_disk_when_everything_is_written(tmp_path: Path) -> None:
    spill = spill_in(tmp_path)
    for block in BLOCKS:
        spill.append([block])
    assert len(list(tmp_path.iterdir())) > 3
    files, size = len(list(tmp_path.iterdir())), spill.bytes
    spill.mark_stored(LAST - 1)
    assert len(list(tmp_path.iterdir())) == 1 < files
    assert spill.bytes < size
    spill.mark_stored(LAST)
    assert list(tmp_path.iterdir()) == []
    assert (spill.blocks, spill.bytes, spill.head) == (0, 0, None)
    assert spill.append(BLOCKS[2:4]) == 2
    assert spill.first_number == 3


def test_what_is_put_there_while_it_is_read_is_read_too(tmp_path: Path) -> None:
    spill = spill_in(tmp_path)
    found = []
    for block in BLOCKS:
        spill.append([block])
        if block.number % 3 == 0:
            found += spill.read(2)
    assert found + spill.read(100) == BLOCKS
    assert numbers(tmp_path) == list(range(1, LAST + 1))


@pytest.mark.parametrize("reads", range(1, LAST))
def test_reading_to_the_end_takes_nothing_from_what_is_put_there_meanwhile(tmp_path: Path, reads: int) -> None:
    spill = spill_in(tmp_path, segment_bytes=1 << 20)
    spill.append(BLOCKS[:reads])
    assert spill.read(reads - 1) == BLOCKS[: reads - 1]
    spill.append(BLOCKS[reads:])
    assert spill.read(100) == BLOCKS[reads - 1 :]
    assert numbers(tmp_path) == list(range(1, LAST + 1))


def test_the_files_are_read_once(tmp_path: Path) -> None:
    spill, opened = spill_in(tmp_path), list[str]()
    for block in BLOCKS:
        spill.append([block])
    note_calls(spill._disk, "open", lambda: opened.append(""))
    assert [spill.read(1) for _ in BLOCKS] == [[block] for block in BLOCKS]
    assert len(opened) == len(list(tmp_path.iterdir()))


def test_reading_ends_before_a_block_that_may_not(tmp_path: Path) -> None:
    spill = spill_in(tmp_path)
    spill.append(BLOCKS)
    assert spill.read(100, lambda block: block.number < 3) == BLOCKS[:2]
    assert spill.read(100, lambda block: block.number < 3) == []
    assert spill.read(100) == BLOCKS[2:]


def test_another_process_finds_what_was_left(tmp_path: Path) -> None:
    spill_in(tmp_path).append(BLOCKS[1:])
    spill = spill_in(tmp_path)
    assert (spill.first_number, spill.last_number) == (2, LAST)
    assert spill.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert spill.read(100) == BLOCKS[1:]
    assert numbers(tmp_path) == [block.number for block in BLOCKS[1:]]


def test_a_block_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fdatasync", lambda file: synced.append(len(numbers(tmp_path))))
    spill = spill_in(tmp_path)
    spill.append(BLOCKS[:2])
    assert synced == [2]


def test_what_a_dead_process_left_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("os.fdatasync", lambda file: None)
        spill_in(tmp_path).append(BLOCKS)
    synced: list[int] = []
    monkeypatch.setattr("os.fdatasync", lambda file: synced.append(len(numbers(tmp_path))))
    assert spill_in(tmp_path).last_number == LAST
    assert synced == [LAST]


def test_a_full_spill_takes_what_fits_and_more_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.durable.spill._APPEND_BYTES", 1)
    spill = spill_in(tmp_path, max_bytes=8192, segment_bytes=1)
    taken = spill.append(BLOCKS)
    assert 0 < taken < LAST
    assert spill.full
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 8192
    assert spill.append(BLOCKS[taken:]) == 0
    assert numbers(tmp_path) == list(range(1, taken + 1))
    spill.mark_stored(taken - 1)
    assert not spill.full
    assert spill.append(BLOCKS[taken : taken + 1]) == 1


class BadDisk(LocalDisk):
    """Writes until it is told not to."""

    error = 0

    def append_to(self, path: Path) -> AppendFile:
        file = super().append_to(path)
        sync = file.sync

        def sync_or_fail() -> None:
            if self.error:
                raise OSError(self.error, "bad disk")
            sync()

        file.sync = sync_or_fail  # type: ignore[method-assign]
        return file


def test_a_full_disk_leaves_what_was_there_and_is_tried_again(tmp_path: Path) -> None:
    disk = BadDisk()
    spill = Spill(tmp_path, 1 << 20, disk)
    spill.append(BLOCKS[:3])
    disk.error = errno.ENOSPC
    assert spill.append(BLOCKS[3:]) == 0
    assert spill.full
    assert numbers(tmp_path) == [1, 2, 3]
    disk.error = 0
    assert spill.append(BLOCKS[3:]) == LAST - 3
    assert not spill.full
    assert spill.read(100) == BLOCKS


def test_after_a_failed_sync_nothing_is_written_before_all_is_drained(tmp_path: Path) -> None:
    """Nobody knows what is on the disk then; what had been durable before is given back."""
    disk = BadDisk()
    spill = Spill(tmp_path, 1 << 20, disk)
    spill.append(BLOCKS[:3])
    disk.error = errno.EIO
    assert spill.append(BLOCKS[3:]) == 0
    disk.error = 0
    assert spill.append(BLOCKS[3:]) == 0
    assert spill.full
    assert spill.last_number == 3
    assert spill.read(100) == BLOCKS[:3]
    spill.mark_stored(3)
    assert spill.append(BLOCKS[3:]) == LAST - 3


def test_a_torn_tail_is_cut_off(tmp_path: Path) -> None:
    spill = spill_in(tmp_path, segment_bytes=1 << 20)
    spill.append(BLOCKS[:3])
    spill.append(BLOCKS[3:])
    spill.close()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    assert numbers(tmp_path) == [1, 2, 3]
    again = spill_in(tmp_path)
    assert again.last_number == 3
    assert again.append(BLOCKS[3:]) == LAST - 3
    assert spill_in(tmp_path).read(100) == BLOCKS


def test_damage_is_reported_and_nothing_is_read(tmp_path: Path) -> None:
    spill_in(tmp_path).append(BLOCKS[:3])
    spill_in(tmp_path).append(BLOCKS[3:])
    file = min(tmp_path.iterdir())
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(SpillDamaged, match="is damaged"):
        spill_in(tmp_path)


def test_files_of_different_chains_are_reported(tmp_path: Path) -> None:
    other = chain_of(random_commands(6, 160, instruments=1, accounts=4, wild=False), 12).blocks
    Spill(tmp_path, 1 << 20, segment_bytes=1).append(BLOCKS[:3])
    Spill(tmp_path, 1 << 20, segment_bytes=1)._segments.append(other[3:5])
    with pytest.raises(SpillDamaged, match="follows hash"):
        spill_in(tmp_path)


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / f"{1:020d}{SUFFIX}").mkdir()
    with pytest.raises(SpillUnusable, match="cannot be read"):
        spill_in(tmp_path)


def test_what_is_set_aside_is_kept_under_other_names(tmp_path: Path) -> None:
    spill = spill_in(tmp_path)
    spill.append(BLOCKS)
    before = sorted(path.read_bytes() for path in tmp_path.iterdir())
    aside = spill.set_aside(epoch=7)
    assert sorted(path.read_bytes() for path in aside) == before
    assert all(path.name.endswith(f"{SUFFIX}.overruled-by-epoch-7") for path in aside)
    assert (spill.blocks, spill.bytes, spill.read(5)) == (0, 0, [])
    assert spill_in(tmp_path).blocks == 0
