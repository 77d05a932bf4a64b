"""Places a one-cancels-other: a limit leg and a stop leg, of which at most one trades (docs/semantics.md, section 5).

Two commands next to each other, of which each writes the events of its leg. Both legs are judged with the first one.
"""

from typing import Any

import numpy as np

from matching.core.kernel import events, funds
from matching.core.kernel.compiling import called
from matching.core.kernel.constants import ACCEPTED, PREVIOUS_REFUSED
from matching.core.kernel.execution import triggers, validation
from matching.core.kernel.execution.orders import accept, make_open
from matching.core.kernel.structures import book, extras, prices, tables
from matching.core.kernel.structures import pools as p


@called
def place_limit_leg(pools: Any, rows: Any, count: Any, command: Any, stop_command: Any) -> Any:
    """Judges both legs and places the limit leg."""
    instrument_id, account = np.int64(command["instrument"]), command["account"]
    trader = tables.find_trader(pools, account, instrument_id)
    reason, locked = validation.validate_order(pools, command, trader, False)
    if reason == ACCEPTED:
        reason, _ = validation.validate_trigger_order(pools, stop_command, trader, locked, command["text_hash"], True)
    if reason != ACCEPTED:
        return events.reject(pools, rows, count, command, reason)
    if trader == 0:
        trader = funds.create_trader(pools, account, instrument_id)
    count = accept(pools, rows, count, command, trader, locked, 0)
    slot = make_open(pools, command, trader, command["quantity"])
    extras.attach(pools, slot)
    book.enqueue(pools, pools.instruments[instrument_id], slot, command["price"])
    return count


@called
def place_stop_leg(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    """Lets the stop leg wait, if the limit leg was placed by the command before."""
    if rows[count - 1]["kind"] == events.REJECTED:
        return events.reject(pools, rows, count, command, PREVIOUS_REFUSED)
    limit_leg = book.find_order(pools, pools.state[p.NEXT_COMMAND_SEQUENCE] - 1)
    order = pools.orders[limit_leg]
    instrument, side = pools.instruments[np.int64(command["instrument"])], np.int64(command["side"])
    limit_price = prices.price_of(pools, np.int64(order["level"]))
    shared = funds.locked_amount(instrument, side, limit_price, order["remaining"])
    price = command["price"] if validation.has_price(np.int64(command["order_type"])) else command["amount"]
    held = max(np.int64(0), funds.locked_amount(instrument, side, price, command["quantity"]) - shared)
    return triggers.begin_to_wait(pools, rows, count, command, np.int64(order["trader"]), held, limit_leg)
