"""Keyset pages: a page begins where a key says, so that the last page of ten million rows costs what the first does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

PAGE_ROWS = 50

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, newest first, and the keys of the pages beside it; None where there is none, or none can be known."""

    rows: Sequence[Row]
    older: str | None = None  # the address's `before`
    newer: str | None = None  # the address's `after`
    is_first: bool = True


def page_before(found: Sequence[Row], key: Callable[[Row], object], *, is_first: bool) -> Page[Row]:
    """The page of rows that were asked for with a limit of PAGE_ROWS + 1: one more than fits tells that more follow."""
    rows = found[:PAGE_ROWS]
    return Page(rows, older=str(key(rows[-1])) if len(found) > PAGE_ROWS else None, is_first=is_first)
