"""`settled_trades.csv`: one line a trade, in decimals and symbols as people read them; append only.

The file holds one UTC day (of the trades' time). When a later day begins it is renamed to
`settled_trades-YYYY-MM-DD.csv` and a new one is begun. Lines are on the disk before the projection checkpoint moves,
so after a crash the trail may be ahead of the checkpoint, never behind; what is there already is not written again.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from matching.registry import Registry
from settlement.errors import TrailUnusable
from settlement.stores.base import Trade

NAME = "settled_trades.csv"
HEADER = (
    "trade_id,time,symbol,price,quantity,taker_side,maker_order_id,taker_order_id,buyer,seller,"
    "buyer_fee,buyer_fee_asset,seller_fee,seller_fee_asset,block_number"
)
_FIRST_LINE = HEADER.encode() + b"\n"
_DAY_NS = 86_400 * 10**9
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


def files_of(folder: Path) -> list[Path]:
    """The trail's files, oldest first; the one that is being written is the last."""
    current = folder / NAME
    return sorted(folder.glob("settled_trades-????-??-??.csv")) + ([current] if current.exists() else [])


def lines_of(folder: Path) -> Iterator[tuple[str, int, str]]:
    """(file name, line number, line without its end) of all whole lines but headers, oldest first.

    A last line without its end is one that is being written, or was torn by a crash: it is left out.
    """
    for path in files_of(folder):
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.endswith("\n") and (number > 1 or line.rstrip("\n") != HEADER):
                    yield path.name, number, line.rstrip("\n")


class Trail:
    """Appends to the trail in `folder`. Raises TrailUnusable."""

    def __init__(self, folder: Path) -> None:
        """Opens the trail where a crash may have left it: a torn last line is cut off."""
        self._folder = folder
        self._day: int | None = None  # days since 1970 of what the current file holds; None: nothing
        self.last_trade_id = 0
        self.last_line = ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._open()
            self._recover()
        except OSError as error:
            raise TrailUnusable(f"{folder / NAME} cannot be used: {error.strerror}.") from error

    def append(self, trades: Iterable[Trade], registry: Registry) -> None:
        """Writes those trades that are not there yet, in order; they are on the disk when this returns."""
        try:
            if self._write([trade for trade in trades if trade.trade_id > self.last_trade_id], registry):
                os.fsync(self._file.fileno())
        except OSError as error:
            raise TrailUnusable(f"{self._folder / NAME} cannot be written: {error.strerror}.") from error

    def close(self) -> None:
        self._file.close()

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
            _write_all(self._file, ("\n".join(lines) + "\n").encode())
            self.last_trade_id, self.last_line = trades[end - 1].trade_id, lines[-1]
            start = end
        return bool(trades)

    def _rotate(self) -> None:
        """Gives the finished day its name; a crash in between leaves no current file, which is a fresh one's start."""
        assert self._day is not None
        os.fsync(self._file.fileno())
        self._file.close()
        day = date.fromordinal(date(1970, 1, 1).toordinal() + self._day)
        finished = self._folder / f"settled_trades-{day}.csv"
        if finished.exists():  # renaming would destroy it
            raise TrailUnusable(f"{finished} is there already, but {NAME} holds trades of that day: move one away.")
        (self._folder / NAME).rename(finished)
        self._day = None
        self._file = self._open()

    def _open(self) -> BinaryIO:
        """The current file at its end, with a header; unbuffered, so that a crash leaves no more than it has to."""
        path = self._folder / NAME
        file = path.open("ab", buffering=0)
        if file.tell() < len(_FIRST_LINE):
            file.truncate(0)
            _write_all(file, _FIRST_LINE)
            os.fsync(file.fileno())
            _sync_folder(self._folder)
        return file

    def _recover(self) -> None:
        """Cuts a torn last line off, and finds the last whole one."""
        path = self._folder / NAME
        whole = _end_of_last_line(path)
        if whole < path.stat().st_size:
            os.truncate(path, whole)
            os.fsync(self._file.fileno())
        for file in reversed(files_of(self._folder)):
            last = _last_line(file)
            if last != HEADER:
                self.last_line = last
                self.last_trade_id, day = _read_keys(file, last)
                self._day = (day - date(1970, 1, 1)).days if file == path else None
                return


def _write_all(file: BinaryIO, data: bytes) -> None:
    """An unbuffered file may take less than it is given."""
    while data:
        data = data[file.write(data) :]


def _read_keys(file: Path, line: str) -> tuple[int, date]:
    """Trade id and UTC day of a line."""
    try:
        trade_id, time, _ = line.split(",", 2)
        return int(trade_id), date.fromisoformat(time[:10])
    except ValueError as error:
        raise TrailUnusable(f"The last line of {file} is no line of this trail: {line[:80]!r}.") from error


def _end_of_last_line(path: Path) -> int:
    """Bytes up to and with the last line end. Every file begins with a whole header."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _LONGEST_LINE)
        file.seek(start)
        return start + file.read().rfind(b"\n") + 1


def _last_line(path: Path) -> str:
    """The last whole line."""
    end = _end_of_last_line(path)
    with path.open("rb") as file:
        start = max(0, end - _LONGEST_LINE)
        file.seek(start)
        return file.read(end - start).rstrip(b"\n").rpartition(b"\n")[2].decode(errors="replace")


def _sync_folder(folder: Path) -> None:
    """A new or renamed file survives a power cut only when its folder has been written too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
