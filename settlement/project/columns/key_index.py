"""Hash tables with open addressing over pairs of integers, as compiled loops.

A table is an int32 array whose length is a power of two, at least twice the number of its keys. An element is 0, or one
more than an index into the arrays of keys.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ledger.api import compiled, inlined
from settlement.stores.base.columns import Integers

Table = npt.NDArray[np.int32]

_BITS = 0x3FFFFFFF
_compiled = compiled(Path(__file__))


def empty_table(keys: int) -> Table:
    """A table for as many keys."""
    return np.zeros(1 << max(4, (2 * keys - 1).bit_length()), np.int32)


@inlined
def home(first: int, second: int, mask: int) -> int:
    """Where the search for a key begins. The products of 30-bit numbers do not exceed int64."""
    mixed = ((first & _BITS) ^ ((first >> 30) & _BITS)) * 0x2545F491 + (second & _BITS) * 0x3C6EF372
    return (mixed ^ (mixed >> 29)) & mask


@_compiled
def number_keys(first: Integers, second: Integers, table: Table, local: Integers, places: Integers) -> int:
    """Numbers the different keys 0, 1, 2, … in the order of their first place, which goes to `places`.

    Writes the number of each key to `local`; returns how many there are. `table` is empty.
    """
    mask = len(table) - 1
    count = 0
    for place in range(len(first)):
        at = home(first[place], second[place], mask)
        while True:
            found = table[at]
            if found == 0:
                places[count] = place
                local[place] = count
                count += 1
                table[at] = count
                break
            known = places[found - 1]
            if first[known] == first[place] and second[known] == second[place]:
                local[place] = found - 1
                break
            at = (at + 1) & mask
    return count


@_compiled
def find(first: Integers, second: Integers, table: Table, keys: Integers, slots: Integers) -> None:
    """Writes the slot of each key, or -1. `keys` has the two halves of the keys in two rows."""
    mask = len(table) - 1
    for place in range(len(first)):
        at = home(first[place], second[place], mask)
        slots[place] = -1
        while table[at] != 0:
            slot = table[at] - 1
            if keys[0, slot] == first[place] and keys[1, slot] == second[place]:
                slots[place] = slot
                break
            at = (at + 1) & mask


@_compiled
def insert(slots: Integers, table: Table, keys: Integers) -> None:
    """Adds the keys in these slots, which the table does not have yet."""
    mask = len(table) - 1
    for place in range(len(slots)):
        slot = slots[place]
        at = home(keys[0, slot], keys[1, slot], mask)
        while table[at] != 0:
            at = (at + 1) & mask
        table[at] = slot + 1


@_compiled
def remove(slots: Integers, table: Table, keys: Integers) -> None:
    """Removes the keys in these slots. Later keys of a run move up, so that a search does not end at the gap."""
    mask = len(table) - 1
    for place in range(len(slots)):
        gap = home(keys[0, slots[place]], keys[1, slots[place]], mask)
        while table[gap] != slots[place] + 1:
            gap = (gap + 1) & mask
        at = (gap + 1) & mask
        while table[at] != 0:
            slot = table[at] - 1
            wanted = home(keys[0, slot], keys[1, slot], mask)
            if (at - wanted) & mask >= (at - gap) & mask:
                table[gap] = table[at]
                gap = at
            at = (at + 1) & mask
        table[gap] = 0
