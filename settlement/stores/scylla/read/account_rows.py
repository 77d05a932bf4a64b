"""The trades or the orders of an account: their ids from a narrow table, then their rows."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

from settlement.stores.base import Order, Trade
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import Index
from settlement.stores.scylla.keys import SLICE_SIZE, is_int64
from settlement.stores.scylla.read.lookups import gather

Row = TypeVar("Row", Trade, Order)

_MAX_PAGE = 4096
"""Ids that are read at a time, if most of them turn out to be of other instruments."""


class Kind(NamedTuple, Generic[Row]):
    """What differs between trades and orders."""

    name: str
    """Of the parts in the index."""
    newest: str
    """Statement for the ids of a part from a first to a last one, newest first."""
    oldest: str
    tree_of: Callable[[str], str]
    """The index tree of an instrument's slices."""
    id_name: str
    get: Callable[[Iterable[int]], list[Row]]


class AccountRows(Generic[Row]):
    def __init__(self, session: Session, shard: int, index: Index, kind: Kind[Row]) -> None:
        self._session = session
        self._shard = shard
        self._index = index
        self._kind: Kind[Row] = kind
        self._id_of = attrgetter(kind.id_name)

    def find(
        self, account: int, symbol: str | None, *, first: int, last: int, limit: int, is_descending: bool
    ) -> list[Row]:
        """The first `limit` rows with ids from `first` to `last`. `symbol`: the instrument; None: all.

        The ids of an account do not tell the instrument, so the ids of its other instruments are read as well.
        """
        found: list[Row] = []
        for ids in self._pages(account, first=first, last=last, size=limit, is_descending=is_descending):
            wanted = ids if symbol is None or len(ids) <= limit else self._possible(symbol, ids)
            rows = [row for row in self._kind.get(wanted) if symbol in (None, row.symbol)]
            found += sorted(rows, key=self._id_of, reverse=is_descending)
            if len(found) >= limit:
                break
        return found[:limit]

    def _possible(self, symbol: str, ids: list[int]) -> list[int]:
        """Without those in a slice in which nobody has a row of this instrument, if the ids are dense.

        The index takes some round trips, so a first, small page is read without it.
        """
        first, last = min(ids) // SLICE_SIZE, max(ids) // SLICE_SIZE
        if last - first >= len(ids):
            return ids
        slices = set(self._index.walk(self._kind.tree_of(symbol), first, last))
        return [number for number in ids if number // SLICE_SIZE in slices]

    def _pages(self, account: int, *, first: int, last: int, size: int, is_descending: bool) -> Iterator[list[int]]:
        """Yields ids in order, at first `size` of them, then more and more.

        A caller takes another page if it finds too few rows: a reset has deleted the rows of some ids.
        """
        while first <= last and is_int64(account):
            parts = self._index.parts_of(account, self._kind.name, first=first, last=last, is_descending=is_descending)
            read = partial(self._ids_of_parts, account, first, last, is_descending)
            ids = gather(parts, size, self._session.access.in_flight, read)
            yield ids
            if len(ids) < size:
                return
            first, last = (first, ids[-1] - 1) if is_descending else (ids[-1] + 1, last)
            size = max(size, min(4 * size, _MAX_PAGE))

    def _ids_of_parts(
        self, account: int, first: int, last: int, is_descending: bool, parts: list[tuple[int, int]], limit: int
    ) -> Iterator[list[int]]:
        statement = self._kind.newest if is_descending else self._kind.oldest
        keys = [(self._shard, account, month, part, first, last, limit) for month, part in parts]
        for rows in self._session.many(statement, keys):
            yield [number for (number,) in rows]
