"""Open-addressing hash tables whose entries are (upper half of the hash, place of the record): 8 bytes each.

An entry's home is given by the top bits of its hash, so a table can be rehashed without looking at a record. Keys are
compared in the records by the finders below. Removal shifts later entries back: no tombstones. Entry 0 is empty.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import entry, inlined
from matching.core.kernel.structures.bits import ONE, highest, prefetch

_UPPER = np.uint64(0xFFFFFFFF00000000)
_LOWER = np.uint64(0xFFFFFFFF)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth's multiplicative hashing
_OTHER = np.uint64(0xC2B2AE3D27D4EB4F)  # an odd constant with no pattern, from xxHash
_HALF = np.uint64(32)


@inlined
def mix(first: Any, second: Any) -> Any:
    """A 64-bit hash of two numbers, good in its top bits."""
    value = (np.uint64(first) ^ (np.uint64(second) * _OTHER)) * _GOLDEN
    return (value ^ (value >> _HALF)) * _OTHER


@inlined
def client_order_key(trader: Any, text_hash: Any) -> Any:
    """The hash of a trader's client order id; text_hash is one already."""
    return text_hash ^ (np.uint64(trader) * _GOLDEN)


@inlined
def shift_of(table: Any) -> Any:
    """hash >> shift_of(table) is the home of that hash."""
    return np.uint64(64 - highest(np.uint64(len(table))))


@inlined
def mask_of(table: Any) -> Any:
    """Places are unsigned and go round: (place + ONE) & mask_of(table) is the next one."""
    return np.uint64(len(table)) - ONE


@inlined
def insert(table: Any, key: Any, place: Any) -> None:
    """The key must not be there yet."""
    mask = mask_of(table)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        i = (i + ONE) & mask
    table[i] = (key & _UPPER) | np.uint64(place)


@inlined
def remove(table: Any, key: Any, place: Any) -> None:
    """The key must be there."""
    mask = mask_of(table)
    shift = shift_of(table)
    size = np.uint64(len(table))
    wanted = (key & _UPPER) | np.uint64(place)
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
    """Moves all entries to an empty table. Homes come from the upper half: tables have at most 2^32 entries."""
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
    """Place in `accounts`, 0: none."""
    table = pools.account_table
    mask = mask_of(table)
    key = mix(account, 0)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            place = np.int64(table[i] & _LOWER)
            if pools.accounts[place]["account"] == account:
                return place
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def find_balance(pools: Any, account: Any, asset: Any) -> Any:
    """Place in `balances`, 0: none."""
    table = pools.balance_table
    mask = mask_of(table)
    key = mix(account, asset)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            place = np.int64(table[i] & _LOWER)
            if pools.balances[place]["account"] == account and pools.balances[place]["asset"] == asset:
                return place
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def find_trader(pools: Any, account: Any, instrument: Any) -> Any:
    """Place in `traders`, 0: none."""
    table = pools.trader_table
    mask = mask_of(table)
    key = mix(account, instrument)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            place = np.int64(table[i] & _LOWER)
            if pools.traders[place]["account"] == account and pools.traders[place]["instrument"] == instrument:
                return place
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def find_client_order(pools: Any, trader: Any, text_hash: Any) -> Any:
    """Place in `orders` of the trader's open order with that client order id, 0: none."""
    table = pools.client_order_table
    mask = mask_of(table)
    key = client_order_key(trader, text_hash)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            place = np.int64(table[i] & _LOWER)
            if pools.orders[place]["text_hash"] == text_hash and pools.orders[place]["trader"] == trader:
                return place
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def reference_key(account: Any, kind: Any, text_hash: Any) -> Any:
    return mix(text_hash, account) ^ (np.uint64(kind) * _GOLDEN)


@inlined
def find_reference(pools: Any, account: Any, kind: Any, text_hash: Any) -> Any:
    """Place in `references`, 0: none."""
    table = pools.reference_table
    mask = mask_of(table)
    key = reference_key(account, kind, text_hash)
    i = key >> shift_of(table)
    while table[i] != np.uint64(0):
        if (table[i] ^ key) & _UPPER == np.uint64(0):
            place = np.int64(table[i] & _LOWER)
            row = pools.references[place]
            if row["text_hash"] == text_hash and row["account"] == account and row["kind"] == np.uint64(kind):
                return place
        i = (i + ONE) & mask
    return np.int64(0)


@inlined
def expect_trader(pools: Any, account: Any, instrument: Any) -> None:
    table = pools.trader_table
    prefetch(table, mix(account, instrument) >> shift_of(table))


@inlined
def expect_client_order(pools: Any, account: Any, instrument: Any, text_hash: Any) -> None:
    trader = find_trader(pools, account, instrument)
    prefetch(pools.traders, trader)
    table = pools.client_order_table
    prefetch(table, client_order_key(trader, text_hash) >> shift_of(table))
