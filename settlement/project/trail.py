"""`settled_trades.csv`: one line a trade, in decimals and symbols as people read them; append only.

The file holds one UTC day (of the trades' time). When a later day begins it is renamed to
`settled_trades-YYYY-MM-DD.csv` and a new one is begun. Lines are on the disk before the projection checkpoint moves,
so after a crash the trail may be ahead of the checkpoint, never behind; what is there already is not written again.
"""

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from functools import lru_cache
from io import TextIOWrapper
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

from matching.core.registry import Registry
from matching.storage.disk import AppendFile, Disk, LocalDisk
from settlement.errors import TrailUnusable
from settlement.stores.base import StoreUnavailable, Trade

NAME = "settled_trades.csv"
HEADER = (
    "trade_id,time,symbol,price,quantity,taker_side,maker_order_id,taker_order_id,buyer,seller,"
    "buyer_fee,buyer_fee_asset,seller_fee,seller_fee_asset,block_number"
)
_FIRST_LINE = HEADER.encode() + b"\n"
_FINISHED = re.compile(r"settled_trades-....-..-..\.csv")
_DAY_NS = 86_400 * 10**9
_NOT_SYNCED_BYTES = 8 << 20
"""More than the lines of one batch, which are synced together."""
_LONGEST_LINE = 1024
"""Bytes; integers, decimals and symbols of the longest kind give less than half."""


def line_of(trade: Trade, registry: Registry) -> str:
    """The line of a trade, without its end."""
    instrument = registry.instrument_by_symbol[trade.symbol]
    base, quote = instrument.base, instrument.quote
    return (
        f"{trade.trade_id},{time_text(trade.timestamp_ns)},{trade.symbol},"
        f"{instrument.tick.text(trade.price)},{instrument.lot.text(trade.quantity)},"
        f"{trade.taker_side},{trade.maker_order_id},{trade.taker_order_id},{trade.buyer},{trade.seller},"
        f"{base.unit.text(trade.buyer_fee)},{base.symbol},"
        f"{quote.unit.text(trade.seller_fee)},{quote.symbol},{trade.block_number}"
    )


@lru_cache(maxsize=16)  # all trades of a block have one time
def time_text(at_ns: int) -> str:
    """`2026-01-31T23:59:59.123456789Z`"""
    seconds, fraction = divmod(at_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


def files_of(folder: Path, disk: Disk | None = None) -> list[Path]:
    """The trail's files, oldest first; the one that is being written is the last."""
    names = (disk or LocalDisk()).names(folder, ".csv")
    finished = [folder / name for name in names if _FINISHED.fullmatch(name)]
    return finished + ([folder / NAME] if NAME in names else [])


def lines_of(folder: Path, disk: Disk | None = None) -> Iterator[tuple[str, int, str]]:
    """(file name, line number, line without its end) of all whole lines but headers, oldest first.

    Of the files as they are when the first line is asked for, also where a day is finished meanwhile. A last line
    without its end is one that is being written, or was torn by a crash: it is left out.
    """
    disk = disk or LocalDisk()
    with ExitStack() as held:
        finished, current = _opened(folder, disk)
        if current:
            held.enter_context(current)
        for path in finished:
            with disk.open(path) as file:
                yield from _lines_in(path.name, file)
        if current:
            yield from _lines_in(NAME, current)


def _opened(folder: Path, disk: Disk) -> tuple[list[Path], BinaryIO | None]:
    """The finished files, and the current one, opened: it stays the one that follows on them when it is renamed."""
    while True:
        finished = [path for path in files_of(folder, disk) if path.name != NAME]
        try:
            current = disk.open(folder / NAME)
        except FileNotFoundError:
            current = None  # not yet there, or just renamed
        if finished == [path for path in files_of(folder, disk) if path.name != NAME]:
            return finished, current
        if current:
            current.close()


def _lines_in(name: str, file: BinaryIO) -> Iterator[tuple[str, int, str]]:
    for number, line in enumerate(TextIOWrapper(file, encoding="utf-8", errors="replace", newline="\n"), 1):
        if not line.endswith("\n"):
            return  # its rest, once it is there, would look like a line
        if number > 1 or line.rstrip("\n") != HEADER:
            yield name, number, line.rstrip("\n")


class Trail:
    """Appends to the trail in `folder`. Raises TrailUnusable, and StoreUnavailable while its disk is full."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        """Opens the trail where a crash may have left it: a torn last line is cut off."""
        self._folder = folder
        self._disk = disk or LocalDisk()
        self._is_whole = True  # nothing has failed half-way
        try:
            self._begin()
        except OSError as error:
            raise TrailUnusable(f"{folder / NAME} cannot be used: {error.strerror}.") from error

    def append(self, trades: Iterable[Trade], registry: Registry) -> None:
        """Writes those trades that are not there yet, in order; they are on the disk when this returns."""
        try:
            if not self._is_whole:
                self._file.close()
                self._begin()
                self._file.sync()
            if self._write([trade for trade in trades if trade.trade_id > self.last_trade_id], registry):
                self._file.sync()
        except OSError as error:
            self._is_whole = False
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreUnavailable(f"The disk of {self._folder / NAME} is full: make room.") from error
            raise TrailUnusable(f"{self._folder / NAME} cannot be written: {error.strerror}.") from error

    def close(self) -> None:
        self._file.close()

    def _begin(self) -> None:
        self._day: int | None = None  # days since 1970 of what the current file holds; None: nothing
        self.last_trade_id = 0
        self.last_line = ""
        self._file = self._open()
        self._recover()
        # Whoever wrote or renamed these files may have died before that was on the disk.
        self._file.sync()
        self._disk.sync_folder(self._folder)
        self._is_whole = True

    def _write(self, trades: list[Trade], registry: Registry) -> bool:
        start = 0
        while start < len(trades):
            day = trades[start].timestamp_ns // _DAY_NS
            end = start
            while end < len(trades) and trades[end].timestamp_ns // _DAY_NS == day:
                end += 1
            if self._day is not None and day != self._day:
                self._rotate()
            self._day = day
            lines = [line_of(trade, registry) for trade in trades[start:end]]
            self._file.write(("\n".join(lines) + "\n").encode())
            self.last_trade_id, self.last_line = trades[end - 1].trade_id, lines[-1]
            start = end
        return bool(trades)

    def _rotate(self) -> None:
        """Gives the finished day its name; a crash in between leaves no current file, which is a fresh one's start."""
        assert self._day is not None
        self._file.sync()
        self._file.close()
        day = date.fromordinal(date(1970, 1, 1).toordinal() + self._day)
        finished = self._folder / f"settled_trades-{day}.csv"
        if self._disk.exists(finished):  # renaming would destroy it
            raise TrailUnusable(f"{finished} is there already, but {NAME} holds trades of that day: move one away.")
        self._disk.rename(self._folder / NAME, finished)
        self._day = None
        self._file = self._open()

    def _open(self) -> AppendFile:
        """The current file at its end, with a header."""
        file = self._disk.append_to(self._folder / NAME)
        if file.size < len(_FIRST_LINE):
            file.truncate(0)
            file.write(_FIRST_LINE)
            file.sync()
            self._disk.sync_folder(self._folder)
        return file

    def _recover(self) -> None:
        """Cuts torn lines off the end, and finds the last whole one."""
        path = self._folder / NAME
        whole = self._end_of_whole_lines(path)
        if whole < self._file.size:
            self._file.truncate(whole)
            self._file.sync()
        for file in reversed(files_of(self._folder, self._disk)):
            last = self._last_line(file)
            if last != HEADER:
                self.last_line = last
                self.last_trade_id, day = _read_keys(file, last)
                self._day = (day - date(1970, 1, 1)).days if file == path else None
                return

    def _end_of_whole_lines(self, path: Path) -> int:
        """As `_end_of_last_line`, but before what a power cut left of lines that were not synced: zeros, in part."""
        with self._disk.open(path) as file:
            size = file.seek(0, SEEK_END)
            start = file.seek(max(0, size - _NOT_SYNCED_BYTES))
            tail = file.read()
        return start + tail.rfind(b"\n", 0, tail.index(b"\0")) + 1 if b"\0" in tail else self._end_of_last_line(path)

    def _end_of_last_line(self, path: Path) -> int:
        """Bytes up to and with the last line end. Every file begins with a whole header."""
        with self._disk.open(path) as file:
            size = file.seek(0, SEEK_END)
            start = max(0, size - _LONGEST_LINE)
            file.seek(start)
            return start + file.read().rfind(b"\n") + 1

    def _last_line(self, path: Path) -> str:
        """The last whole line."""
        end = self._end_of_last_line(path)
        with self._disk.open(path) as file:
            start = max(0, end - _LONGEST_LINE)
            file.seek(start)
            return file.read(end - start).rstrip(b"\n").rpartition(b"\n")[2].decode(errors="replace")


def _read_keys(file: Path, line: str) -> tuple[int, date]:
    """Trade id and UTC day of a line."""
    try:
        trade_id, time, _ = line.split(",", 2)
        return int(trade_id), date.fromisoformat(time[:10])
    except ValueError as error:
        raise TrailUnusable(f"The last line of {file} is no line of this trail: {line[:80]!r}.") from error
