"""Columns written as JSON arrays are what SQLite writes of the same values."""

import sqlite3
from contextlib import closing
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from settlement.stores.base.columns import ABSENT, Column, Names, Numbers, Objects, OptionalNumbers, Words
from settlement.stores.sql.json_columns import json_array

MOST = (1 << 63) - 1
NUMBERS = (
    st.integers(ABSENT + 1, MOST)
    | st.integers(-10, 10)
    | st.sampled_from([10**n + d for n in range(18) for d in (-1, 0)])
)
TEXTS = ["buy", "sell", None, "", 'a"b\\c', "grüße"]
WIDTH = 6


def by_sqlite(values: list[Any]) -> bytes:
    """As `json_group_array` writes the values of a column."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE t (value)")
        database.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
        ((text,),) = database.execute("SELECT json_group_array(value) FROM t")
    return str(text).encode()


def check(column: Column) -> None:
    assert json_array(column) == by_sqlite(column.values())


@given(st.lists(NUMBERS))
def test_numbers(values: list[int]) -> None:
    check(Numbers(np.array(values, np.int64)))


@given(st.lists(st.none() | NUMBERS))
def test_numbers_that_may_be_missing(values: list[int | None]) -> None:
    check(OptionalNumbers(np.array([ABSENT if value is None else value for value in values], np.int64)))


@given(st.lists(st.booleans()))
def test_booleans_are_numbers(values: list[bool]) -> None:
    assert json_array(Numbers(np.array(values, bool))) == by_sqlite([int(value) for value in values])


@given(st.lists(st.integers(0, len(TEXTS) - 1)))
def test_words(codes: list[int]) -> None:
    check(Words(np.array(codes, np.uint8), TEXTS))


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=WIDTH)))
def test_names(names: list[str]) -> None:
    check(Names(np.array(names, f"S{WIDTH}").view(np.uint8).reshape(-1, WIDTH)))


def test_python_objects_are_not_written() -> None:
    assert json_array(Objects([1])) is None
