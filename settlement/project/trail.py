"""The audit trail `settled_trades.csv`: append-only, one line per trade, with decimals and symbols.

The file has the trades of one UTC day. When a later day begins it is renamed to `settled_trades-YYYY-MM-DD.csv` and a
new file is started. Lines are on disk before the projection checkpoint advances, so after a crash the trail may be
ahead of the checkpoint but never behind it; trades that it has are not written again.
"""

import errno
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime
from functools import lru_cache
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from matching.core.decimals import Unit
from matching.core.registry import Registry
from matching.storage.disk import AppendFile, Disk, LocalDisk
from settlement.errors import TrailUnusable
from settlement.project.columns.trail_lines import text_of
from settlement.stores.base import StoreUnavailable, Trade
from settlement.stores.base.columns import ColumnTable, Integers, lists_of

NAME = "settled_trades.csv"
HEADER = (
    "trade_id,time,symbol,price,quantity,taker_side,maker_order_id,taker_order_id,buyer,seller,"
    "buyer_fee,buyer_fee_asset,seller_fee,seller_fee_asset,block_number"
)
_FIRST_LINE = HEADER.encode() + b"\n"
_FINISHED = re.compile(r"settled_trades-....-..-..\.csv")
_LINE = ",".join(["{}"] * len(HEADER.split(","))).format
_DAY_NS = 86_400 * 10**9
_MAX_UNSYNCED_BYTES = 8 << 20
"""Upper bound for the lines of one batch, which are synced together."""
_MAX_LINE_BYTES = 1024
"""More than twice the length of the longest possible line."""


def line_of(trade: Trade, registry: Registry) -> str:
    """The line of a trade, without its end."""
    (line,) = lines_of_trades([trade], registry)
    return line


def lines_of_trades(trades: Sequence[Trade], registry: Registry) -> list[str]:
    """The lines of trades, without their ends. Each different number of a column becomes a text once."""
    if not trades:
        return []
    (
        ids, blocks, times_ns, symbols, prices, quantities, sides, makers, takers, buyers, sellers, buyer_fees,
        seller_fees, _,
    ) = lists_of(trades)  # fmt: skip
    instruments = {symbol: registry.instrument_by_symbol[symbol] for symbol in set(symbols)}
    columns = (
        ids,
        map(time_text, times_ns),
        symbols,
        _texts(symbols, prices, {symbol: one.tick for symbol, one in instruments.items()}),
        _texts(symbols, quantities, {symbol: one.lot for symbol, one in instruments.items()}),
        sides,
        makers,
        takers,
        buyers,
        sellers,
        _texts(symbols, buyer_fees, {symbol: one.base.unit for symbol, one in instruments.items()}),
        map({symbol: one.base.symbol for symbol, one in instruments.items()}.__getitem__, symbols),
        _texts(symbols, seller_fees, {symbol: one.quote.unit for symbol, one in instruments.items()}),
        map({symbol: one.quote.symbol for symbol, one in instruments.items()}.__getitem__, symbols),
        blocks,
    )
    return list(map(_LINE, *columns))


def texts_by_day(trades: Sequence[Trade], registry: Registry) -> Iterator[tuple[slice, bytes]]:
    """The trades of each day in turn, as (their places, their lines with line ends)."""
    times_ns = _times_ns(trades)
    starts = np.flatnonzero(_differ(times_ns // _DAY_NS)).tolist()
    for start, end in zip(starts, [*starts, len(trades)][1:], strict=True):
        places = slice(start, end)
        yield places, _text_of(trades, places, times_ns[places], registry)


def _text_of(trades: Sequence[Trade], places: slice, times_ns: Integers, registry: Registry) -> bytes:
    if isinstance(trades, ColumnTable):
        is_other = _differ(times_ns)
        times = [time_text(at_ns) for at_ns in times_ns[is_other].tolist()]
        times_of = np.cumsum(is_other, dtype=np.int64) - 1
        text = text_of(trades.at(np.arange(places.start, places.stop)), times, times_of, registry)
        if text is not None:
            return text
    return "".join(f"{line}\n" for line in lines_of_trades(trades[places], registry)).encode()


def _times_ns(trades: Sequence[Trade]) -> Integers:
    if isinstance(trades, ColumnTable):
        times_ns: Integers = trades.column("timestamp_ns").array
        return times_ns
    return np.array([trade.timestamp_ns for trade in trades], np.int64)


def _differ(values: Integers) -> npt.NDArray[np.bool_]:
    """Whether each value differs from the one before it; the first one does."""
    found = np.ones(len(values), bool)
    found[1:] = values[1:] != values[:-1]
    return found


def _texts(symbols: Sequence[str], counts: Sequence[int], units: Mapping[str, Unit]) -> Iterator[str]:
    """The decimals of counts of a unit, which depends on the symbol."""
    pairs = list(zip(symbols, counts, strict=True))
    texts = {pair: units[pair[0]].text(pair[1]) for pair in set(pairs)}
    return map(texts.__getitem__, pairs)


@lru_cache(maxsize=16)  # all trades of a block have the same time
def time_text(at_ns: int) -> str:
    """`2026-01-31T23:59:59.123456789Z`"""
    seconds, fraction = divmod(at_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


def files_of(folder: Path, disk: Disk | None = None) -> list[Path]:
    """The trail's files, oldest first; the one that is being written is the last."""
    names = (disk or LocalDisk()).names(folder, ".csv")
    finished = [folder / name for name in names if _FINISHED.fullmatch(name)]
    return finished + ([folder / NAME] if NAME in names else [])


class TrailReader:
    """Reads the complete lines of all files except headers, oldest first, once.

    The files are read as they are when the first line is requested, even if a day is finished meanwhile. A last line
    without line end is being written, or was torn by a crash, and is left out.
    """

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder
        self._disk = disk or LocalDisk()
        self._files: Generator[tuple[str, BinaryIO], None, None] | None = None
        self._name = ""
        self._file: BinaryIO | None = None  # None: no file is left, or none was opened yet
        self._number = 0  # lines of the file that were read

    def __iter__(self) -> Iterator[tuple[str, int, str]]:
        return self

    def __next__(self) -> tuple[str, int, str]:
        """(file name, line number, line without line end)"""
        while self._file is not None or self._open_next():
            assert self._file is not None, "just opened"
            line = self._file.readline()
            if line.endswith(b"\n"):  # the rest of a torn line would look like a line of its own
                self._number += 1
                return self._name, self._number, line[:-1].decode(errors="replace")
            self._close()
        raise StopIteration

    def skip(self, text: bytes, lines: int) -> bool:
        """Skips the next lines of one file if they are this text; returns whether they are."""
        while self._file is not None or self._open_next():
            assert self._file is not None, "just opened"
            at = self._file.tell()
            found = self._file.read(len(text))
            if found == text:
                self._number += lines
                return True
            self._file.seek(at)
            if found:
                return False
            self._close()
        return False

    def close(self) -> None:
        self._close()
        if self._files is not None:
            self._files.close()

    def _open_next(self) -> bool:
        if self._files is None:
            self._files = _opened_in_order(self._folder, self._disk)
        self._name, self._file = next(self._files, ("", None))
        if self._file is None:
            return False
        self._number = int(self._file.readline() == _FIRST_LINE)
        if not self._number:
            self._file.seek(0)
        return True

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def lines_of(folder: Path, disk: Disk | None = None) -> Iterator[tuple[str, int, str]]:
    """(file name, line number, line without line end) of all lines; see TrailReader."""
    return iter(TrailReader(folder, disk))


def _opened_in_order(folder: Path, disk: Disk) -> Generator[tuple[str, BinaryIO], None, None]:
    finished, current = _opened(folder, disk)
    with current or nullcontext():
        for path in finished:
            yield path.name, disk.open(path)
        if current:
            yield NAME, current


def _opened(folder: Path, disk: Disk) -> tuple[list[Path], BinaryIO | None]:
    """The finished files and the open current file, which stays the next one even if it is renamed meanwhile."""
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


class Trail:
    """Appends to the trail in `folder`. Raises TrailUnusable, and StoreUnavailable while its disk is full."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        """Opens the trail and truncates a torn last line."""
        self._folder = folder
        self._disk = disk or LocalDisk()
        self._is_intact = True  # no write has failed since the trail was opened
        try:
            self._begin()
        except OSError as error:
            raise TrailUnusable(f"{folder / NAME} cannot be used: {error.strerror}.") from error

    def append(self, trades: Sequence[Trade], registry: Registry) -> None:
        """Writes the trades that the trail does not have yet, in order; they are on disk when this returns."""
        try:
            if not self._is_intact:
                self._file.close()
                self._begin()
                self._file.sync()
            if self._write(self._missing_of(trades), registry):
                self._file.sync()
        except OSError as error:
            self._is_intact = False
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreUnavailable(f"The disk of {self._folder / NAME} is full: make room.") from error
            raise TrailUnusable(f"{self._folder / NAME} cannot be written: {error.strerror}.") from error

    def close(self) -> None:
        self._file.close()

    def _begin(self) -> None:
        self._day: int | None = None  # of the trades in the current file, as days since 1970; None: it is empty
        self.last_trade_id = 0
        self.last_line = ""
        self._file = self._open()
        self._recover()
        # An earlier process may have crashed before its writes and renames were synced.
        self._file.sync()
        self._disk.sync_folder(self._folder)
        self._is_intact = True

    def _missing_of(self, trades: Sequence[Trade]) -> Sequence[Trade]:
        if not trades or trades[0].trade_id > self.last_trade_id:
            return trades
        return [trade for trade in trades if trade.trade_id > self.last_trade_id]

    def _write(self, trades: Sequence[Trade], registry: Registry) -> bool:
        if not trades:
            return False
        for places, text in texts_by_day(trades, registry):
            last = trades[places.stop - 1]
            day = last.timestamp_ns // _DAY_NS
            if self._day is not None and day != self._day:
                self._rotate()
            self._day = day
            self._file.write(text)
            self.last_trade_id, self.last_line = last.trade_id, text[text.rfind(b"\n", 0, -1) + 1 : -1].decode()
        return True

    def _rotate(self) -> None:
        """Renames the file of the finished day. After a crash in between there is no current file, as at the start."""
        assert self._day is not None
        self._file.sync()
        self._file.close()
        day = date.fromordinal(date(1970, 1, 1).toordinal() + self._day)
        finished = self._folder / f"settled_trades-{day}.csv"
        if self._disk.exists(finished):  # renaming would destroy it
            raise TrailUnusable(f"{finished} exists already, but {NAME} has trades of that day: move one of them away.")
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
        """Truncates torn lines, and reads the last complete one."""
        path = self._folder / NAME
        end = self._end_of_synced_lines(path)
        if end < self._file.size:
            self._file.truncate(end)
            self._file.sync()
        for file in reversed(files_of(self._folder, self._disk)):
            last = _last_line(self._disk, file)
            if last != HEADER:
                self.last_line = last
                self.last_trade_id, day = _read_keys(file, last)
                self._day = (day - date(1970, 1, 1)).days if file == path else None
                return

    def _end_of_synced_lines(self, path: Path) -> int:
        """As `_end_of_last_line`, but before zero bytes: a power failure leaves them in place of unsynced lines."""
        with self._disk.open(path) as file:
            size = file.seek(0, SEEK_END)
            start = file.seek(max(0, size - _MAX_UNSYNCED_BYTES))
            tail = file.read()
        if b"\0" in tail:
            return start + tail.rfind(b"\n", 0, tail.index(b"\0")) + 1
        return _end_of_last_line(self._disk, path)


def last_trade_of(folder: Path, disk: Disk | None = None) -> int:
    """The id of the last trade in the trail, 0 if there is none; changes nothing. Raises TrailUnusable, OSError."""
    disk = disk or LocalDisk()
    for file in reversed(files_of(folder, disk)):
        last = _last_line(disk, file)
        if last not in ("", HEADER):
            return _read_keys(file, last)[0]
    return 0


def _end_of_last_line(disk: Disk, path: Path) -> int:
    """The offset after the last line end. Every file begins with a complete header."""
    with disk.open(path) as file:
        size = file.seek(0, SEEK_END)
        start = max(0, size - _MAX_LINE_BYTES)
        file.seek(start)
        return start + file.read().rfind(b"\n") + 1


def _last_line(disk: Disk, path: Path) -> str:
    """The last complete line."""
    end = _end_of_last_line(disk, path)
    with disk.open(path) as file:
        start = max(0, end - _MAX_LINE_BYTES)
        file.seek(start)
        return file.read(end - start).rstrip(b"\n").rpartition(b"\n")[2].decode(errors="replace")


def _read_keys(file: Path, line: str) -> tuple[int, date]:
    """Trade id and UTC day of a line."""
    try:
        trade_id, time, _ = line.split(",", 2)
        return int(trade_id), date.fromisoformat(time[:10])
    except ValueError as error:
        raise TrailUnusable(f"The last line of {file} is not a line of the trail: {line[:80]!r}.") from error
