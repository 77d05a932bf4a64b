"""The CSV trail: its form, its rotation, and its state after a crash."""

import errno
import os
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest

from matching.core.registry import Registry
from matching.storage.disk import AppendFile, LocalDisk
from settlement.errors import TrailUnusable
from settlement.project.projection import EmptyTables, Projector
from settlement.project.trail import HEADER, NAME, Trail, files_of, line_of, lines_of
from settlement.stores.base import StoreUnavailable, Trade
from tests.settlement.chains import worked_example

DAY_NS = 86_400 * 10**9
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2  # 2024-10-04


def example() -> tuple[Trade, Registry]:
    chain = worked_example()
    return Projector(EmptyTables(), kept=None).project(chain.blocks).trades[0], chain.engine.registry


TRADE, REGISTRY = example()


def trade(trade_id: int, days: int = 0) -> Trade:
    return TRADE._replace(trade_id=trade_id, timestamp_ns=NOON_NS + days * DAY_NS)


def write(folder: Path, *trades: Trade) -> None:
    trail = Trail(folder)
    trail.append(trades, REGISTRY)
    trail.close()


def text_of(*trades: Trade) -> str:
    return "".join(line + "\n" for line in [HEADER, *(line_of(one, REGISTRY) for one in trades)])


def test_a_line_says_everything_in_decimals_and_symbols() -> None:
    assert dict(zip(HEADER.split(","), line_of(TRADE, REGISTRY).split(","), strict=True)) == {
        "trade_id": "8",
        "time": "2025-12-31T23:59:51.500000000Z",
        "symbol": "BTC-USD",
        "price": "20000",
        "quantity": "0.5",
        "taker_side": "buy",
        "maker_order_id": "6",
        "taker_order_id": "7",
        "buyer": "2",
        "seller": "1",
        "buyer_fee": "0.001",
        "buyer_fee_asset": "BTC",
        "seller_fee": "10",
        "seller_fee_asset": "USD",
        "block_number": "4",
    }


def test_lines_are_appended_after_one_header(tmp_path: Path) -> None:
    write(tmp_path, trade(1), trade(2))
    write(tmp_path)
    write(tmp_path, trade(3))
    assert (tmp_path / NAME).read_text() == text_of(trade(1), trade(2), trade(3))


def test_an_existing_snapshot_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path, trade(1), trade(2))
    write(tmp_path, trade(1), trade(2), trade(3))
    assert (tmp_path / NAME).read_text() == text_of(trade(1), trade(2), trade(3))


def test_a_finished_day_gets_its_name(tmp_path: Path) -> None:
    write(tmp_path, trade(1), trade(2, days=1), trade(3, days=1))
    write(tmp_path, trade(4, days=3))
    assert [path.name for path in files_of(tmp_path)] == [
        "settled_trades-2024-10-04.csv",
        "settled_trades-2024-10-05.csv",
        NAME,
    ]
    assert (tmp_path / "settled_trades-2024-10-05.csv").read_text() == text_of(trade(2), trade(3)).replace(
        "2024-10-04", "2024-10-05"
    )
    assert [line.split(",")[0] for _, _, line in lines_of(tmp_path)] == ["1", "2", "3", "4"]


def test_a_trail_is_whole_again_whatever_byte_of_its_last_line_it_was_torn_at(tmp_path: Path) -> None:
    written = text_of(trade(1), trade(22))
    last_line = line_of(trade(22), REGISTRY) + "\n"
    for left in range(len(last_line) + 1):
        file = tmp_path / NAME
        file.write_text(written[: len(written) - len(last_line) + left])
        trail = Trail(tmp_path)
        assert trail.last_trade_id == (22 if left == len(last_line) else 1)
        trail.append([trade(1), trade(22), trade(23)], REGISTRY)
        trail.close()
        assert file.read_text() == text_of(trade(1), trade(22), trade(23)), left


def test_a_trail_is_whole_again_whatever_byte_of_its_header_it_was_torn_at(tmp_path: Path) -> None:
    for left in range(len(HEADER) + 2):
        (tmp_path / NAME).write_text((HEADER + "\n")[:left])
        write(tmp_path, trade(1))
        assert (tmp_path / NAME).read_text() == text_of(trade(1)), left


@pytest.mark.parametrize("current", [None, "", HEADER[:10], HEADER + "\n", HEADER + "\n3,2024-10"])
def test_a_crash_while_a_day_is_finished_leaves_no_gap_and_no_duplicate(tmp_path: Path, current: str | None) -> None:
    (tmp_path / "settled_trades-2024-10-04.csv").write_text(text_of(trade(1), trade(2)))
    if current is not None:
        (tmp_path / NAME).write_text(current)
    write(tmp_path, trade(1), trade(2), trade(3, days=1))
    assert [line.split(",")[0] for _, _, line in lines_of(tmp_path)] == ["1", "2", "3"]


def test_a_finished_day_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "settled_trades-2024-10-04.csv").write_text(text_of(trade(1)))
    write(tmp_path, trade(2))
    with pytest.raises(TrailUnusable, match="exists already"):
        write(tmp_path, trade(3, days=1))
    assert (tmp_path / "settled_trades-2024-10-04.csv").read_text() == text_of(trade(1))


def test_a_last_line_in_another_format_is_reported(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(HEADER + "\nhello\n")
    with pytest.raises(TrailUnusable, match="'hello'"):
        Trail(tmp_path)


def test_a_folder_that_cannot_be_written_is_reported_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrailUnusable, match="cannot be used"):
        Trail(tmp_path / "file" / "folder")


class SmallDisk(LocalDisk):
    """Fails after so many writes, at half a write; full, until there is room, unless `error` says otherwise."""

    writes = 0
    error = errno.ENOSPC

    def append_to(self, path: Path) -> AppendFile:
        file = super().append_to(path)
        write = file.write

        def write_or_fail(data: bytes) -> None:
            self.writes -= 1
            if self.writes < 0:
                write(data[: len(data) // 2])
                raise OSError(self.error, os.strerror(self.error))
            write(data)

        file.write = write_or_fail  # type: ignore[method-assign]
        return file


@pytest.mark.parametrize("writes", range(1, 7))
def test_a_full_disk_is_waited_for_and_leaves_the_trail_whole(tmp_path: Path, writes: int) -> None:
    disk = SmallDisk()
    disk.writes = writes
    trail, trades = Trail(tmp_path, disk), [trade(1), trade(2), trade(3, days=1), trade(4, days=2)]
    failures = 0
    while True:
        try:
            trail.append(trades, REGISTRY)
            break
        except StoreUnavailable:
            failures += 1
            disk.writes = failures
    trail.close()
    assert (failures > 0) == (writes < 6)
    assert [line.split(",")[0] for _, _, line in lines_of(tmp_path)] == ["1", "2", "3", "4"]
    assert len(files_of(tmp_path)) == 3


def test_a_disk_that_fails_is_reported_in_a_sentence_and_leaves_the_trail_whole(tmp_path: Path) -> None:
    disk = SmallDisk()
    disk.writes, disk.error = 2, errno.EIO
    trail = Trail(tmp_path, disk)
    with pytest.raises(TrailUnusable, match=r"settled_trades.csv cannot be written: Input/output error\."):
        trail.append([trade(1), trade(2, days=1)], REGISTRY)
    disk.writes = 9
    trail.append([trade(1), trade(2, days=1)], REGISTRY)
    trail.close()
    assert [line.split(",")[0] for _, _, line in lines_of(tmp_path)] == ["1", "2"]


def test_lines_are_on_the_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    trail = Trail(tmp_path)
    monkeypatch.setattr("os.fdatasync", lambda _: synced.append((tmp_path / NAME).read_text()))
    trail.append([trade(1)], REGISTRY)
    trail.append([trade(1)], REGISTRY)
    assert synced == [text_of(trade(1))]
    trail.close()


def test_lines_that_a_power_cut_left_as_zeros_are_cut_off_with_all_that_follows(tmp_path: Path) -> None:
    trades = [trade(number) for number in range(1, 9)]
    Trail(tmp_path).append(trades, REGISTRY)
    file = tmp_path / NAME
    lines = file.read_bytes().splitlines(keepends=True)
    torn = b"".join(lines[:4]) + lines[4][:7] + bytes(40) + b"".join(lines[6:])
    file.write_bytes(torn)
    trail = Trail(tmp_path)
    assert trail.last_trade_id == 3
    trail.append(trades, REGISTRY)
    assert file.read_bytes().splitlines(keepends=True) == lines


class MidnightDisk(LocalDisk):
    """Finishes the day when `opened`, or a list of the files, is asked for the first time."""

    def __init__(self, folder: Path, opened: str | None) -> None:
        self._folder = folder
        self._opened = opened
        self._is_over = False

    def names(self, folder: Path, suffix: str) -> list[str]:
        found = super().names(folder, suffix)
        self._finish(self._opened is None)
        return found

    def open(self, path: Path) -> BinaryIO:
        self._finish(path.name == self._opened)
        return super().open(path)

    def _finish(self, is_time: bool) -> None:
        if is_time and not self._is_over:
            self._is_over = True
            write(self._folder, trade(5, days=2))


@pytest.mark.parametrize("opened", [None, NAME, "settled_trades-2024-10-04.csv"])
def test_a_reader_misses_nothing_of_a_day_that_is_finished_meanwhile(tmp_path: Path, opened: str | None) -> None:
    write(tmp_path, trade(1), trade(2), trade(3, days=1), trade(4, days=1))
    found = [line.split(",")[0] for _, _, line in lines_of(tmp_path, MidnightDisk(tmp_path, opened))]
    assert found[:4] == ["1", "2", "3", "4"]
    assert found[4:] in ([], ["5"])  # it came after the reader's time


def test_a_reader_between_the_name_and_the_new_file_of_a_day_has_all_of_it(tmp_path: Path) -> None:
    write(tmp_path, trade(1), trade(2))
    lines = lines_of(tmp_path)
    (tmp_path / NAME).rename(tmp_path / "settled_trades-2024-10-04.csv")
    assert [line.split(",")[0] for _, _, line in lines] == ["1", "2"]


class GrowingFile(BytesIO):
    """A reader comes to its end once, in the middle of a line; then the rest of it is there."""

    def __init__(self, first: str, rest: str) -> None:
        super().__init__(first.encode())
        self._rest = rest.encode()

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n"):
            self.seek(0, os.SEEK_END)
            self.write(self._rest)
            self.seek(-len(self._rest), os.SEEK_END)
        return line


def test_a_line_that_is_being_written_is_left_out_with_its_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, trade(1))
    text = text_of(trade(1), trade(2))
    monkeypatch.setattr(LocalDisk, "open", lambda disk, path: GrowingFile(text[:-20], text[-20:]))
    assert [line for _, _, line in lines_of(tmp_path)] == [line_of(trade(1), REGISTRY)]
