"""A cache of records by a key of two integers, in arrays: the states of orders and balances between batches."""

from typing import Any

import numpy as np
import numpy.typing as npt

from settlement.project.columns.key_index import Table, empty_table, find, insert, number_keys, remove
from settlement.stores.base.columns import Integers

_FIRST_CAPACITY = 1024


class StateCache:
    """Keeps at least the last `kept` keys that were put or taken, and at most twice as many plus one batch."""

    def __init__(self, dtype: npt.DTypeLike, kept: int | None) -> None:
        """`kept` None: nothing is dropped but by `drop`."""
        self._dtype = np.dtype(dtype)
        self._kept = kept
        self._clock = 0  # number of the call that used a slot last
        self._begin(_FIRST_CAPACITY)

    def _begin(self, capacity: int) -> None:
        self._states: Any = np.zeros(capacity, self._dtype)
        self._keys: Integers = np.zeros((2, capacity), np.int64)
        self._used: Integers = np.zeros(capacity, np.int64)  # 0: the slot is free
        self._free: Integers = np.arange(capacity - 1, -1, -1, dtype=np.int64)  # a stack; the next one is the last
        self._table: Table = empty_table(capacity)

    def __len__(self) -> int:
        return len(self._used) - len(self._free)

    def take(self, first: Integers, second: Integers) -> tuple[Any, npt.NDArray[np.bool_]]:
        """Copies of the records of these keys, and which of them were found; the others are zeros."""
        self._clock += 1
        slots = self._slots(first, second)
        is_found = slots >= 0
        states = np.zeros(len(slots), self._dtype)
        states[is_found] = self._states[slots[is_found]]
        self._used[slots[is_found]] = self._clock
        return states, is_found

    def put(self, first: Integers, second: Integers, states: Any) -> None:
        """Sets the records of these keys, which are distinct."""
        self._clock += 1
        if self._kept is not None and len(self) + len(first) > 2 * self._kept:
            self._keep_newest(self._kept)
        slots = self._slots(first, second)
        is_new = slots < 0
        added = int(is_new.sum())
        if added > len(self._free):
            self._rebuild(np.flatnonzero(self._used), len(self) + added)
            slots = self._slots(first, second)
        if added:
            taken = self._free[len(self._free) - added :]
            self._free = self._free[: len(self._free) - added]
            slots[is_new] = taken
            self._keys[0, taken], self._keys[1, taken] = first[is_new], second[is_new]
            insert(taken, self._table, self._keys)
        self._states[slots] = states
        self._used[slots] = self._clock

    def drop(self, first: Integers, second: Integers) -> None:
        """Forgets those of these distinct keys that it has."""
        slots = self._slots(first, second)
        slots = slots[slots >= 0]
        remove(slots, self._table, self._keys)
        self._used[slots] = 0
        self._free = np.concatenate([self._free, slots])

    def records(self) -> Any:
        """All records, in no order."""
        return self._states[self._used > 0]

    def _slots(self, first: Integers, second: Integers) -> Integers:
        slots = np.empty(len(first), np.int64)
        find(first, second, self._table, self._keys, slots)
        return slots

    def _keep_newest(self, count: int) -> None:
        held = np.flatnonzero(self._used)
        if len(held) > count:
            self._rebuild(np.sort(held[np.argsort(self._used[held], kind="stable")[-count:]]), count)

    def _rebuild(self, held: Integers, needed: int) -> None:
        """Moves these slots to new arrays that have room for twice `needed`."""
        states, keys, used = self._states[held], self._keys[:, held], self._used[held]
        self._begin(max(_FIRST_CAPACITY, 2 * needed))
        count = len(held)
        self._states[:count], self._keys[:, :count], self._used[:count] = states, keys, used
        self._free = self._free[: len(self._free) - count]
        insert(np.arange(count, dtype=np.int64), self._table, self._keys)


def numbered(first: Integers, second: Integers) -> tuple[Integers, Integers]:
    """(number of each key, index of the first place of each number) of pairs of integers; see `number_keys`."""
    local, places = np.empty(len(first), np.int64), np.empty(len(first), np.int64)
    count = number_keys(first, second, empty_table(len(first)), local, places)
    return local, places[:count]
