"""Icebergs show a part of their open lots at a time. `remaining` of an order is what it shows, `hidden` the rest."""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.structures import extras
from matching.core.kernel.structures import pools as p


@inlined
def open_lots(pools: Any, slot: Any) -> Any:
    """All open lots of an order, those that it does not show included."""
    order = pools.orders[slot]
    return order["remaining"] + pools.extras[np.int64(order["extra"])]["hidden"]


@called
def begin(pools: Any, slot: Any, visible_quantity: Any) -> None:
    """Makes the order, which is in no queue, an iceberg. Its `remaining` are all of its open lots."""
    extra = pools.extras[extras.attach(pools, slot)]
    extra["visible_quantity"] = visible_quantity
    show_anew(pools, slot, pools.orders[slot]["remaining"])


@called
def show_anew(pools: Any, slot: Any, lots: Any) -> None:
    """Sets the open lots of an order that has an extra and is in no queue."""
    order = pools.orders[slot]
    extra = pools.extras[np.int64(order["extra"])]
    shown = lots if extra["visible_quantity"] == 0 else min(extra["visible_quantity"], lots)
    order["remaining"] = shown
    extra["hidden"] = lots - shown


@called
def enter(pools: Any, slot: Any) -> None:
    """Counts the hidden lots of an order with an extra that has entered the queue of its level."""
    _count_hidden(pools, slot, np.int64(1))


@called
def leave(pools: Any, slot: Any) -> None:
    """Stops to count the hidden lots of an order with an extra, which is about to leave its queue."""
    _count_hidden(pools, slot, np.int64(-1))


@inlined
def _count_hidden(pools: Any, slot: Any, sign: Any) -> None:
    order = pools.orders[slot]
    extra = pools.extras[np.int64(order["extra"])]
    pools.hidden_lots[np.int64(order["level"])] += sign * extra["hidden"]
    pools.state[p.HIDDEN_PIECES] += sign * pieces(extra["hidden"], extra["visible_quantity"])


@inlined
def pieces(hidden: Any, visible_quantity: Any) -> Any:
    """In how many pieces hidden lots will be shown."""
    return (hidden - 1) // visible_quantity + 1 if hidden > 0 else np.int64(0)


@called
def show_next_piece(pools: Any, slot: Any) -> Any:
    """Shows the next piece of an order whose shown lots are gone, at the end of its level. False if nothing is left."""
    order = pools.orders[slot]
    extra = pools.extras[np.int64(order["extra"])]
    if extra["hidden"] == 0:
        return False
    shown = min(extra["visible_quantity"], extra["hidden"])
    extra["hidden"] -= shown
    order["remaining"] = shown
    pools.state[p.HIDDEN_PIECES] -= 1
    pools.hidden_lots[np.int64(order["level"])] -= shown
    level = pools.levels[np.int64(order["level"])]
    level["quantity"] += shown
    following = np.int64(order["next"])
    if following != 0:  # the order is the first one of its level
        last = np.int64(level["tail"])
        level["head"] = following
        pools.orders[following]["previous"] = 0
        pools.orders[last]["next"] = slot
        order["previous"] = last
        order["next"] = 0
        level["tail"] = slot
    return True


@called
def reduce(pools: Any, slot: Any, lots: Any) -> None:
    """Reduces the open lots of an order in the book to `lots`, the hidden ones first. It keeps its place."""
    order = pools.orders[slot]
    extra = pools.extras[np.int64(order["extra"])]
    excess = order["remaining"] + extra["hidden"] - lots
    from_hidden = min(excess, extra["hidden"])
    _count_hidden(pools, slot, np.int64(-1))
    extra["hidden"] -= from_hidden
    _count_hidden(pools, slot, np.int64(1))
    order["remaining"] -= excess - from_hidden
    pools.levels[np.int64(order["level"])]["quantity"] -= excess - from_hidden
