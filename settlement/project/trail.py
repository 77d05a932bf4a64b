"""The audit trail `settled_trades.csv`: append-only, one line per trade, with decimals and symbols.

The file has the trades of one UTC day. When a later day begins it is renamed to `settled_trades-YYYY-MM-DD.csv` and a
new file is started. Lines are on disk before the projection checkpoint advances, so after a crash the trail may be
ahead of the checkpoint but never behind it; trades that it has are not written again.
"""

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime
from functools import lru_cache
from io import TextIOWrapper
from itertools import groupby
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

from matching.core.decimals import Unit
from matching.core.registry import Registry
from matching.storage.disk import AppendFile, Disk, LocalDisk
from settlement.errors import TrailUnusable
from settlement.stores.base import StoreUnavailable, Trade
from settlement.stores.base.columns import lists_of

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


def lines_of(folder: Path, disk: Disk | None = None) -> Iterator[tuple[str, int, str]]:
    """(file name, line number, line without line end) of all complete lines except headers, oldest first.

    The files are read as they are when the first line is requested, even if a day is finished meanwhile. A last line
    without line end is being written, or was torn by a crash, and is left out.
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


def _lines_in(name: str, file: BinaryIO) -> Iterator[tuple[str, int, str]]:
    for number, line in enumerate(TextIOWrapper(file, encoding="utf-8", errors="replace", newline="\n"), 1):
        if not line.endswith("\n"):
            return  # the rest of a torn line would look like a line of its own
        if number > 1 or line.rstrip("\n") != HEADER:
            yield name, number, line.rstrip("\n")


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
        ids, _, times_ns, *_ = lists_of(trades)
        lines = lines_of_trades(trades, registry)
        start = 0
        for day, same_day in groupby(at_ns // _DAY_NS for at_ns in times_ns):
            end = start + sum(1 for _ in same_day)
            if self._day is not None and day != self._day:
                self._rotate()
            self._day = day
            self._file.write(("\n".join(lines[start:end]) + "\n").encode())
            self.last_trade_id, self.last_line = ids[end - 1], lines[end - 1]
            start = end
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
