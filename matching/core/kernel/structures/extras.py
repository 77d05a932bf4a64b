"""What only some open orders have (layout.EXTRA). Extra 0 is all zero: that of every ordinary order."""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import inlined
from matching.core.kernel.structures import pools as p


@inlined
def attach(pools: Any, slot: Any) -> Any:
    """Gives the order in `slot`, which has none, an extra. Returns its index; all of its fields are 0."""
    state = pools.state
    index = state[p.EXTRA_FREE]
    if index != 0:
        state[p.EXTRA_FREE] = pools.extras[index]["partner"]
    else:
        index = state[p.EXTRA_TOP]
        state[p.EXTRA_TOP] += 1
    state[p.EXTRA_COUNT] += 1
    row = pools.extras[index]
    row["hidden"] = 0
    row["visible_quantity"] = 0
    row["trigger_price"] = 0
    row["price"] = 0
    row["held"] = 0
    row["partner"] = 0
    row["order_type"] = 0
    row["time_in_force"] = 0
    row["state"] = 0
    pools.orders[slot]["extra"] = index
    return p.as_index(index)


@inlined
def detach(pools: Any, slot: Any) -> None:
    """Makes the order an ordinary one. No other order has it as its partner."""
    order = pools.orders[slot]
    index = np.int64(order["extra"])
    order["extra"] = 0
    pools.extras[index]["partner"] = pools.state[p.EXTRA_FREE]
    pools.state[p.EXTRA_FREE] = index
    pools.state[p.EXTRA_COUNT] -= 1
