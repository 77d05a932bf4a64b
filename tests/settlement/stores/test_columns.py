"""Tables of columns behave as sequences of rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from settlement.stores.base import Balance
from settlement.stores.base.columns import (
    ABSENT,
    ColumnTable,
    Names,
    Numbers,
    Objects,
    OptionalNumbers,
    Words,
    lists_of,
)


class Row(NamedTuple):
    number: int
    optional: int | None
    flag: bool
    word: str | None
    name: str | None
    other: object


NAMES = np.array([b"", b"abc", b"abcd"], "S4").view(np.uint8).reshape(-1, 4)
TABLE = ColumnTable(
    Row,
    number=Numbers(np.array([1, 2, 3])),
    optional=OptionalNumbers(np.array([ABSENT, 0, (1 << 63) - 1])),
    flag=Numbers(np.array([True, False, True])),
    word=Words(np.array([1, 0, 1], np.uint8), ["zero", None]),
    name=Names(NAMES),
    other=Objects(["x", 1, None]),
)
ROWS = [
    Row(1, None, True, None, None, "x"),
    Row(2, 0, False, "zero", "abc", 1),
    Row(3, (1 << 63) - 1, True, None, "abcd", None),
]


def test_it_has_the_length_the_items_and_the_slices_of_its_rows() -> None:
    table: Sequence[Row] = TABLE
    assert (len(table), list(table), table[1], table[-1], table[1:]) == (3, ROWS, ROWS[1], ROWS[-1], ROWS[1:])
    assert ROWS[1] in table
    with pytest.raises(IndexError):
        table[3]


def test_values_are_plain_objects_of_python() -> None:
    assert [type(value) for value in TABLE[1]] == [int, int, bool, str, str, int]


def test_it_equals_a_sequence_of_equal_rows_only() -> None:
    assert TABLE == ROWS
    assert ROWS == TABLE
    assert ROWS[:2] != TABLE
    assert [*ROWS[:2], ROWS[0]] != TABLE
    assert TABLE != 3


def test_rows_in_a_list_have_the_same_columns() -> None:
    assert [list(values) for values in lists_of(ROWS)] == [list(values) for values in lists_of(TABLE)]
    assert list(lists_of([])) == []


def test_its_columns_are_those_of_the_row_in_order() -> None:
    with pytest.raises(AssertionError, match="Balance"):
        ColumnTable(Balance, account=Numbers(np.array([1])))
