"""The kernel's hash table behaves like a dict, also with many collisions, at the table's end, and after growing."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.core.kernel.compiling import entry
from matching.core.kernel.structures import tables
from tests.matching.examples import examples

Table = npt.NDArray[np.uint64]
UPPER = 0xFFFFFFFF_00000000
LOWER = 0xFFFFFFFF


@entry  # type: ignore[untyped-decorator]
def insert_all(table: Any, keys: Any, places: Any) -> None:
    for i in range(len(keys)):
        tables.insert(table, keys[i], places[i])


@entry  # type: ignore[untyped-decorator]
def remove_all(table: Any, keys: Any, places: Any) -> None:
    for i in range(len(keys)):
        tables.remove(table, keys[i], places[i])


@entry  # type: ignore[untyped-decorator]
def mix_all(first: Any, second: Any, mixed: Any) -> None:
    for i in range(len(first)):
        mixed[i] = tables.mix(first[i], second)


def arrays(rows: list[tuple[int, int]]) -> tuple[Table, npt.NDArray[np.int64]]:
    """(key, index) pairs as arrays for the kernel."""
    return np.array([key for key, _ in rows], np.uint64), np.array([place for _, place in rows], np.int64)


def insert(table: Table, key: int, place: int) -> None:
    insert_all(table, *arrays([(key, place)]))


def remove(table: Table, key: int, place: int) -> None:
    remove_all(table, *arrays([(key, place)]))


def home(table: Table, key: int) -> int:
    return key >> (64 - (len(table).bit_length() - 1))


def check(table: Table, held: dict[int, int]) -> None:
    """Checks that each entry of `held` (index.

    Key) is reachable from its home position, and that there are no others.
    """
    assert np.count_nonzero(table) == len(held)
    entries = table.tolist()
    for place, key in held.items():
        i = home(table, key)
        while entries[i] != (key & UPPER) | place:
            assert entries[i] != 0, f"the way to {key:016x} is broken"
            i = (i + 1) % len(table)


# Only the upper bits choose the home position: eight or two homes in a table of any size, among them the last.
crowded_keys = st.builds(
    lambda top, rest: (top << 61) | rest,
    st.sampled_from([0, 1, 6, 7]),
    st.sampled_from([0, 1, 1 << 32, 1 << 33, (1 << 61) - 1, (1 << 61) - (1 << 32)]),
)
steps = st.lists(st.tuples(st.booleans(), crowded_keys, st.integers(0, 10**6)), max_size=120)


@examples(300)
@given(steps=steps, first_size=st.sampled_from([8, 64, 128]))
def test_insert_remove_and_rehash_do_what_a_dict_does(steps: list[tuple[bool, int, int]], first_size: int) -> None:
    table: Table = np.zeros(first_size, np.uint64)
    held: dict[int, int] = {}
    for place, (inserts, key, choice) in enumerate(steps, 1):
        if inserts or not held:
            if 2 * len(held) >= len(table):
                table, smaller = np.zeros(2 * len(table), np.uint64), table
                tables.rehash(smaller, table)
                check(table, held)
            insert(table, key, place)
            held[place] = key
        else:
            gone = sorted(held)[choice % len(held)]
            remove(table, held.pop(gone), gone)
        check(table, held)


def test_a_table_with_one_free_entry_works() -> None:
    table: Table = np.zeros(8, np.uint64)
    held = dict.fromkeys(range(1, 8), 7 << 61)  # the home of all keys is the last entry
    insert_all(table, *arrays([(key, place) for place, key in held.items()]))
    check(table, held)
    for place in (4, 1, 7, 2, 6, 3, 5):
        remove(table, held.pop(place), place)
        check(table, held)
    assert not table.any()


def test_the_highest_index_and_key_do_not_affect_each_other() -> None:
    table: Table = np.zeros(8, np.uint64)
    held = {LOWER: 2**64 - 1, 1: 2**64 - 1, LOWER - 1: UPPER, 2: 0}
    insert_all(table, *arrays([(key, place) for place, key in held.items()]))
    check(table, held)


@pytest.mark.parametrize("stride", [1, 2, 64, 10**6, 2**32, 2**40 + 1])
def test_ids_of_any_stride_spread_over_a_table(stride: int) -> None:
    count, homes = 1 << 14, 1 << 10
    first: npt.NDArray[np.int64] = np.arange(count, dtype=np.int64) * stride
    mixed: Table = np.zeros(count, np.uint64)
    for second in (0, 1, 2**32 - 1):
        mix_all(first, np.int64(second), mixed)
        assert len(set(mixed.tolist())) == count
        crowd = Counter((mixed >> np.uint64(54)).tolist())
        assert len(crowd) == homes
        assert max(crowd.values()) < 4 * count // homes  # 16 for each home on average; random keys would give up to 35
