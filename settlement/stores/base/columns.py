"""Rows held as columns: arrays of numbers, and codes of texts. They become Python objects once, for the database.

A `ColumnTable` is a sequence of the contract's named tuples, which are made when a reader asks for rows. A sink that
can use columns takes `lists`, or the arrays themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

ABSENT = -(1 << 63)
"""Stands for None in an array of integers. No number of the engine is as low."""

R = TypeVar("R", bound=NamedTuple)


class Column(Protocol):
    """One column of a table."""

    def __len__(self) -> int: ...

    def values(self) -> list[Any]:
        """The values as Python objects, for a database driver."""

    def at(self, places: Integers) -> "Column":
        """The values in these places."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Integers or booleans, never None."""

    array: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.array)

    def values(self) -> list[Any]:
        values: list[Any] = self.array.tolist()
        return values

    def at(self, places: Integers) -> "Numbers":
        return Numbers(self.array[places])


@dataclass(frozen=True, slots=True, eq=False)
class OptionalNumbers:
    """Integers; ABSENT is None."""

    array: Integers

    def __len__(self) -> int:
        return len(self.array)

    def values(self) -> list[Any]:
        is_absent = self.array == ABSENT
        if is_absent.all():
            return [None] * len(is_absent)
        values: Any = self.array
        if is_absent.any():
            values = values.astype(object)
            values[is_absent] = None
        return list(values.tolist())

    def at(self, places: Integers) -> "OptionalNumbers":
        return OptionalNumbers(self.array[places])


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Texts of a dictionary: `codes` are indexes into `texts`, whose elements are str or None."""

    codes: npt.NDArray[Any]
    texts: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.codes)

    def values(self) -> list[Any]:
        values: list[Any] = np.array(self.texts, object)[self.codes].tolist() if len(self.codes) else []
        return values

    def at(self, places: Integers) -> "Words":
        return Words(self.codes[places], self.texts)


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """Texts of at most as many ASCII characters as the array is wide, padded with zeros; an empty one is None."""

    characters: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.characters)

    def values(self) -> list[Any]:
        if not len(self.characters) or not self.characters[:, 0].any():
            return [None] * len(self.characters)
        width = self.characters.shape[1]
        texts = np.ascontiguousarray(self.characters).view(f"S{width}").ravel().astype(f"U{width}").tolist()
        return [text or None for text in texts]

    def at(self, places: Integers) -> "Names":
        return Names(self.characters[places])


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Python objects of a table with few rows."""

    objects: list[Any]

    def __len__(self) -> int:
        return len(self.objects)

    def values(self) -> list[Any]:
        return self.objects

    def at(self, places: Integers) -> "Objects":
        return Objects([self.objects[place] for place in places.tolist()])


class ColumnTable(Sequence[R], Generic[R]):
    """Rows of type `row`; `columns` are in the order of its fields. Equal to a sequence of equal rows."""

    def __init__(self, row: type[R], **columns: Column) -> None:
        assert tuple(columns) == row._fields, f"the columns of {row.__name__}, in order"
        self.row = row
        self.columns: tuple[Column, ...] = tuple(columns.values())

    @cached_property
    def lists(self) -> tuple[list[Any], ...]:
        """The columns as lists of Python objects."""
        return tuple(column.values() for column in self.columns)

    def column(self, field: str) -> Any:
        return self.columns[self.row._fields.index(field)]

    def at(self, places: Integers) -> "ColumnTable[R]":
        """The rows in these places."""
        columns = (column.at(places) for column in self.columns)
        return ColumnTable(self.row, **dict(zip(self.row._fields, columns, strict=True)))

    def __len__(self) -> int:
        return len(self.columns[0])

    def __iter__(self) -> Iterator[R]:
        return named(self.row, zip(*self.lists, strict=True))

    @overload
    def __getitem__(self, place: int) -> R: ...

    @overload
    def __getitem__(self, place: slice) -> list[R]: ...

    def __getitem__(self, place: int | slice) -> R | list[R]:
        if isinstance(place, slice):
            return list(map(self.row._make, zip(*(values[place] for values in self.lists), strict=True)))
        return self.row._make(values[place] for values in self.lists)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


def named(row: type[R], rows: Iterable[Sequence[Any]]) -> Iterator[R]:
    """Named tuples of rows that are as wide as `row`, in a third of the time of `row._make`."""
    return map(tuple.__new__, repeat(row), rows)


def lists_of(rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """The columns of rows, which may be a ColumnTable; empty if there are none."""
    if isinstance(rows, ColumnTable):
        return rows.lists
    return list(zip(*rows, strict=True))
