"""The differences that a comparison found: expected and found values, by table and key."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from settlement.stores.base.columns import ColumnTable

R = TypeVar("R", bound=tuple[Any, ...])

MAX_KEPT = 1000
"""Maximum number of differences that are kept; further ones are only counted."""


class Difference(NamedTuple):
    what: str  # "block", "trade", "order", "ledger entry", "balance", "csv line", …
    key: str
    expected: Any  # None: nothing
    found: Any

    def __str__(self) -> str:
        return f"{self.what} {self.key}: expected {_text(self.expected)}, found {_text(self.found)}"


@dataclass
class Findings:
    """Differences in the order of finding them, each key once."""

    kept: list[Difference] = field(default_factory=list)
    count: int = 0
    _keys: set[tuple[str, str]] = field(default_factory=set)

    def add(self, what: str, key: object, expected: Any, found: Any) -> None:
        if (what, str(key)) in self._keys:
            return
        self.count += 1
        if len(self.kept) < MAX_KEPT:
            self._keys.add((what, str(key)))
            self.kept.append(Difference(what, str(key), expected, found))

    def compare_row(self, what: str, key: object, expected: Any, found: Any) -> None:
        """Compares two rows (named tuples; None: no row); a difference has only the fields that differ."""
        if expected == found:
            return
        if expected is None or found is None:
            self.add(what, key, _row(expected), _row(found))
            return
        fields = [name for name in expected._fields if getattr(expected, name) != getattr(found, name)]
        self.add(what, key, _only(expected, fields), _only(found, fields))

    def compare_rows(self, what: str, expected: Iterable[R], found: Iterable[R], width: int = 1) -> None:
        """Compares rows of one kind; the key of a row is its first `width` fields."""
        found = list(found)
        if isinstance(expected, Sequence) and found == tuples_of(expected):
            return  # in the same order too, as almost always
        wanted = {row[:width]: row for row in expected}
        for row in found:
            self.compare_row(what, _key(row[:width]), wanted.pop(row[:width], None), row)
        for key, row in wanted.items():
            self.compare_row(what, _key(key), row, None)


def tuples_of(rows: Sequence[R]) -> list[Any]:
    """Rows as plain tuples if they are columns, which is faster than to make named ones; both compare the same."""
    return list(zip(*rows.lists, strict=True)) if isinstance(rows, ColumnTable) else list(rows)


def _key(values: Sequence[Any]) -> str:
    return ":".join(map(str, values))


def _row(row: Any) -> dict[str, Any] | None:
    return None if row is None else row._asdict()


def _only(row: Any, fields: list[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in fields}


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name} {'none' if one is None else one}" for name, one in value.items())
    return str(value)
