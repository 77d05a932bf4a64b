"""Lots and costs of whole leaves and nodes of a book, so that triggered orders need not look at every price level.

100,000 triggered FOKs that each walked 200,000 price levels would hold up everybody for minutes. So while the queue of
triggered orders is worked off, the sum of a leaf or node is computed when it is needed first, and again after an order
below it has changed. Other commands do not pay for it: nothing is known outside such a run of the queue.

Invariant: the sums of a leaf or node are known only if those of everything below it are.
"""

from typing import Any

import numpy as np

from matching.core.codes import AMOUNT_LIMIT
from matching.core.kernel import funds
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import BUY
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures import prices
from matching.core.kernel.structures.bits import ONE, lowest_bit

_NO_BITS = np.uint64(0)


@inlined
def begin_run(pools: Any) -> None:
    """Forgets what is known: a run of the queue begins."""
    pools.leaf_sums[0]["run"] += 1


@inlined
def current_run(pools: Any) -> Any:
    return pools.leaf_sums[0]["run"]


@called
def forget_path(pools: Any, level: Any) -> None:
    """Forgets the sums of what contains the level. To be called after an order has entered it."""
    leaf = level >> 6
    pools.leaf_sums[leaf]["run"] = 0
    node = np.int64(pools.leaves[leaf]["parent"])
    while node != 0:
        pools.node_sums[node]["run"] = 0
        node = np.int64(pools.nodes[node]["parent"])


@inlined
def forget(pools: Any, level: Any) -> None:
    """As `forget_path`, for a level that exists. To be called before an order of it trades or leaves."""
    if pools.leaf_sums[level >> 6]["run"] == current_run(pools):
        forget_path(pools, level)


@inlined
def known_version(pools: Any, level: Any) -> Any:
    """A number that is another one after any order of the level's leaf has changed; 0 if its sums are not known."""
    row = pools.leaf_sums[level >> 6]
    return row["version"] if row["run"] == current_run(pools) else np.int64(0)


@called
def change(pools: Any, level: Any, lots: Any, quote_unit: Any) -> None:
    """Adds lots to a level, fewer than 0 to take them away. A cost over AMOUNT_LIMIT stays as it is."""
    leaf = level >> 6
    if pools.leaf_sums[leaf]["run"] != current_run(pools):
        return
    cost = lots * prices.price_of(pools, level) * quote_unit
    _add(pools.leaf_sums[leaf], lots, cost)
    node = np.int64(pools.leaves[leaf]["parent"])
    while node != 0 and pools.node_sums[node]["run"] == current_run(pools):
        _add(pools.node_sums[node], lots, cost)
        node = np.int64(pools.nodes[node]["parent"])


@called
def pass_whole(
    pools: Any,
    quote_unit: Any,
    side: Any,
    level: Any,
    following: Any,
    bound: Any,
    quantity: Any,
    lots: Any,
    cost: Any,
) -> Any:
    """(level, lots, cost): passes over leaves and nodes that an order of `side` takes whole.

    `following` is the next level after `level`; the order has taken `lots` for `cost` up to there, wants `quantity`
    and takes nothing at a price worse than `bound`. Returns the first level that is not passed over, 0 if there is
    none, and what the order has taken before it. The cost never exceeds AMOUNT_LIMIT.
    """
    passed = prices.price_of(pools, level)
    while following != 0:
        price = prices.price_of(pools, following)
        node, height, taken, spent = _largest(
            pools, quote_unit, side, following, passed, bound, quantity - lots, AMOUNT_LIMIT - cost
        )
        if height < 0:
            break
        lots += taken
        cost += spent
        passed = _last_price(price, height, side)
        if side == BUY:
            following = prices.first_above(pools, price, node, height + 1)
        else:
            following = prices.first_below(pools, price, node, height + 1)
    return following, lots, cost


@inlined
def _largest(
    pools: Any, quote_unit: Any, side: Any, level: Any, passed: Any, bound: Any, most: Any, most_cost: Any
) -> Any:
    """(parent, height, lots, cost) of the largest leaf or node from `level` on that an order takes whole.

    The height of a leaf is 0; it is -1 if there is none. `passed`: the last price before `level`. What is taken has at
    most `most` lots and costs at most `most_cost`.
    """
    price = prices.price_of(pools, level)
    index = level >> 6
    parent = np.int64(pools.leaves[index]["parent"])
    found, found_height = np.int64(0), np.int64(-1)
    lots, cost = np.int64(0), np.int64(0)
    height = np.int64(0)
    # A node of height MAX_HEIGHT covers every price, also those that were passed.
    while index != 0 and height < p.MAX_HEIGHT:
        pools.state[p.LOOKED_AT] += 1
        worst = _last_price(price, height, side)
        begins_before = (passed >> (6 * (height + 1))) == (price >> (6 * (height + 1)))
        if begins_before or (side == BUY and worst > bound) or (side != BUY and worst < bound):
            break
        if height == 0:
            know_leaf(pools, index, quote_unit)
            row = pools.leaf_sums[index]
        else:
            _know_node(pools, index, height, quote_unit)
            row = pools.node_sums[index]
        if row["lots"] > most or row["cost"] > most_cost:
            break
        found, found_height, lots, cost = parent, height, row["lots"], row["cost"]
        index = parent
        parent = np.int64(pools.nodes[parent]["parent"])
        height += 1
    return found, found_height, lots, cost


@inlined
def _last_price(price: Any, height: Any, side: Any) -> Any:
    """The worst price for an order of `side` in the leaf (height 0) or node of that height with `price`."""
    width = np.int64(1) << (6 * (height + 1))
    first = price & -width
    return first + width - 1 if side == BUY else first


@inlined
def _add(row: Any, lots: Any, cost: Any) -> None:
    row["lots"] += lots
    if row["cost"] <= AMOUNT_LIMIT:
        row["cost"] = row["cost"] + cost if cost <= AMOUNT_LIMIT - row["cost"] else np.int64(AMOUNT_LIMIT + 1)


@inlined
def know_leaf(pools: Any, leaf: Any, quote_unit: Any) -> None:
    if pools.leaf_sums[leaf]["run"] != current_run(pools):
        _sum_leaf(pools, leaf, quote_unit)


@called
def _sum_leaf(pools: Any, leaf: Any, quote_unit: Any) -> None:
    row = pools.leaf_sums[leaf]
    row["lots"] = 0
    row["cost"] = 0
    row["run"] = current_run(pools)
    pools.leaf_sums[0]["version"] += 1
    row["version"] = pools.leaf_sums[0]["version"]
    bits = pools.leaves[leaf]["bits"]
    while bits != _NO_BITS:
        pools.state[p.LOOKED_AT] += 1
        level = leaf * 64 + lowest_bit(bits)
        bits &= bits - ONE
        lots = pools.levels[level]["quantity"] + pools.hidden_lots[level]
        unit = prices.price_of(pools, level) * quote_unit
        exceeds = funds.product_exceeds(lots, unit, AMOUNT_LIMIT)
        _add(row, lots, np.int64(AMOUNT_LIMIT + 1) if exceeds else lots * unit)


@inlined
def _know_node(pools: Any, node: Any, height: Any, quote_unit: Any) -> None:
    if pools.node_sums[node]["run"] != current_run(pools):
        _sum_node(pools, node, height, quote_unit)


@called
def _sum_node(pools: Any, top: Any, top_height: Any, quote_unit: Any) -> None:
    """Computes the sums of a node, and first those of all below it that are not known, without recursion."""
    node, height = top, top_height
    while True:
        unknown = _sum_children(pools, node, height, quote_unit)
        if unknown != 0:
            node = unknown
            height -= 1
        elif node == top:
            return
        else:
            node = np.int64(pools.nodes[node]["parent"])
            height += 1


@inlined
def _sum_children(pools: Any, node: Any, height: Any, quote_unit: Any) -> Any:
    """Computes the sums of a node from those of its children. Returns a child whose sums are not known, 0 if it has."""
    row = pools.node_sums[node]
    row["lots"] = 0
    row["cost"] = 0
    bits = pools.nodes[node]["bits"]
    while bits != _NO_BITS:
        pools.state[p.LOOKED_AT] += 1
        child = np.int64(pools.children[node * 64 + lowest_bit(bits)])
        bits &= bits - ONE
        if height == 1:
            know_leaf(pools, child, quote_unit)
            _add(row, pools.leaf_sums[child]["lots"], pools.leaf_sums[child]["cost"])
        elif pools.node_sums[child]["run"] == current_run(pools):
            _add(row, pools.node_sums[child]["lots"], pools.node_sums[child]["cost"])
        else:
            return child
    row["run"] = current_run(pools)
    return np.int64(0)
