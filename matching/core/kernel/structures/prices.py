"""Price levels: a radix tree over ticks with 64 children for each node and a bitmap of the non-empty children.

A level is identified by its index in `levels`: 64 × leaf + (price mod 64). Any int64 price has a level. Finding one
takes one step for each 6 bits of the highest price in use, independent of the number of levels. Bids and asks share the
tree: a price holds bids or asks, never both, so the next non-empty level below the best bid is the next bid.

Invariant: a leaf or node other than the root exists only while a level below it holds an order.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import inlined
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures.bits import ONE, highest_bit, lowest_bit

_NO_BITS = np.uint64(0)


@inlined
def price_of(pools: Any, level: Any) -> Any:
    return pools.leaves[level >> 6]["base"] + (level & 63)


@inlined
def get_or_create_level(pools: Any, tree: Any, price: Any) -> Any:
    """The level of a price > 0 in `tree`, which has a root and a height: an instrument's book or a trigger tree.

    Creates its leaf and the nodes above if needed; the caller adds an order there.
    """
    height = np.int64(tree["height"])
    while height < p.MAX_HEIGHT and (price >> (6 * (height + 1))) != 0:
        _raise_root(pools, tree)
        height += 1
    node = np.int64(tree["root"])
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
def find_level_or_unused(pools: Any, tree: Any, price: Any) -> Any:
    """The level of a price, or an unused level if it has none: a missing child is node 0, and so are its children."""
    height = np.int64(tree["height"])
    node = np.int64(tree["root"])
    while height > 0:
        node = np.int64(pools.children[node * 64 + ((price >> (6 * height)) & 63)])
        height -= 1
    return node * 64 + (price & 63)


@inlined
def mark_not_empty(pools: Any, level: Any) -> None:
    """Sets the level's bit in its leaf: it holds an order."""
    pools.leaves[level >> 6]["bits"] |= ONE << np.uint64(level & 63)


@inlined
def level_above(pools: Any, level: Any) -> Any:
    """The next higher level that holds an order, 0 if there is none."""
    leaf = level >> 6
    bits = (pools.leaves[leaf]["bits"] >> np.uint64(level & 63)) >> ONE
    if bits != _NO_BITS:
        return level + 1 + lowest_bit(bits)
    return first_above(pools, pools.leaves[leaf]["base"], np.int64(pools.leaves[leaf]["parent"]), 1)


@inlined
def first_above(pools: Any, price: Any, node: Any, height: Any) -> Any:
    """The lowest level that holds an order and is above the child of `node` that covers `price`, 0 if there is none.

    `height`: that of the node; its children cover 64 ** height prices each.
    """
    while node != 0:
        digit = (price >> (6 * height)) & 63
        bits = (pools.nodes[node]["bits"] >> np.uint64(digit)) >> ONE
        if bits != _NO_BITS:
            child = np.int64(pools.children[node * 64 + digit + 1 + lowest_bit(bits)])
            while height > 1:
                child = np.int64(pools.children[child * 64 + lowest_bit(pools.nodes[child]["bits"])])
                height -= 1
            return child * 64 + lowest_bit(pools.leaves[child]["bits"])
        node = np.int64(pools.nodes[node]["parent"])
        height += 1
    return np.int64(0)


@inlined
def level_below(pools: Any, level: Any) -> Any:
    """The next lower level that holds an order, 0 if there is none."""
    leaf = level >> 6
    bits = (pools.leaves[leaf]["bits"] << np.uint64(63 - (level & 63))) << ONE
    if bits != _NO_BITS:
        return level - 64 + highest_bit(bits)
    return first_below(pools, pools.leaves[leaf]["base"], np.int64(pools.leaves[leaf]["parent"]), 1)


@inlined
def first_below(pools: Any, price: Any, node: Any, height: Any) -> Any:
    """As `first_above`: the highest level below that child."""
    while node != 0:
        digit = (price >> (6 * height)) & 63
        bits = (pools.nodes[node]["bits"] << np.uint64(63 - digit)) << ONE
        if bits != _NO_BITS:
            child = np.int64(pools.children[node * 64 + digit - 64 + highest_bit(bits)])
            while height > 1:
                child = np.int64(pools.children[child * 64 + highest_bit(pools.nodes[child]["bits"])])
                height -= 1
            return child * 64 + highest_bit(pools.leaves[child]["bits"])
        node = np.int64(pools.nodes[node]["parent"])
        height += 1
    return np.int64(0)


@inlined
def mark_empty(pools: Any, level: Any) -> None:
    """Clears the level's bit in its leaf; frees the leaf and the nodes above that become empty."""
    leaf = level >> 6
    bits = pools.leaves[leaf]["bits"] & ~(ONE << np.uint64(level & 63))
    pools.leaves[leaf]["bits"] = bits
    if bits != _NO_BITS:
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
        if bits != _NO_BITS or parent == 0:
            return
        pools.nodes[node]["parent"] = pools.state[p.NODE_FREE]
        pools.state[p.NODE_FREE] = node
        pools.state[p.NODE_COUNT] -= 1
        node = parent
        height += 1


@inlined
def _raise_root(pools: Any, tree: Any) -> None:
    """Adds a level to the tree. The old root becomes child 0 of a new root; an empty root is reused."""
    root = np.int64(tree["root"])
    if pools.nodes[root]["bits"] != _NO_BITS:
        node = _allocate_node(pools)
        pools.nodes[node]["parent"] = 0
        pools.nodes[node]["bits"] = ONE
        pools.children[node * 64] = root
        pools.nodes[root]["parent"] = node
        tree["root"] = node
    tree["height"] += 1


@inlined
def new_root(pools: Any) -> Any:
    """The root of a tree without levels, of height 1."""
    node = _allocate_node(pools)
    pools.nodes[node]["parent"] = 0
    return node


@inlined
def _allocate_node(pools: Any) -> Any:
    node = pools.state[p.NODE_FREE]
    if node != 0:
        pools.state[p.NODE_FREE] = pools.nodes[node]["parent"]
    else:
        node = pools.state[p.NODE_TOP]
        pools.state[p.NODE_TOP] += 1
    pools.state[p.NODE_COUNT] += 1
    return p.as_index(node)


@inlined
def _new_node(pools: Any, parent: Any, digit: Any) -> Any:
    node = _allocate_node(pools)
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
    return p.as_index(leaf)


@inlined
def _attach(pools: Any, parent: Any, digit: Any, child: Any) -> None:
    pools.children[parent * 64 + digit] = child
    pools.nodes[parent]["bits"] |= ONE << np.uint64(digit)
