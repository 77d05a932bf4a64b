import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from matching.core import layout
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import LogDamaged, LogFull, LogUnusable
from matching.node.sequencer import Sequencer
from matching.storage.disk import LocalDisk
from matching.storage.input_logs.memory import MemoryLog
from matching.storage.input_logs.wal import WalLog, newest_block
from matching.storage.ring import Ring
from matching.storage.segments import SEGMENT_BYTES, Segments
from tests.matching.disks import FillingDisk
from tests.matching.small_exchange import batch, defined_engine, deposit


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    """Six blocks, 4 to 9, of different sizes."""
    engine: Engine = defined_engine()
    sequencer = Sequencer(engine, Ring(100, 1 << 20), lambda: 1, 1000)
    made = []
    for size in range(1, 7):
        first = engine.clients.last_number(7, 0) + 1
        commands = [deposit(1, f"reference {first + at}") for at in range(size)]
        made += sequencer.sequence([batch(engine, 7, first, commands)]).blocks
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "wal"


def write(folder: Path, turns: Sequence[Sequence[Block]], segment_bytes: int = SEGMENT_BYTES) -> None:
    log = WalLog(folder, segment_bytes=segment_bytes)
    for turn in turns:
        log.append(turn)
    log.close()


def read(folder: Path) -> list[Block]:
    log = WalLog(folder)
    try:
        return list(log.blocks())
    finally:
        log.close()


def written(folder: Path) -> list[int]:
    """Numbers of the blocks in the files of a log that is open."""
    return [block.number for block in Segments(LocalDisk(), folder, ".wal", "").peek()]


def test_the_memory_log_keeps_no_blocks() -> None:
    log = MemoryLog()
    log.append([])
    assert list(log.blocks()) == []
    log.close()


def test_no_file_is_created_before_the_first_block(folder: Path) -> None:
    assert read(folder) == []
    WalLog(folder).close()
    assert not folder.exists()


def test_blocks_are_read_as_they_were_written(folder: Path, blocks: list[Block]) -> None:
    write(folder, [blocks[:1], blocks[1:4], blocks[4:]])
    assert [block.data for block in read(folder)] == [block.data for block in blocks]
    assert [file.name for file in folder.iterdir()] == ["00000000000000000004.wal"]


def test_a_new_file_begins_when_the_last_is_long_enough(folder: Path, blocks: list[Block]) -> None:
    write(folder, [[block] for block in blocks], segment_bytes=500)
    assert len(list(folder.iterdir())) > 2
    assert [block.number for block in read(folder)] == [4, 5, 6, 7, 8, 9]


def test_writing_continues_after_reading(folder: Path, blocks: list[Block]) -> None:
    write(folder, [blocks[:2]])
    log = WalLog(folder)
    assert [block.number for block in log.blocks()] == [4, 5]
    log.append(blocks[2:])
    log.close()
    assert [block.number for block in read(folder)] == [4, 5, 6, 7, 8, 9]


def test_a_torn_tail_is_cut_off_at_any_length(folder: Path, blocks: list[Block]) -> None:
    write(folder, [blocks[:2]])
    file = next(folder.iterdir())
    whole = file.stat().st_size
    write(folder, [blocks[:2], blocks[2:3]])  # the same two blocks again: repeated numbers do no harm
    data = file.read_bytes()
    start = 2 * whole
    for size in range(start + 1, len(data), 7):
        file.write_bytes(data[:size])
        assert [block.number for block in read(folder)] == [4, 5, 4, 5]
        assert file.stat().st_size == start
    file.write_bytes(
        data[: start + 8] + bytes(len(data) - start - 8)
    )  # the record's size reached the disk, its bytes did not
    assert [block.number for block in read(folder)] == [4, 5, 4, 5]


def test_a_torn_first_record_leaves_an_empty_file(folder: Path, blocks: list[Block]) -> None:
    write(folder, [blocks[:1]])
    (folder / f"{blocks[1].number:020d}.wal").touch()
    log = WalLog(folder)
    assert [block.number for block in log.blocks()] == [4]
    log.append(blocks[1:2])
    log.close()
    assert [block.number for block in read(folder)] == [4, 5]


@pytest.mark.parametrize("offset", [0, 5, 12, 40, 200])
def test_damage_before_the_tail_is_refused_with_file_and_offset(folder: Path, blocks: list[Block], offset: int) -> None:
    write(folder, [blocks[:1], blocks[1:2]])
    file = next(folder.iterdir())
    data = bytearray(file.read_bytes())
    data[offset] ^= 0x10
    file.write_bytes(data)
    with pytest.raises(LogDamaged, match=f"{file.name} is damaged at byte 0"):
        read(folder)
    assert file.read_bytes() == bytes(data), "a damaged file is left as it is"


def test_a_file_before_the_last_that_ends_early_is_damaged(folder: Path, blocks: list[Block]) -> None:
    write(folder, [[block] for block in blocks], segment_bytes=1)
    first = min(folder.iterdir())
    first.write_bytes(first.read_bytes()[:-8])
    with pytest.raises(LogDamaged, match="damaged at byte 0"):
        read(folder)


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path: Path, blocks: list[Block]) -> None:
    (tmp_path / "wal").write_text("a file where the folder should be")
    with pytest.raises(LogUnusable, match="cannot be written"):
        WalLog(tmp_path / "wal").append(blocks[:1])


def test_a_log_on_a_full_disk_refuses_blocks_until_there_is_room(folder: Path, blocks: list[Block]) -> None:
    disk = FillingDisk()
    log = WalLog(folder, disk)
    log.append(blocks[:2])
    disk.is_full = True
    for _ in range(3):
        with pytest.raises(LogFull, match=f"The disk under {folder} is full"):
            log.append(blocks[2:4])
        assert written(folder) == [4, 5]
    disk.is_full = False
    log.append(blocks[2:4])
    log.append(blocks[4:])
    log.close()
    assert [block.number for block in read(folder)] == [4, 5, 6, 7, 8, 9]


def test_a_log_on_a_full_disk_works_once_there_is_room(folder: Path, blocks: list[Block]) -> None:
    disk = FillingDisk()
    disk.is_full = True
    log = WalLog(folder, disk)
    with pytest.raises(LogFull):
        log.append(blocks[:1])
    disk.is_full = False
    log.append(blocks[:1])
    log.close()
    assert [block.number for block in read(folder)] == [4]


def test_files_with_only_unneeded_blocks_are_removed(folder: Path, blocks: list[Block]) -> None:
    log = WalLog(folder, segment_bytes=1)
    for block in blocks:
        log.append([block])
    log.drop_before(7)
    assert written(folder) == [7, 8, 9]
    log.drop_before(100)
    log.close()
    assert written(folder) == [9], "the file that is written to stays"


def test_a_log_that_another_engine_uses_is_refused(folder: Path, blocks: list[Block]) -> None:
    first, second = WalLog(folder), WalLog(folder)
    first.append(blocks[:2])
    for use in (lambda: list(second.blocks()), lambda: second.append(blocks[2:])):
        with pytest.raises(LogUnusable, match="Another engine uses the write-ahead log under"):
            use()
    first.close()
    assert [block.number for block in second.blocks()] == [4, 5]


def test_drafts_left_by_a_crash_while_cutting_a_tail_are_removed(folder: Path, blocks: list[Block]) -> None:
    write(folder, [blocks[:2]])
    (file,) = folder.iterdir()
    left = folder / f".{file.name}.4711.part"
    left.write_bytes(file.read_bytes())
    others = folder / ".somebody-else.4711.part"
    others.touch()
    assert [block.number for block in read(folder)] == [4, 5]
    assert sorted(folder.iterdir()) == sorted([file, others])


def test_the_newest_block_is_found_from_the_end_and_nothing_is_changed(folder: Path, blocks: list[Block]) -> None:
    assert newest_block(folder) is None
    write(folder, [[block] for block in blocks[:3]], segment_bytes=1)
    files = sorted(folder.iterdir())
    files[0].write_bytes(b"damaged, and not looked at")
    files[2].write_bytes(files[2].read_bytes()[:-1])  # the last record is torn
    before = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
    newest = newest_block(folder)
    assert newest is not None
    assert newest.number == 5
    assert {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()} == before


def test_a_log_that_cannot_be_read_is_one_sentence(folder: Path) -> None:
    (folder / "00000000000000000004.wal").mkdir(parents=True)
    with pytest.raises(LogUnusable, match=r"00000000000000000004\.wal cannot be read: Is a directory"):
        newest_block(folder)


def test_an_append_copies_the_bytes_of_a_large_block_once(folder: Path) -> None:
    block = Block.encode(
        number=1,
        timestamp_ns=1,
        first_command_sequence=1,
        first_event_sequence=1,
        prev_hash=0,
        requests=np.zeros(0, layout.REQUEST),
        commands=np.zeros(0, layout.COMMAND),
        events=np.zeros(200_000, layout.EVENT),
        texts=b"",
    )
    log = WalLog(folder)
    tracemalloc.start()
    try:
        log.append([block])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        log.close()
    assert peak < 1.2 * len(block.data)
    assert [each.data for each in read(folder)] == [block.data]
