"""Open-addressing hash tables with linear probing. An entry is 8 bytes: upper half of the hash, index of the record.

The top bits of the hash give the home position of an entry, so a table is rehashed without reading records. The find
functions below compare the keys in the records. Removal shifts later entries back (no tombstones). Entry 0 means
empty.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import entry, inlined
from matching.core.kernel.structures.bits import ONE, highest_bit, prefetch

_UPPER = np.uint64(0xFFFFFFFF00000000)
_LOWER = np.uint64(0xFFFFFFFF)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth's multiplicative hashing
_XXHASH_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)  # an odd constant with no pattern, from xxHash
_HALF_BITS = np.uint64(32)


@inlined
def mix(first: Any, second: Any) -> Any:
    """A 64-bit hash of two numbers with well-distributed top bits."""
    value = (np.uint64(first) ^ (np.uint64(second) * _XXHASH_PRIME)) * _GOLDEN
    return (value ^ (value >> _HALF_BITS)) * _XXHASH_PRIME


@inlined
def client_order_key(trader: Any, text_hash: Any) -> Any:
    """The hash of a trader's client order id. `text_hash` is already a hash of the id."""
    return text_hash ^ (np.uint64(trader) * _GOLDEN)


@inlined
def shift_of(table: Any) -> Any:
    """hash >> shift_of(table) is the home position of that hash."""
    return np.uint64(64 - highest_bit(np.uint64(len(table))))


@inlined
def mask_of(table: Any) -> Any:
    """Positions are unsigned and wrap around: (position + ONE) & mask_of(table) is the next one."""
    return np.uint64(len(table)) - ONE


@inlined
def insert(table: Any, key: Any, index: Any) -> None:
    """Adds an entry. The key must not be in the table."""
    mask = mask_of(table)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        i = (i + ONE) & mask
    table[i] = (key & _UPPER) | np.uint64(index)


@inlined
def remove(table: Any, key: Any, index: Any) -> None:
    """Removes an entry. The key must be in the table."""
    mask = mask_of(table)
    shift = shift_of(table)
    size = np.uint64(len(table))
    wanted = (key & _UPPER) | np.uint64(index)
    hole = key >> shift
    while table[hole] != wanted:
        hole = (hole + ONE) & mask
    i = hole
    while True:
        i = (i + ONE) & mask
        item = table[i]
        if item == np.uint64(0):
            break
        home = item >> shift
        if (i + size - home) & mask >= (i + size - hole) & mask:
            table[hole] = item
            hole = i
    table[hole] = np.uint64(0)


@entry
def rehash(old: Any, new: Any) -> None:
    """Copies all entries to an empty table.

    Home positions come from the upper half of the hash: tables have at most 2^32 entries.
    """
    mask = mask_of(new)
    shift = shift_of(new)
    for j in range(len(old)):
        item = old[j]
        if item != np.uint64(0):
            i = item >> shift
            while new[i] != np.uint64(0):
                i = (i + ONE) & mask
            new[i] = item


@inlined
def find_account(pools: Any, account: Any) -> Any:
    """Index in `accounts`, 0 if there is none."""
    table = pools.account_table
    mask = mask_of(table)
    key = mix(account, 0)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            index = np.int64(table[i] & _LOWER)
            if pools.accounts[index]["account"] == account:
                return index
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def find_balance(pools: Any, account: Any, asset: Any) -> Any:
    """Index in `balances`, 0 if there is none."""
    table = pools.balance_table
    mask = mask_of(table)
    key = mix(account, asset)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            index = np.int64(table[i] & _LOWER)
            if pools.balances[index]["account"] == account and pools.balances[index]["asset"] == asset:
                return index
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def is_trader(pools: Any, index: Any, account: Any, instrument: Any) -> Any:
    """Whether the index, any number >= 0, is that of the trader."""
    if index == 0 or index >= len(pools.traders):
        return False
    return pools.traders[index]["account"] == account and pools.traders[index]["instrument"] == instrument


@inlined
def find_trader(pools: Any, account: Any, instrument: Any) -> Any:
    """Index in `traders`, 0 if there is none."""
    table = pools.trader_table
    mask = mask_of(table)
    key = mix(account, instrument)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            index = np.int64(table[i] & _LOWER)
            if pools.traders[index]["account"] == account and pools.traders[index]["instrument"] == instrument:
                return index
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def find_client_order(pools: Any, trader: Any, text_hash: Any) -> Any:
    """Index in `orders` of the trader's open order with that client order id, 0 if there is none."""
    table = pools.client_order_table
    mask = mask_of(table)
    key = client_order_key(trader, text_hash)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            index = np.int64(table[i] & _LOWER)
            if pools.orders[index]["text_hash"] == text_hash and pools.orders[index]["trader"] == trader:
                return index
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def reference_key(account: Any, kind: Any, text_hash: Any) -> Any:
    return mix(text_hash, account) ^ (np.uint64(kind) * _GOLDEN)


@inlined
def find_reference(pools: Any, account: Any, kind: Any, text_hash: Any) -> Any:
    """Index in `references`, 0 if there is none."""
    table = pools.reference_table
    mask = mask_of(table)
    key = reference_key(account, kind, text_hash)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            index = np.int64(table[i] & _LOWER)
            row = pools.references[index]
            if row["text_hash"] == text_hash and row["account"] == account and row["kind"] == np.uint64(kind):
                return index
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def prefetch_trader_entry(pools: Any, account: Any, instrument: Any) -> None:
    table = pools.trader_table
    prefetch(table, mix(account, instrument) >> shift_of(table))


@inlined
def prefetch_trader(pools: Any, account: Any, instrument: Any) -> None:
    """Prefetches the trader at the home position, which is nearly always the one that is looked for."""
    table = pools.trader_table
    prefetch(pools.traders, np.int64(table[mix(account, instrument) >> shift_of(table)] & _LOWER))


@inlined
def prefetch_client_order(pools: Any, trader: Any, text_hash: Any) -> None:
    table = pools.client_order_table
    prefetch(table, client_order_key(trader, text_hash) >> shift_of(table))
