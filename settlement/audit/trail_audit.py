"""Compares the CSV trail with the trades of the blocks, line by line."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matching.core.registry import Registry
from matching.storage.disk import Disk
from settlement.audit.differences import Findings
from settlement.project.trail import lines_of, lines_of_trades
from settlement.stores.base import Trade

WHAT = "csv line"

Line = tuple[str, str]
"""(where: file and line number, text)"""


class TrailAudit:
    """Reads the files once, oldest first, in step with the trades."""

    def __init__(self, folder: Path, first_sequence: int, findings: Findings, disk: Disk | None = None) -> None:
        """Lines of trades before `first_sequence` are skipped."""
        self._lines = ((f"{name}:{number}", line) for name, number, line in lines_of(folder, disk))
        self._findings = findings
        self._next = next(self._lines, None)
        self._after = next(self._lines, None)
        while self._next and _id_of(self._next[1], default=first_sequence) < first_sequence:
            self._advance()

    def compare(self, trades: Sequence[Trade], registry: Registry) -> None:
        """Compares the next trades, in order."""
        for trade, expected in zip(trades, lines_of_trades(trades, registry), strict=True):
            line = self._next
            if line is not None and line[1] == expected:
                self._advance()
                continue
            self._skip_strays(trade.trade_id)
            line = self._next
            if line is not None and _id_of(line[1]) == trade.trade_id:
                if line[1] != expected:
                    self._findings.add(WHAT, line[0], expected, line[1])
                self._advance()
            else:
                self._findings.add(WHAT, f"of trade {trade.trade_id}", expected, None)

    def finish(self, last_sequence: int, ahead_to: int) -> None:
        """Reports the remaining lines, except trades after `last_sequence` up to `ahead_to`."""
        for where, line in self._rest():
            if not last_sequence < _id_of(line) <= ahead_to:
                self._findings.add(WHAT, where, None, line)

    def _skip_strays(self, trade_id: int) -> None:
        """Reports lines before the trade's line and lines out of order, which belong to no trade of the blocks."""
        while self._next is not None:
            found = _id_of(self._next[1])
            follows = None if self._after is None else _id_of(self._after[1], default=found)
            is_out_of_order = found > trade_id and follows is not None and follows < found
            if found >= trade_id and not is_out_of_order:
                return
            self._findings.add(WHAT, self._next[0], None, self._next[1])
            self._advance()

    def _rest(self) -> Iterator[Line]:
        while self._next is not None:
            yield self._next
            self._advance()

    def _advance(self) -> None:
        self._next, self._after = self._after, next(self._lines, None)


def _id_of(line: str, default: int = -1) -> int:
    """The trade id of a line; `default` if it cannot be read."""
    head = line.partition(",")[0]
    return int(head) if head.isascii() and head.isdigit() and len(head) < 20 else default
