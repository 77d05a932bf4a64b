"""Depth updates: what changed in the books in each window of 100 ms of block time.

A window ends with the first block of a later one, or with a heartbeat of the engine that tells that no block has come
since. Blocks and heartbeats come in one order, so all gateways cut alike. An update's last id is the sequence of the
last event of the window, its first id follows the last id of the instrument's update before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.model.records import Depth, Level
from gateway.model.replica import Levels, Replica
from matching.core.codes import Side

WINDOW_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class DepthUpdate:
    """The levels of one instrument that changed; a quantity of 0: the level is gone."""

    instrument: int
    first_id: int
    last_id: int
    time_ns: int  # of the window's last block
    bids: Sequence[Level]
    asks: Sequence[Level]


@dataclass(slots=True)
class _Book:
    """The levels as of the last window that ended."""

    last_id: int
    bids: Levels
    asks: Levels


class DepthWindows:
    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._first_id = replica.engine.next_event_sequence - 1
        self._books: dict[int, _Book] = {}
        self._touched: set[int] = set()
        self._time_ns = 0
        self._last_id = self._first_id

    def ends_before(self, time_ns: int) -> bool:
        """Whether the window has to be closed before a block of this time is applied."""
        return bool(self._touched) and time_ns // WINDOW_NS != self._time_ns // WINDOW_NS

    def note(self, instruments: set[int], time_ns: int, last_id: int) -> None:
        """Records which books a block is about to touch. Call it before the block is applied."""
        for instrument in instruments - self._touched:
            self._book(instrument)  # while the levels are still those of the last window
        self._touched |= instruments
        self._time_ns, self._last_id = time_ns, last_id

    def close(self) -> list[DepthUpdate]:
        """Ends the window: returns the updates, and depth is that of now."""
        updates = []
        for instrument in sorted(self._touched):
            book = self._books[instrument]
            bids, asks = (self._replica.levels(instrument, side) for side in Side)
            bid_changes, ask_changes = changes(book.bids, bids), changes(book.asks, asks)
            if bid_changes or ask_changes:
                update = DepthUpdate(
                    instrument, book.last_id + 1, self._last_id, self._time_ns, bid_changes, ask_changes
                )
                book.last_id, book.bids, book.asks = self._last_id, bids, asks
                updates.append(update)
        self._touched.clear()
        return updates

    def depth(self, instrument: int, limit: int) -> Depth:
        book = self._book(instrument)
        bids, asks = ([Level(*row) for row in side[:limit].tolist()] for side in (book.bids, book.asks))
        return Depth(book.last_id, bids, asks)

    def _book(self, instrument: int) -> _Book:
        book = self._books.get(instrument)
        if book is None:
            bids, asks = (self._replica.levels(instrument, side) for side in Side)
            book = self._books[instrument] = _Book(self._first_id, bids, asks)
        return book


def changes(old: Levels, new: Levels) -> list[Level]:
    """Levels of one side whose quantity differs, with that of `new`, or 0 where it is gone. In order of price."""
    old, new = _ascending(old), _ascending(new)
    is_kept, _ = _found(old, new)
    is_known, at = _found(new, old)
    is_same = is_known.copy()
    is_same[is_known] = old[at[is_known], 1] == new[is_known, 1]
    gone = old[~is_kept]
    gone[:, 1] = 0
    rows = np.concatenate((gone, new[~is_same]))
    return [Level(*row) for row in rows[rows[:, 0].argsort()].tolist()]


def _ascending(side: Levels) -> Levels:
    return side[::-1] if len(side) > 1 and side[0, 0] > side[1, 0] else side


def _found(side: Levels, other: Levels) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """For each level, whether the other array has its price, and where."""
    at = np.searchsorted(other[:, 0], side[:, 0])
    is_found = at < len(other)
    is_found[is_found] = other[at[is_found], 0] == side[is_found, 0]
    return is_found, at
