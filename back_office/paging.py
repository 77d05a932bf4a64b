"""Keyset pagination: a page starts after a key, so the last page of ten million rows costs as much as the first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

PAGE_ROWS = 50

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of one page, newest first, and the keys of the neighbouring pages; None: no such page, or not known."""

    rows: Sequence[Row]
    older: str | None = None  # value of the query parameter `before`
    newer: str | None = None  # value of the query parameter `after`
    is_first: bool = True


def page_before(found: Sequence[Row], key: Callable[[Row], object], *, is_first: bool) -> Page[Row]:
    """The page of `found`, which was read with a limit of PAGE_ROWS + 1: the extra row shows that more follow."""
    rows = found[:PAGE_ROWS]
    return Page(rows, older=str(key(rows[-1])) if len(found) > PAGE_ROWS else None, is_first=is_first)
