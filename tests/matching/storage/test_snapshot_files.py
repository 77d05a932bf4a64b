"""Snapshot files: unusable ones are skipped with a reason, and new ones are written when due."""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from matching.core import layout, snapshots
from matching.core.engine import Engine
from matching.storage.disk import LocalDisk
from matching.storage.ring import Ring
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter, SnapshotWriter, Written
from tests.matching.exchanges import KernelExchange, defined_exchange
from tests.matching.layout_1 import engine_of_layout_2, snapshot_of_layout_2
from tests.matching.small_exchange import deposit


@pytest.fixture
def exchange() -> KernelExchange:
    return defined_exchange()


@pytest.fixture
def folder(tmp_path: Path) -> SnapshotFolder:
    return SnapshotFolder(LocalDisk(), tmp_path / "snapshots", 3)


def file_of(folder: SnapshotFolder, number: int) -> Path:
    return folder.folder / f"{number:020d}.snapshot"


def passed_over(folder: SnapshotFolder) -> list[tuple[str, str]]:
    """(file, reason) of each skipped snapshot."""
    with capture_logs() as logs:
        list(folder.newest_first())
    return [(Path(log["file"]).name, log["reason"]) for log in logs if log["event"] == "snapshot.rejected"]


def write(folder: SnapshotFolder, engine: Engine) -> None:
    folder.write(engine.block_number, snapshots.encode(engine))


def test_the_newest_comes_first(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    write(folder, exchange.engine)
    exchange.submit(deposit(1, "a"))
    write(folder, exchange.engine)
    assert [engine.block_number for engine in folder.newest_first()] == [4, 3]
    assert folder.numbers() == [3, 4]


def test_a_missing_folder_holds_nothing(folder: SnapshotFolder) -> None:
    assert list(folder.newest_first()) == []
    assert (folder.read(3, 0, 10), folder.size_of(3)) == (None, None)


def test_a_truncated_snapshot_is_skipped_at_any_length(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    write(folder, exchange.engine)
    exchange.submit(deposit(1, "a"))
    data = snapshots.encode(exchange.engine)
    for size in [*range(120), *range(120, len(data), 9973), len(data) - 1]:
        folder.write(4, data[:size])
        with capture_logs() as logs:
            assert [engine.block_number for engine in folder.newest_first()] == [3]
        assert logs[0]["file"] == str(file_of(folder, 4))
        assert logs[0]["reason"].endswith(".")


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (0, 0x41, "they do not begin with the magic number"),
        (4, layout.LAYOUT_VERSION + 1, f"has layout {layout.LAYOUT_VERSION + 1}"),
        (9, None, "truncated or damaged"),
        (5000, None, "truncated or damaged"),
    ],
)
def test_a_damaged_snapshot_is_set_aside_with_a_reason(
    folder: SnapshotFolder, exchange: KernelExchange, offset: int, value: int | None, reason: str
) -> None:
    data = bytearray(snapshots.encode(exchange.engine))
    data[offset] = data[offset] ^ 1 if value is None else value
    folder.write(3, bytes(data))
    ((name, why),) = passed_over(folder)
    assert name == file_of(folder, 3).name
    assert reason in why
    assert folder.numbers() == []
    aside = folder.folder / f"{name}.unusable"
    assert aside.read_bytes() == data, "somebody may look at it"
    assert passed_over(folder) == [], "said once"


def test_a_snapshot_whose_name_has_another_block_is_skipped(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    folder.write(7, snapshots.encode(exchange.engine))
    reason = "It is a snapshot of block 3, but its file is named for another block."
    assert passed_over(folder) == [(file_of(folder, 7).name, reason)]


def test_other_files_in_the_folder_are_not_touched(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    write(folder, exchange.engine)
    other = folder.folder / "notes.snapshot"
    other.write_text("mine", encoding="utf-8")
    assert [engine.block_number for engine in folder.newest_first()] == [3]
    folder.tidy()
    assert other.exists()


def test_a_part_of_a_snapshot_is_read_for_a_follower(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    write(folder, exchange.engine)
    data = snapshots.encode(exchange.engine)
    assert folder.read(3, 10, 20) == data[10:30]
    assert folder.read(3, len(data), 20) == b""
    assert folder.size_of(3) == len(data)


def advance(snapshotter: Snapshotter, engine: Engine) -> bool:
    """Advances with a ring that has no earlier block."""
    ring = Ring(100, 1 << 20)
    ring.begin_after(engine.block_number)
    return snapshotter.advance(engine, ring)


def at_each_block(snapshotter: Snapshotter, exchange: KernelExchange, count: int) -> list[int]:
    """Blocks after which a call reported a finished snapshot."""
    finished = []
    for _ in range(count):
        exchange.submit(deposit(1, f"{exchange.engine.block_number}"))
        if advance(snapshotter, exchange.engine):
            finished.append(exchange.engine.block_number)
    return finished


def test_an_engine_that_is_still_in_an_earlier_layout_writes_no_snapshot(folder: SnapshotFolder) -> None:
    engine = engine_of_layout_2()
    snapshotter = Snapshotter(folder, DirectWriter(folder), 1)
    for _ in range(4):
        engine.apply(np.zeros(0, layout.REQUEST), np.zeros(0, layout.COMMAND), b"", 0)
        snapshotter.request()
        advance(snapshotter, engine)
    assert folder.numbers() == []
    engine.migrate(epoch=1)
    advance(snapshotter, engine)
    assert folder.numbers() == [engine.block_number]


def test_snapshots_of_earlier_layouts_are_left_alone(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    folder.write(3, snapshot_of_layout_2(exchange.engine))
    assert folder.newest_layout() == 2
    assert passed_over(folder) == []
    exchange.submit(deposit(1, "a"))
    write(folder, exchange.engine)
    assert folder.newest_layout() == layout.LAYOUT_VERSION
    assert [engine.block_number for engine in folder.newest_first()] == [4]


def test_snapshots_are_written_at_an_interval_and_the_newest_are_kept(
    folder: SnapshotFolder, exchange: KernelExchange
) -> None:
    snapshotter = Snapshotter(folder, DirectWriter(folder), 5)
    assert at_each_block(snapshotter, exchange, 40) == [6, 11, 16, 21, 26, 31, 36, 41]
    assert folder.numbers() == [30, 35, 40]
    assert (snapshotter.oldest(), snapshotter.newest()) == (30, 40)


def test_after_a_restart_it_counts_from_the_newest(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    write(folder, exchange.engine)
    at_each_block(Snapshotter(folder, DirectWriter(folder), 5), exchange, 6)
    assert folder.numbers() == [3, 8]


def test_with_interval_0_snapshots_are_made_only_on_request(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    snapshotter = Snapshotter(folder, DirectWriter(folder), 0)
    assert at_each_block(snapshotter, exchange, 10) == []
    snapshotter.request()
    at_each_block(snapshotter, exchange, 3)
    assert folder.numbers() == [14]
    snapshotter.request()
    at_each_block(snapshotter, exchange, 1)
    assert folder.numbers() == [14, 17]


def test_an_existing_snapshot_is_not_written_again(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    write(folder, exchange.engine)
    snapshotter = Snapshotter(folder, DirectWriter(folder), 0)
    before = file_of(folder, 3).stat().st_mtime_ns
    snapshotter.request()
    advance(snapshotter, exchange.engine)
    assert not advance(snapshotter, exchange.engine)
    assert file_of(folder, 3).stat().st_mtime_ns == before


class SlowWriter(SnapshotWriter):
    """A writer that ends when the test says so."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.outcomes: Iterator[Written | None] = iter(())

    def begin(self, engine: Engine) -> None:
        self.begun.append(engine.block_number)

    def outcome(self) -> Written | None:
        return next(self.outcomes, None)

    def close(self) -> None: ...


def test_only_one_snapshot_is_written_at_a_time(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    writer = SlowWriter()
    snapshotter = Snapshotter(folder, writer, 2)
    at_each_block(snapshotter, exchange, 9)
    snapshotter.request()
    assert writer.begun == [4]
    writer.outcomes = iter([Written(4, 10, 0.0)])
    assert at_each_block(snapshotter, exchange, 1) == [13]
    assert writer.begun == [4, 13], "the next is due at once, and the request was for the one under way"


def test_a_request_while_a_snapshot_is_written_starts_no_other(
    folder: SnapshotFolder, exchange: KernelExchange
) -> None:
    writer = SlowWriter()
    snapshotter = Snapshotter(folder, writer, 0)
    snapshotter.request()
    at_each_block(snapshotter, exchange, 3)
    snapshotter.request()
    writer.outcomes = iter([Written(4, 10, 0.0)])
    assert at_each_block(snapshotter, exchange, 3) == [7]
    assert writer.begun == [4]


def test_a_failed_snapshot_is_reported_and_the_next_is_tried(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    class FullDisk(LocalDisk):
        def write_whole(self, path: Path, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    full = SnapshotFolder(FullDisk(), folder.folder, 3)
    with capture_logs() as logs:
        assert at_each_block(Snapshotter(full, DirectWriter(full), 2), exchange, 8) == []
    assert [(log["event"], log["block"], log["reason"]) for log in logs[:2]] == [
        ("snapshot.write_failed", 4, "No space left on device"),
        ("snapshot.write_failed", 6, "No space left on device"),
    ]


def test_unfinished_snapshots_are_removed(folder: SnapshotFolder, exchange: KernelExchange) -> None:
    write(folder, exchange.engine)
    draft = folder.folder / ".00000000000000000004.snapshot.123.part"
    draft.write_bytes(b"half")
    folder.tidy()
    assert not draft.exists()
    assert folder.numbers() == [3]
