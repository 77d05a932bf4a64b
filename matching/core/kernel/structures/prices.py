"""Price levels: a radix tree over ticks, 64 children a node, with a bitmap of the children that hold orders.

A level is addressed by its place in `levels`: 64 × leaf + (price mod 64). Any int64 price has a level; finding one
costs one step for each 6 bits of the highest price in use, however many levels there are. Both sides share the tree: a
price holds bids or asks, never both, so the level after the best bid downwards is the next bid.

Invariant: a leaf or node other than a root exists while a level below it holds an order.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import inlined
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures.bits import ONE, highest, lowest

_NONE = np.uint64(0)


@inlined
def price_of(pools: Any, level: Any) -> Any:
    return pools.leaves[level >> 6]["base"] + (level & 63)


@inlined
def level_of(pools: Any, instrument: Any, price: Any) -> Any:
    """The level of a price > 0; makes its leaf and path. The caller puts an order there."""
    height = np.int64(instrument["height"])
    while height < p.MOST_HEIGHT and (price >> (6 * (height + 1))) != 0:
        _raise_root(pools, instrument)
        height += 1
    node = np.int64(instrument["root"])
    while height > 1:
        digit = (price >> (6 * height)) & 63
        child = np.int64(pools.children[node * 64 + digit])
        if child == 0:
            child = _new_node(pools, node, digit)
        node = child
        height -= 1
    digit = (price >> 6) & 63
    leaf = np.int64(pools.children[node * 64 + digit])
    if leaf == 0:
        leaf = _new_leaf(pools, node, digit, price & ~63)
    return leaf * 64 + (price & 63)


@inlined
def level_at(pools: Any, instrument: Any, price: Any) -> Any:
    """The level that a price has, or one that is not used: slot 0 of `children` leads to itself."""
    height = np.int64(instrument["height"])
    place = np.int64(instrument["root"])
    while height > 0:
        place = np.int64(pools.children[place * 64 + ((price >> (6 * height)) & 63)])
        height -= 1
    return place * 64 + (price & 63)


@inlined
def mark_level(pools: Any, level: Any) -> None:
    """Says that the level holds an order."""
    pools.leaves[level >> 6]["bits"] |= ONE << np.uint64(level & 63)


@inlined
def level_above(pools: Any, level: Any) -> Any:
    """The next level upwards that holds an order, 0: none."""
    leaf = level >> 6
    bits = (pools.leaves[leaf]["bits"] >> np.uint64(level & 63)) >> ONE
    if bits != _NONE:
        return level + 1 + lowest(bits)
    base = pools.leaves[leaf]["base"]
    node = np.int64(pools.leaves[leaf]["parent"])
    height = 1
    while node != 0:
        digit = (base >> (6 * height)) & 63
        bits = (pools.nodes[node]["bits"] >> np.uint64(digit)) >> ONE
        if bits != _NONE:
            child = np.int64(pools.children[node * 64 + digit + 1 + lowest(bits)])
            while height > 1:
                child = np.int64(pools.children[child * 64 + lowest(pools.nodes[child]["bits"])])
                height -= 1
            return child * 64 + lowest(pools.leaves[child]["bits"])
        node = np.int64(pools.nodes[node]["parent"])
        height += 1
    return np.int64(0)


@inlined
def level_below(pools: Any, level: Any) -> Any:
    """The next level downwards that holds an order, 0: none."""
    leaf = level >> 6
    bits = (pools.leaves[leaf]["bits"] << np.uint64(63 - (level & 63))) << ONE
    if bits != _NONE:
        return level - 64 + highest(bits)
    base = pools.leaves[leaf]["base"]
    node = np.int64(pools.leaves[leaf]["parent"])
    height = 1
    while node != 0:
        digit = (base >> (6 * height)) & 63
        bits = (pools.nodes[node]["bits"] << np.uint64(63 - digit)) << ONE
        if bits != _NONE:
            child = np.int64(pools.children[node * 64 + digit - 64 + highest(bits)])
            while height > 1:
                child = np.int64(pools.children[child * 64 + highest(pools.nodes[child]["bits"])])
                height -= 1
            return child * 64 + highest(pools.leaves[child]["bits"])
        node = np.int64(pools.nodes[node]["parent"])
        height += 1
    return np.int64(0)


@inlined
def clear_level(pools: Any, level: Any) -> None:
    """Says that the level is empty; gives back its leaf and the nodes above that are empty with it."""
    leaf = level >> 6
    bits = pools.leaves[leaf]["bits"] & ~(ONE << np.uint64(level & 63))
    pools.leaves[leaf]["bits"] = bits
    if bits != _NONE:
        return
    base = pools.leaves[leaf]["base"]
    node = np.int64(pools.leaves[leaf]["parent"])
    pools.leaves[leaf]["parent"] = pools.state[p.LEAF_FREE]
    pools.state[p.LEAF_FREE] = leaf
    pools.state[p.LEAF_COUNT] -= 1
    height = 1
    while True:
        digit = (base >> (6 * height)) & 63
        bits = pools.nodes[node]["bits"] & ~(ONE << np.uint64(digit))
        pools.nodes[node]["bits"] = bits
        pools.children[node * 64 + digit] = 0
        parent = np.int64(pools.nodes[node]["parent"])
        if bits != _NONE or parent == 0:
            return
        pools.nodes[node]["parent"] = pools.state[p.NODE_FREE]
        pools.state[p.NODE_FREE] = node
        pools.state[p.NODE_COUNT] -= 1
        node = parent
        height += 1


@inlined
def _raise_root(pools: Any, instrument: Any) -> None:
    """One more height; the old root becomes child 0 of a new one, unless it is empty and can serve itself."""
    root = np.int64(instrument["root"])
    if pools.nodes[root]["bits"] != _NONE:
        node = _take_node(pools)
        pools.nodes[node]["parent"] = 0
        pools.nodes[node]["bits"] = ONE
        pools.children[node * 64] = root
        pools.nodes[root]["parent"] = node
        instrument["root"] = node
    instrument["height"] += 1


@inlined
def _take_node(pools: Any) -> Any:
    node = pools.state[p.NODE_FREE]
    if node != 0:
        pools.state[p.NODE_FREE] = pools.nodes[node]["parent"]
    else:
        node = pools.state[p.NODE_TOP]
        pools.state[p.NODE_TOP] += 1
    pools.state[p.NODE_COUNT] += 1
    return p.place(node)


@inlined
def _new_node(pools: Any, parent: Any, digit: Any) -> Any:
    node = _take_node(pools)
    pools.nodes[node]["parent"] = parent
    _attach(pools, parent, digit, node)
    return node


@inlined
def _new_leaf(pools: Any, parent: Any, digit: Any, base: Any) -> Any:
    leaf = pools.state[p.LEAF_FREE]
    if leaf != 0:
        pools.state[p.LEAF_FREE] = pools.leaves[leaf]["parent"]
    else:
        leaf = pools.state[p.LEAF_TOP]
        pools.state[p.LEAF_TOP] += 1
    pools.state[p.LEAF_COUNT] += 1
    pools.leaves[leaf]["base"] = base
    pools.leaves[leaf]["parent"] = parent
    _attach(pools, parent, digit, leaf)
    return p.place(leaf)


@inlined
def _attach(pools: Any, parent: Any, digit: Any, child: Any) -> None:
    pools.children[parent * 64 + digit] = child
    pools.nodes[parent]["bits"] |= ONE << np.uint64(digit)
