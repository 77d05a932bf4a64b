"""The engine's memory: preallocated arrays that the kernel works on; they grow between blocks, and
while the kernel is paused.

Slot 0 of every pool is unused, so that index 0 means "none". Hash tables (`*_table`) map to the index of a record in
its pool.
"""

import mmap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matching.core import layout
from matching.core.kernel.compiling import inlined
from matching.core.kernel.structures import tables

Array = npt.NDArray[Any]

# Indexes into `Pools.state`, int64 each. *_TOP: first slot never used; *_FREE: head of the list of freed slots, or 0;
# *_COUNT: slots in use.
NEXT_COMMAND_SEQUENCE = 0
NEXT_EVENT_SEQUENCE = 1
ORDER_TOP = 2
ORDER_FREE = 3
ORDER_COUNT = 4
LEAF_TOP = 5
LEAF_FREE = 6
LEAF_COUNT = 7
NODE_TOP = 8
NODE_FREE = 9
NODE_COUNT = 10
PAGE_TOP = 11
PAGE_FREE = 12
PAGE_COUNT = 13
ACCOUNT_TOP = 14
TRADER_TOP = 15
BALANCE_TOP = 16
REFERENCE_TOP = 17
EXTRA_TOP = 18
EXTRA_FREE = 19
EXTRA_COUNT = 20
QUEUE_HEAD = 21  # the queue of triggered orders: slots of `orders`, 0 where it is empty
QUEUE_TAIL = 22
HIDDEN_PIECES = 23  # that the icebergs in the book have not shown yet

# The following have no meaning between blocks.
LOOKED_AT = 24  # orders that commands of the current block looked at without writing an event
PREVIOUS_ACCEPTED = 25  # 1: the command before the block's first one, of the same client, was accepted
PAUSED = 26  # PAUSED_BEFORE or PAUSED_AFTER: the kernel waits for more memory
COMMAND_START = 27  # while it does: events of the block before those of the current command
UNUSUAL = 28  # bits below: what the caller does after the block
MET_ORDER = 29  # the order that the last taker met which self-trade prevention stopped
STATE_SIZE = 32

PAUSED_BEFORE = 1
PAUSED_AFTER = 2
"""The kernel pauses in the queue of triggered orders, before or after a command's own work."""

IS_AT_DEFINITION = 1
HAS_UPDATED_INSTRUMENTS = 2
HAS_TRIGGERED = 4
"""The kernel stopped at a command on reference data; it has applied an instrument_update; it has triggered an order."""

PAGE_BITS = 12
PAGE_SIZE = 1 << PAGE_BITS
"""Order ids are command sequences: slot = pages[directory[id >> 12], id & 4095]. Unused pages are freed."""

AHEAD = 16
"""More commands than are prefetched at a time; a power of 2."""

MAX_HEIGHT = 10
"""A root of this height covers every int64 price: 64 ** 11 > 2 ** 63."""

NODES_FOR_A_PRICE = 2 * MAX_HEIGHT
"""Upper limit of the nodes that one price adds to a tree: those that raise the root, and those of its path."""


# What is known only while triggered orders act, that is during one run of their queue; see `execution.sums` and
# `execution.own_orders`. A row is valid if its `run` is the number of the current run, which is that of leaf_sums[0];
# there is the newest version, too.
SUMS = np.dtype(
    [
        ("lots", "<i8"),  # of all orders below a leaf or node, hidden ones included
        ("cost", "<i8"),  # quote units; AMOUNT_LIMIT + 1 if it is more than AMOUNT_LIMIT
        ("run", "<i8"),
        ("version", "<i8"),  # of a leaf: another one each time that its sums are computed
    ]
)
OWN_LISTS = np.dtype(
    [
        ("run", "<i8"),
        ("first", "<u4"),  # of the trader's orders in the book: a slot of `orders`
        ("best_bid", "<u4"),  # roots of the heaps of those orders
        ("best_ask", "<u4"),
        ("padding", "<u4"),
    ]
)
OWN_LINKS = np.dtype(
    [
        ("price", "<i8"),  # ticks
        ("lots_before", "<i8"),  # that others show at its level before the trader's first order there
        ("version", "<i8"),  # of the leaf for which that is known
        ("next", "<u4"),  # in the list
        ("left", "<u4"),  # in the heap
        ("right", "<u4"),
        ("padding", "<u4"),
    ]
)


@inlined
def as_index(value: Any) -> Any:
    """A value of `state` as an index into a pool. The conversion tells the compiler that it is not negative."""
    return np.int64(np.uint32(value))


@inlined
def directory_entry(order_id: Any) -> Any:
    """Index in `directory` of the page of an order id > 0."""
    return as_index(order_id >> PAGE_BITS)


class Pools(NamedTuple):
    orders: Array  # layout.ORDER
    levels: Array  # layout.LEVEL, 64 a leaf
    leaves: Array  # layout.LEAF
    nodes: Array  # layout.NODE
    children: Array  # uint32, 64 a node
    directory: Array  # uint32, page of order ids
    pages: Array  # uint32, PAGE_SIZE a page: slot of an order
    page_orders: Array  # int64, open orders of a page; links free pages
    accounts: Array  # layout.ACCOUNT
    traders: Array  # layout.TRADER
    terms: Array  # layout.TERMS, of the trader with the same index
    balances: Array  # layout.BALANCE
    references: Array  # layout.REFERENCE
    extras: Array  # layout.EXTRA
    instruments: Array  # layout.INSTRUMENT, by id; longer than the registry's list
    trigger_trees: Array  # layout.TRIGGER_TREE, two for each instrument: for a rise, for a fall
    supplies: Array  # int64, by asset id; longer than the registry's list
    client_order_table: Array  # uint64
    account_table: Array
    trader_table: Array
    balance_table: Array
    reference_table: Array
    state: Array  # int64[STATE_SIZE]
    hidden_lots: Array  # int64, of the icebergs at the level with the same index
    waiting_orders: Array  # uint32, of the trader with the same index: open ones outside the book
    leaf_sums: Array  # SUMS, of the leaf with the same index
    node_sums: Array  # SUMS, of the node with the same index
    own_lists: Array  # OWN_LISTS, of the trader with the same index
    own_links: Array  # OWN_LINKS, of the order with the same index
    ahead: Array  # uint32[2 * AHEAD], what `prefetch` has found for the next commands


DERIVED = ("hidden_lots", "waiting_orders")
"""Arrays that follow from the others, like `state[HIDDEN_PIECES]`. See `derive`."""

OF_A_RUN = ("leaf_sums", "node_sums", "own_lists", "own_links", "ahead")
"""Arrays without a meaning between blocks."""

NOT_STORED = DERIVED + OF_A_RUN
"""Snapshots do not have these."""

_TOPS = (ORDER_TOP, LEAF_TOP, NODE_TOP, PAGE_TOP, ACCOUNT_TOP, TRADER_TOP, BALANCE_TOP, REFERENCE_TOP, EXTRA_TOP)


def empty_pools() -> Pools:
    """The memory of an engine that has applied no command."""
    state = np.zeros(STATE_SIZE, np.int64)
    for index in (NEXT_COMMAND_SEQUENCE, NEXT_EVENT_SEQUENCE):
        state[index] = 1
    for index in _TOPS:
        state[index] = 1
    return Pools(
        orders=np.zeros(0, layout.ORDER),
        levels=np.zeros(0, layout.LEVEL),
        leaves=np.zeros(0, layout.LEAF),
        nodes=np.zeros(0, layout.NODE),
        children=np.zeros(0, np.uint32),
        directory=np.zeros(0, np.uint32),
        pages=np.zeros(0, np.uint32),
        page_orders=np.zeros(0, np.int64),
        accounts=np.zeros(0, layout.ACCOUNT),
        traders=np.zeros(0, layout.TRADER),
        terms=np.zeros(0, layout.TERMS),
        balances=np.zeros(0, layout.BALANCE),
        references=np.zeros(0, layout.REFERENCE),
        extras=np.zeros(0, layout.EXTRA),
        instruments=np.zeros(0, layout.INSTRUMENT),
        trigger_trees=np.zeros(0, layout.TRIGGER_TREE),
        supplies=np.zeros(0, np.int64),
        client_order_table=np.zeros(0, np.uint64),
        account_table=np.zeros(0, np.uint64),
        trader_table=np.zeros(0, np.uint64),
        balance_table=np.zeros(0, np.uint64),
        reference_table=np.zeros(0, np.uint64),
        state=state,
        hidden_lots=np.zeros(0, np.int64),
        waiting_orders=np.zeros(0, np.uint32),
        leaf_sums=np.zeros(0, SUMS),
        node_sums=np.zeros(0, SUMS),
        own_lists=np.zeros(0, OWN_LISTS),
        own_links=np.zeros(0, OWN_LINKS),
        ahead=np.zeros(2 * AHEAD, np.uint32),
    )


def derive(arrays: Mapping[str, Array]) -> Pools:
    """The pools with these arrays, which are all but those of NOT_STORED."""
    orders, extras, state = arrays["orders"], arrays["extras"], arrays["state"]
    hidden_lots = np.zeros(len(arrays["levels"]), np.int64)
    waiting_orders = np.zeros(len(arrays["traders"]), np.uint32)
    special = orders[(orders["order_id"] != 0) & (orders["extra"] != 0)]
    extra = extras[special["extra"]]
    waits = extra["state"] != layout.RESTING
    np.add.at(waiting_orders, special["trader"][waits], 1)
    hides = ~waits & (extra["hidden"] > 0)
    hidden, shown = extra["hidden"][hides], extra["visible_quantity"][hides]
    np.add.at(hidden_lots, special["level"][hides], hidden)
    state[HIDDEN_PIECES] = int(np.sum(-(-hidden // shown)))
    return Pools(
        **{name: arrays[name] for name in Pools._fields if name not in NOT_STORED},
        hidden_lots=hidden_lots,
        waiting_orders=waiting_orders,
        leaf_sums=np.zeros(len(arrays["leaves"]), SUMS),
        node_sums=np.zeros(len(arrays["nodes"]), SUMS),
        own_lists=np.zeros(len(arrays["traders"]), OWN_LISTS),
        own_links=np.zeros(len(orders), OWN_LINKS),
        ahead=np.zeros(2 * AHEAD, np.uint32),
    )


def reserve(pools: Pools, commands: int) -> Pools:
    """Pools with enough room for a block of that many commands of any kind; `pools` itself if its room is enough.

    A command adds at most one order. An order needs at most an extra, a leaf, a path of nodes, a page of order ids, a
    trader with its account and two balances. A deposit needs a balance and a reference. Orders that are triggered need
    a leaf and a path once more: the kernel pauses when there is no room for them.
    """
    s = pools.state.tolist()
    room = {
        "orders": s[ORDER_COUNT] + commands + 1,
        "leaves": s[LEAF_COUNT] + commands + 1,
        "nodes": s[NODE_COUNT] + commands * NODES_FOR_A_PRICE + 1,
        "page_orders": s[PAGE_COUNT] + (commands >> PAGE_BITS) + 3,
        "directory": ((s[NEXT_COMMAND_SEQUENCE] + commands) >> PAGE_BITS) + 1,
        "accounts": s[ACCOUNT_TOP] + commands,
        "traders": s[TRADER_TOP] + commands,
        "balances": s[BALANCE_TOP] + 2 * commands,
        "references": s[REFERENCE_TOP] + commands,
        "extras": s[EXTRA_COUNT] + commands + 1,
    }
    short = {name: need for name, need in room.items() if need > len(getattr(pools, name))}
    return _grow(pools, short) if short else pools


# Arrays that grow with a pool: name and items for each slot of the pool.
_COMPANIONS = {
    "orders": (("own_links", 1),),
    "leaves": (("levels", 64), ("hidden_lots", 64), ("leaf_sums", 1)),
    "nodes": (("children", 64), ("node_sums", 1)),
    "page_orders": (("pages", PAGE_SIZE),),
    "traders": (("terms", 1), ("waiting_orders", 1), ("own_lists", 1)),
}
_TABLES = {
    "orders": "client_order_table",
    "accounts": "account_table",
    "traders": "trader_table",
    "balances": "balance_table",
    "references": "reference_table",
}
_MIN_SLOTS = 64
_SPARSE_ENTRIES = 1 << 20
_HUGE_PAGE_BYTES = 1 << 21
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def _grow(pools: Pools, needs: dict[str, int]) -> Pools:
    sizes: dict[str, int] = {}
    for name, need in needs.items():
        size = max(_MIN_SLOTS, 2 << (need - 1).bit_length())
        sizes[name] = size
        for companion, items in _COMPANIONS.get(name, ()):
            sizes[companion] = size * items
        if name in _TABLES and _table_size(size) > len(getattr(pools, _TABLES[name])):
            sizes[_TABLES[name]] = _table_size(size)
    grown = _zeros({name: (size, getattr(pools, name).dtype) for name, size in sizes.items()})
    for name, array in grown.items():
        if name in _TABLES.values():
            tables.rehash(getattr(pools, name), array)
        else:
            array[: len(getattr(pools, name))] = getattr(pools, name)
    return pools._replace(**grown)


def _table_size(pool_size: int) -> int:
    """Number of entries: never more than half full, and sparser while the table still fits the CPU caches.

    A collision costs a mispredicted branch.
    """
    return max(2 * pool_size, min(4 * pool_size, _SPARSE_ENTRIES))


def _zeros(wanted: Mapping[str, tuple[int, Any]]) -> dict[str, Array]:
    """Zeroed memory for arrays of (items, dtype), aligned to pages, so that no 64-byte record crosses a cache line.

    It is in huge pages: with small ones a random access also misses the TLB. Arrays smaller than one share a mapping;
    a larger one has its own, which is freed when the array has grown.
    """
    sizes = {name: size * dtype.itemsize for name, (size, dtype) in wanted.items()}
    shared = _mapping(sum(_whole_pages(size) for size in sizes.values() if size < _HUGE_PAGE_BYTES))
    found: dict[str, Array] = {}
    for name, size in sizes.items():
        is_small = size < _HUGE_PAGE_BYTES
        memory = shared if is_small else _mapping(size)
        found[name] = memory[:size].view(wanted[name][1])
        if is_small:
            shared = shared[_whole_pages(size) :]
    return found


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _mapping(size: int) -> Array:
    """At least `size` zeroed bytes, from the beginning of a page; of a huge page, if they would fill one."""
    if size < _HUGE_PAGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.frombuffer(mmap.mmap(-1, max(1, size), flags=_PRIVATE), np.uint8)
    memory = mmap.mmap(-1, size + _HUGE_PAGE_BYTES, flags=_PRIVATE)
    memory.madvise(mmap.MADV_HUGEPAGE)
    mapped = np.frombuffer(memory, np.uint8)
    return mapped[-mapped.ctypes.data % _HUGE_PAGE_BYTES :]


def _extended(array: Array, size: int) -> Array:
    longer = _zeros({"": (size, array.dtype)})[""]
    longer[: len(array)] = array
    return longer


def with_instrument(pools: Pools, identity: int, record: Array) -> Pools:
    """Adds the instrument with the next id.

    `record` is layout.INSTRUMENT[1]; its tree of prices is set, and that nothing is in it or waits.
    """
    pools = reserve(pools, 1)
    node = pools.state[NODE_TOP]
    pools.state[NODE_TOP] += 1
    pools.state[NODE_COUNT] += 1
    record["root"], record["height"], record["best_ask"], record["rise_at"] = node, 1, layout.NO_ASK, layout.NO_ASK
    pools = pools._replace(
        instruments=_with_room_for(pools.instruments, identity),
        trigger_trees=_with_room_for(pools.trigger_trees, 2 * identity + 1),
    )
    pools.instruments[identity : identity + 1] = record
    return pools


def with_asset(pools: Pools, identity: int) -> Pools:
    """Adds the asset with the next id, with a supply of 0."""
    return pools._replace(supplies=_with_room_for(pools.supplies, identity))


def _with_room_for(array: Array, index: int) -> Array:
    """The array, at least doubled if it ends before `index`, so that many definitions cost linear time."""
    return array if index < len(array) else _extended(array, max(_MIN_SLOTS, 2 * index))
