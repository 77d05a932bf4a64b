"""Rows of an archived table by a key, read by row group: Parquet's unit of reading, with the range of its keys."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from archive.iceberg.schema import ArchiveTable
from archive.iceberg.tables import reaching

_GROUPS_KEPT = 3
"""Decoded ones of a table, for callers that read a range in pages; one has 16 MiB or 65,536 rows."""
_FOOTERS_AT_ONCE = 8
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1


class Span(NamedTuple):
    """A range of keys, with both ends."""

    first: int
    last: int


class _Group(NamedTuple):
    fragment: Any  # of one row group; pyarrow has no types
    lowest: int  # of its keys
    highest: int


class RowGroups:
    """The rows of `table` in these files. Every method raises ArchiveUnavailable."""

    def __init__(self, table: ArchiveTable, key: Sequence[str], files: ds.Dataset) -> None:
        """`key`: columns that order the rows of the answers; the first one is what spans are about."""
        self._table = table
        self._key = key
        with reaching("The archive"), ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
            found = pool.map(self._groups_of, files.get_fragments())
            self._groups = sorted((group for groups in found for group in groups), key=lambda group: group[1:])
        self._decoded = lru_cache(_GROUPS_KEPT)(self._decode)

    def oldest(self, span: Span, limit: int | None = None, where: pc.Expression | None = None) -> list[Any]:
        """The first rows of a span, in order."""
        return self._first(self._in(span), span, limit, where, is_newest_first=False)

    def newest(self, span: Span, limit: int, where: pc.Expression | None = None) -> list[Any]:
        """The last rows of a span, the last one first."""
        groups = sorted(self._in(span), key=lambda group: group.highest, reverse=True)
        return self._first(groups, span, limit, where, is_newest_first=True)

    def each(self, span: Span) -> Iterator[Any]:
        """The rows of a span in order, of a table whose row groups do not overlap; one group is in memory."""
        for group in self._in(span):
            yield from self._rows(group, span, None)

    def of_keys(self, keys: Sequence[int]) -> list[Any]:
        """The existing rows, in any order."""
        wanted = sorted(keys)
        found: list[Any] = []
        for group in self._in(Span(wanted[0], wanted[-1])) if wanted else ():
            here = [key for key in wanted if group.lowest <= key <= group.highest]
            if here:
                with reaching("The archive"):
                    of_group = self._decoded(self._groups.index(group))
                    found += self._table.rows(of_group.filter(pc.field(self._key[0]).isin(here)))
        return found

    def _in(self, span: Span) -> Iterable[_Group]:
        return [group for group in self._groups if group.highest >= span.first and group.lowest <= span.last]

    def _first(
        self,
        groups: Iterable[_Group],
        span: Span,
        limit: int | None,
        where: pc.Expression | None,
        *,
        is_newest_first: bool,
    ) -> list[Any]:
        """`groups` are in the order in which they can have the first rows."""
        found: list[Any] = []
        for group in groups:
            if limit is not None and len(found) == limit:
                last = getattr(found[-1], self._key[0]) if found else 0
                if not found or (group.highest < last if is_newest_first else group.lowest > last):
                    break
            found += self._rows(group, span, where)
            found.sort(key=self._place, reverse=is_newest_first)
            del found[len(found) if limit is None else limit :]
        return found

    def _place(self, row: Any) -> tuple[int, ...]:
        return tuple(getattr(row, name) for name in self._key)

    def _rows(self, group: _Group, span: Span, where: pc.Expression | None) -> list[Any]:
        key = pc.field(self._key[0])
        first, last = max(span.first, group.lowest), min(span.last, group.highest)
        is_in_span = (key >= pa.scalar(first, pa.int64())) & (key <= pa.scalar(last, pa.int64()))
        with reaching("The archive"):
            if where is None:
                return self._table.rows(self._decoded(self._groups.index(group)).filter(is_in_span))
            # Counting reads the columns of the condition only, and most groups have no row of an account.
            if not group.fragment.count_rows(filter=where & is_in_span):
                return []
            return self._table.rows(group.fragment.to_table(filter=where & is_in_span))

    def _decode(self, place: int) -> pa.Table:
        return self._groups[place].fragment.to_table()

    def _groups_of(self, fragment: Any) -> list[_Group]:
        """Reads the file's footer."""
        fragment.ensure_complete_metadata()
        return [self._group(part) for part in fragment.split_by_row_group()]

    def _group(self, fragment: Any) -> _Group:
        (row_group,) = fragment.row_groups
        keys = (row_group.statistics or {}).get(self._key[0])
        return _Group(fragment, keys["min"], keys["max"]) if keys else _Group(fragment, _LOWEST, _HIGHEST)
