"""Compares the CSV trail with the trades of the blocks, line by line."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

from matching.storage.disk import Disk
from settlement.audit.differences import Findings
from settlement.project.trail import TrailReader
from settlement.stores.base import Trade

WHAT = "csv line"

Line = tuple[str, int, str]
"""File, line number, text."""


class TrailAudit:
    """Reads the files once, oldest first, in step with the trades."""

    def __init__(self, folder: Path, first_sequence: int, findings: Findings, disk: Disk | None = None) -> None:
        """Lines of trades before `first_sequence` are skipped."""
        self._lines = TrailReader(folder, disk)
        self._ahead: deque[Line] = deque()  # the next lines
        self._findings = findings
        while (line := self._peek(0)) and _id_of(line[2], default=first_sequence) < first_sequence:
            self._ahead.popleft()

    def compare(self, trades: Sequence[Trade], texts: Iterable[tuple[slice, bytes]]) -> None:
        """Compares the next trades, in order. `texts`: `texts_by_day` of them."""
        for places, text in texts:
            if not self._skip(text, places.stop - places.start):
                lines = text.decode().splitlines()
                for trade, line in zip(trades[places], lines, strict=True):
                    self._compare_line(trade.trade_id, line)

    def _skip(self, text: bytes, lines: int) -> bool:
        """Skips the next lines if they are this text; returns whether they are."""
        known = "".join(f"{line}\n" for _, _, line in self._ahead).encode()
        if len(self._ahead) > lines or not text.startswith(known):
            return False
        if not self._lines.skip(text[len(known) :], lines - len(self._ahead)):
            return False
        self._ahead.clear()
        return True

    def _compare_line(self, trade_id: int, expected: str) -> None:
        self._skip_strays(trade_id)
        line = self._peek(0)
        if line is None or _id_of(line[2]) != trade_id:
            self._findings.add(WHAT, f"of trade {trade_id}", expected, None)
            return
        if line[2] != expected:
            self._findings.add(WHAT, _place(line), expected, line[2])
        self._ahead.popleft()

    def finish(self, last_sequence: int, ahead_to: int) -> None:
        """Reports the remaining lines, except trades after `last_sequence` up to `ahead_to`."""
        for line in chain(self._ahead, self._lines):
            if not last_sequence < _id_of(line[2]) <= ahead_to:
                self._findings.add(WHAT, _place(line), None, line[2])

    def close(self) -> None:
        self._lines.close()

    def _skip_strays(self, trade_id: int) -> None:
        """Reports lines before the trade's line and lines out of order, which belong to no trade of the blocks."""
        while line := self._peek(0):
            found, after = _id_of(line[2]), self._peek(1)
            follows = None if after is None else _id_of(after[2], default=found)
            is_out_of_order = found > trade_id and follows is not None and follows < found
            if found >= trade_id and not is_out_of_order:
                return
            self._findings.add(WHAT, _place(line), None, line[2])
            self._ahead.popleft()

    def _peek(self, place: int) -> Line | None:
        """The line at this place among the next ones, from 0; None: there is none."""
        self._ahead.extend(islice(self._lines, max(0, place + 1 - len(self._ahead))))
        return self._ahead[place] if 0 <= place < len(self._ahead) else None


def _place(line: Line) -> str:
    return f"{line[0]}:{line[1]}"


def _id_of(line: str, default: int = -1) -> int:
    """The trade id of a line; `default` if it cannot be read."""
    head = line.partition(",")[0]
    return int(head) if head.isascii() and head.isdigit() and len(head) < 20 else default
