"""Writes event records. Sets every field, because the buffer is reused between blocks."""

from typing import Any

import numpy as np

from matching.core.codes import EventFlag, EventKind
from matching.core.kernel.compiling import inlined
from matching.core.kernel.structures import pools as p

ORDER_ACCEPTED = int(EventKind.ORDER_ACCEPTED)
TRADE = int(EventKind.TRADE)
ORDER_CANCELLED = int(EventKind.ORDER_CANCELLED)
ORDER_REPLACED = int(EventKind.ORDER_REPLACED)
ORDERS_CANCELLED = int(EventKind.ORDERS_CANCELLED)
DEPOSITED = int(EventKind.DEPOSITED)
WITHDRAWN = int(EventKind.WITHDRAWN)
REJECTED = int(EventKind.REJECTED)
ORDER_TRIGGERED = int(EventKind.ORDER_TRIGGERED)
INSTRUMENT_UPDATED = int(EventKind.INSTRUMENT_UPDATED)
ACCOUNT_STATUS_CHANGED = int(EventKind.ACCOUNT_STATUS_CHANGED)
ACCOUNT_FEES_CHANGED = int(EventKind.ACCOUNT_FEES_CHANGED)
KEPT_PRIORITY = int(EventFlag.KEPT_PRIORITY)
BY_QUOTE = int(EventFlag.BY_QUOTE)


@inlined
def write(
    pools: Any,
    events: Any,
    count: Any,
    kind: Any,
    side: Any,
    reason: Any,
    flags: Any,
    instrument_id: Any,
    order_id: Any,
    account: Any,
    price: Any,
    quantity: Any,
    amount: Any,
) -> Any:
    """Writes event number `count` of the block and returns count + 1. Trades set their remaining fields afterwards."""
    state = pools.state
    event = events[np.uint32(count)]  # unsigned: no check whether it counts from the end
    event["sequence"] = state[p.NEXT_EVENT_SEQUENCE] + count
    event["command_sequence"] = state[p.NEXT_COMMAND_SEQUENCE]
    event["kind"] = kind
    event["side"] = side
    event["reason"] = reason
    event["flags"] = flags
    event["instrument"] = instrument_id
    event["order_id"] = order_id
    event["account"] = account
    event["other_order_id"] = 0
    event["other_account"] = 0
    event["price"] = price
    event["quantity"] = quantity
    event["amount"] = amount
    event["buyer_fee"] = 0
    event["seller_fee"] = 0
    event["trade_number"] = 0
    return count + 1


@inlined
def reject(pools: Any, events: Any, count: Any, command: Any, reason: Any) -> Any:
    return write(
        pools, events, count, REJECTED, 0, reason, 0, np.int64(command["instrument"]), 0, command["account"], 0, 0, 0
    )
